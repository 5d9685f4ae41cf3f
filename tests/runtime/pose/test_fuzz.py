"""Spoilt files of every format: a pose that makes sense, or one clear line.

HANDFIRST_FUZZ=100000 says how many inputs, HANDFIRST_FUZZ_SEED which; a few hundred without it. A failure names its
seed.
"""

from __future__ import annotations

import os
import random
import warnings
from collections import Counter

import numpy as np
from support.pose_mutations import corpus, spoilt

from handfirst.runtime.errors import PoseError
from handfirst.runtime.pose.formats import FORMATS, WRITABLE
from handfirst.runtime.pose.person import Pose
from handfirst.runtime.pose.read import decode_pose
from handfirst.runtime.pose.write import encode_pose

COUNT = int(os.environ.get("HANDFIRST_FUZZ", "500"))
FIRST = int(os.environ.get("HANDFIRST_FUZZ_SEED", "0"))


def check(content: bytes, rng: random.Random) -> str:
    """ "pose" or the error's first words."""
    size = (64, 48) if rng.random() < 0.7 else None
    format = rng.choice(FORMATS) if rng.random() < 0.3 else None
    frame = rng.choice((None, None, None, 1, 2))
    image = rng.choice(("1", "2.jpg")) if rng.random() < 0.05 else None
    try:
        pose = decode_pose(content, size, format, rng.random() < 0.1, frame, image)
    except PoseError as error:
        assert "\n" not in str(error) and len(str(error)) < 400
        return str(error)[:24]
    check_pose(pose)
    try:
        encode_pose(pose, rng.choice(WRITABLE))
    except PoseError as error:
        assert "one person" in str(error)
    return "pose"


def check_pose(pose: Pose) -> None:
    assert 1 <= pose.width <= 16384 and 1 <= pose.height <= 16384
    for person in pose.people:
        assert person.points.shape == (133, 2) and person.points.dtype == person.scores.dtype == np.float64
        known = np.isfinite(person.points).all(1)
        assert (known | np.isnan(person.points).all(1)).all()
        assert ((person.scores > 0) == known).all() and np.isfinite(person.scores).all()


def test_every_valid_file_is_a_pose() -> None:
    for i, content in enumerate(corpus()):
        bare = b"(42, 3)" in content[:128] or content.startswith(b"[[")
        assert decode_pose(content, (64, 48), "interhand" if bare else None).people, i


def test_spoilt_files() -> None:
    valid, found = corpus(), Counter[str]()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for seed in range(FIRST, FIRST + COUNT):
            rng = random.Random(seed)
            content = rng.choice(valid)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                content = spoilt(content, valid, rng)
            try:
                found[check(content, rng)] += 1
            except Exception as error:
                raise AssertionError(f"seed {seed}: {content[:200]!r}") from error
    print(f"\n{COUNT} inputs, {found['pose']} poses, {len(found) - 1} kinds of errors: {found.most_common(60)}")
    assert found["pose"] > COUNT / 50 and len(found) > 8
