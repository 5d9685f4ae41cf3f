"""Samples of hands and people: determinism, types, masks that agree, requests that are kept."""

import dataclasses

import numpy as np
import pytest
from support.rendered import SIZE

from handfirst.training.data.procedural.sample import (
    Sample,
    sample_hand,
    sample_person,
)


def same(a: Sample, b: Sample) -> bool:
    """Byte equality of every field."""
    pairs = [(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(Sample)]
    return all(np.array_equal(x, y) if isinstance(x, np.ndarray) else x == y for x, y in pairs)


def test_same_seed_same_sample() -> None:
    assert same(sample_hand(3, SIZE), sample_hand(3, SIZE))
    assert same(sample_person(3, SIZE), sample_person(3, SIZE))
    assert not np.array_equal(sample_hand(3, SIZE).rgb, sample_hand(4, SIZE).rgb)


def test_hands_and_people_of_one_seed_are_unrelated() -> None:
    hand, person = sample_hand(5, SIZE), sample_person(5, SIZE)
    assert not np.array_equal(hand.rgb[0], person.rgb[0])


def test_fields_have_the_promised_types(hands: list[Sample], people: list[Sample]) -> None:
    for sample in [*hands, *people]:
        assert sample.rgb.shape == (SIZE, SIZE, 3) and sample.rgb.dtype == np.uint8
        assert sample.person_mask.shape == (SIZE, SIZE) and sample.person_mask.dtype == np.bool_
        assert sample.hands.shape == (SIZE, SIZE) and sample.hands.dtype == np.uint8
        assert sample.depth.shape == (SIZE, SIZE) and sample.depth.dtype == np.float32
        assert sample.keypoints.shape == (133, 3) and sample.keypoints.dtype == np.float32
        assert set(np.unique(sample.keypoints[:, 2])) <= {0.0, 2.0}


def test_masks_agree(hands: list[Sample], people: list[Sample]) -> None:
    for sample in [*hands, *people]:
        assert set(np.unique(sample.hands)) <= {0, 1, 2}
        assert sample.person_mask[sample.hands > 0].all(), "hand pixels are person pixels"
        assert np.array_equal(sample.depth > 0, sample.person_mask), "depth is where the person is"
    for sample in hands:
        wanted = 1 if sample.attributes["side"] == "left" else 2
        assert set(np.unique(sample.hands)) == {0, wanted}


def test_requested_values_are_kept() -> None:
    sample = sample_hand(1, SIZE, view="back", gesture="ok", side="left")
    assert (sample.attributes["view"], sample.attributes["gesture"], sample.attributes["side"]) == (
        "back",
        "ok",
        "left",
    )
    person = sample_person(1, SIZE, gestures=("fist", None))
    assert person.attributes["left_hand"] == "fist"
    with pytest.raises(ValueError, match="view must be one of"):
        sample_hand(1, SIZE, view="front")
    with pytest.raises(ValueError, match="frame must be one of"):
        sample_person(1, SIZE, frame="quarter")
