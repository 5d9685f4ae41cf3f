"""The list is what it was, its poses are what they were, and no training draws its seeds."""

from __future__ import annotations

import json

import numpy as np

from handfirst.engines.files import sha256
from handfirst.training.evaluate.judging.held_out import (
    HAND_SIZE,
    held_out,
    list_digest,
    person_of,
    render,
    seen_through,
)
from handfirst.training.recipe.recipe import HELD_OUT

LIST = "caa7ffb04bc0e232b57497a392a20c3de45f2fbbb9557c178757fd2f773ca583"
POSES = "fc0500311dd6bec34baa08f98883d642676cab23c1685ad9fff9356031c345e6"


def test_the_list_is_fixed() -> None:
    assert list_digest() == LIST
    poses = held_out()
    words = [(pose.kind, pose.word) for pose in poses]
    assert (words.count(("people", "bust")), words.count(("people", "half"))) == (256, 128)
    assert (words.count(("hands", "palm")), words.count(("hands", "back"))) == (128, 128)
    assert len({pose.key for pose in poses}) == len(poses) == 640


def test_the_first_of_the_list_are_a_fair_sample() -> None:
    poses = held_out(people=6, hands=4)
    assert [p.word for p in poses] == ["bust", "bust", "half"] * 2 + ["palm", "back"] * 2
    assert [p.key for p in poses[5:7]] == ["person-005", "hand-000"]


def test_no_other_list_reaches_these_seeds() -> None:
    """Training draws from 0, looks at a run from HELD_OUT, earlier figures from 80,000,000: a million each at most."""
    assert min(pose.seed for pose in held_out()) >= max(HELD_OUT, 80_000_000) + 1_000_000


def test_the_poses_are_what_they_were() -> None:
    """Words, sides and places, to a quarter of a pixel: the same on every machine."""
    facts = []
    for pose in (*held_out(people=3, hands=0), *held_out(people=0, hands=2)):
        sample = render(pose, 48)
        points = np.rint(np.nan_to_num(person_of(sample).points, nan=-1) * 4).astype(int)
        facts.append([pose.key, sample.caption, sample.attributes, points.tolist()])
        assert len(sample.rgb) == len(sample.hands) == (48 if pose.kind == "people" else HAND_SIZE)
    assert sha256(json.dumps(facts).encode()) == POSES


def test_a_hand_fills_two_thirds_of_its_crop_and_its_mask_goes_with_it() -> None:
    sample = render(held_out(people=0, hands=1)[0], 0)
    side = sample.attributes["side"]
    points = person_of(sample).left_hand if side == "left" else person_of(sample).right_hand
    np.testing.assert_allclose(np.ptp(points, 0).max(), HAND_SIZE / 1.5, rtol=1e-5)
    np.testing.assert_allclose((points.min(0) + points.max(0)) / 2, HAND_SIZE / 2, atol=1e-4)
    x, y = np.floor(points[[0, 5, 9, 13, 17]].mean(0)).astype(int)  # the middle of the palm
    assert sample.hands[y, x] == (1 if side == "left" else 2)


def test_beyond_the_picture_its_edge_goes_on() -> None:
    from handfirst.runtime.geometry import Similarity

    image = np.zeros((4, 4, 3), np.uint8)
    image[:, 0] = 200
    moved = seen_through(image, Similarity(1.0, 2.0, 0.0), 4)
    assert moved[..., 0].tolist() == [[200, 200, 200, 0]] * 4
