"""A rendered hand of every gesture, and people in every frame."""

import pytest
from support.rendered import SIZE

from handfirst.training.data.procedural.gestures import GESTURES
from handfirst.training.data.procedural.sample import Sample, sample_hand, sample_person


@pytest.fixture(scope="module")
def hands() -> list[Sample]:
    """One hand a gesture, sides and views mixed."""
    return [sample_hand(seed, SIZE, gesture=gesture) for seed, gesture in enumerate(GESTURES)]


@pytest.fixture(scope="module")
def people() -> list[Sample]:
    return [sample_person(seed, SIZE, frame=("bust", "half", "full")[seed % 3]) for seed in range(9)]
