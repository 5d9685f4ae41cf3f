"""The same hand twice: what is the same, what is wrong, and that the truth stays true."""

from __future__ import annotations

import numpy as np
import pytest

from handfirst.training.data.procedural.malformed import KINDS, Faults, draw_faults
from handfirst.training.data.procedural.twice import sample_pair

SIZE = 48
WRONG = {
    "missing": Faults(missing=(1,)),
    "extra": Faults(extra=3),
    "fused": Faults(fused=(1,)),
    "bent": Faults(bends={0: (0.0, -90.0, 0.0)}),
    "length": Faults(lengths={1: 1.5}),
    "smear": Faults(smear=0.1),
}


def test_without_faults_the_same_picture_comes_twice() -> None:
    pair = sample_pair(3, SIZE, same=True, faults=Faults(), supersample=1)
    assert pair.other is not None
    np.testing.assert_array_equal(pair.rgb, pair.other.rgb)
    np.testing.assert_array_equal(pair.keypoints, pair.other.keypoints)


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_changes_the_hand_and_not_its_truth(kind: str) -> None:
    """Of an open palm, where every finger is seen: key points stay, the background too, and pixels of the hand go."""
    seed = next(s for s in range(200) if sample_pair(s, 16, True, Faults(), 1).attributes["gesture"] == "palm")
    pair = sample_pair(seed, SIZE, same=True, faults=WRONG[kind], supersample=1)
    assert pair.other is not None and pair.other.attributes["faults"] == kind and pair.attributes["faults"] == "none"
    np.testing.assert_array_equal(pair.keypoints, pair.other.keypoints)
    changed = (pair.rgb != pair.other.rgb).any(-1)
    assert 0.005 < changed.mean() < 0.5
    if kind in ("missing", "extra", "length"):
        less, more = (pair.hands > 0).sum(), (pair.other.hands > 0).sum()
        assert (more < less) if kind == "missing" else (more > less)
    if kind == "smear":
        np.testing.assert_array_equal(pair.hands, pair.other.hands)


def test_another_pose_is_of_the_same_hand() -> None:
    for seed in range(4):
        pair = sample_pair(seed, SIZE, same=False, supersample=1)
        assert pair.other is not None
        for name in ("side", "skin", "pattern"):
            assert pair.attributes[name] == pair.other.attributes[name]
        assert np.abs(pair.keypoints - pair.other.keypoints).max() > 1
        skins = [each.rgb[each.hands > 0].mean(0) for each in (pair, pair.other)]
        assert np.abs(skins[0] - skins[1]).max() < 45


def test_all_kinds_of_faults_are_drawn_and_none_too_often() -> None:
    words = [draw_faults(np.random.default_rng(seed)).words for seed in range(300)]
    counts = {kind: sum(kind in each.split(", ") for each in words) for kind in KINDS}
    assert all(words) and min(counts.values()) > 60 and max(counts.values()) < 140
