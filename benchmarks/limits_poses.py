"""The poses of limits.py: small hands, hands without arms, hands that touch, several people, each beside its truth.

All by seed, from the procedural people; no training run draws these seeds. Knows nothing about models or judges.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from handfirst.runtime.geometry import Similarity, warp
from handfirst.runtime.pose.person import Person, Pose
from handfirst.runtime.pose.topology import ELBOW, HANDS, WRIST
from handfirst.training.data.procedural.pairs import PAIRS
from handfirst.training.data.procedural.sample import Sample, sample_person
from handfirst.training.evaluate.judging.held_out import person_of

SEED = 83_000_000
"""Seeds begin here; held_out.json and training begin elsewhere."""


@dataclass(frozen=True, eq=False)
class Asked:
    """One picture to make.

    Attributes:
        pose: who stands where.
        prompt: the words.
        truths: one sample for each person who is judged, all with the same true picture of the pose's size.
        fields: of the request, beside these.
    """

    pose: Pose
    prompt: str
    truths: tuple[Sample, ...]
    fields: Mapping[str, Any]


def small(number: int, size: int) -> dict[str, Asked]:
    """Half-length and whole figures by turns, without and with a second pass around their hands."""
    sample = sample_person(SEED + number, size, frame=("half", "full")[number % 2])
    return {
        name: Asked(_pose(size, person_of(sample)), sample.caption, (sample,), {"close_up": how})
        for name, how in (("once", "off"), ("close-up", "auto"))
    }


def armless(number: int, size: int) -> dict[str, Asked]:
    """Half-length figures: whole, without elbows and wrists, and with arms that are made up."""
    sample = sample_person(SEED + 1_000 + number, size, frame="half")
    person = person_of(sample)
    points, scores = person.points.copy(), person.scores.copy()
    arms = [*ELBOW.values(), *WRIST.values()]
    points[arms], scores[arms] = np.nan, 0
    bare = Person(points, scores)
    return {
        name: Asked(_pose(size, who), sample.caption, (sample,), {"armless": how})
        for name, who, how in (
            ("true arms", person, "leave"), ("left so", bare, "leave"), ("made up", bare, "complete"),
        )
    }  # fmt: skip


def touching(number: int, size: int) -> dict[str, Asked]:
    """Busts whose hands touch or cross: one person's, and the same points as the hands of two."""
    pair = tuple(PAIRS)[number % len(PAIRS)]
    sample = sample_person(SEED + 2_000 + number, size, frame="bust", gestures=(pair, pair))
    person = person_of(sample)
    first, second = person.points.copy(), np.full_like(person.points, np.nan)
    right = [*range(133)[HANDS["right"]], ELBOW["right"], WRIST["right"]]
    second[right], first[right] = person.points[right], np.nan
    two = tuple(Person(points, np.where(np.isfinite(points[:, 0]), 1.0, 0.0)) for points in (first, second))
    return {
        "one person": Asked(_pose(size, person), sample.caption, (sample,), {}),
        "two people": Asked(_pose(size, *two), sample.caption, (sample,), {}),
    }


def several(number: int, size: int) -> dict[str, Asked]:
    """Two half-length figures beside each other, half as large: both in one picture, and the left one alone."""
    half = size // 2
    samples = [sample_person(SEED + 3_000 + 2 * number + i, half, frame="half") for i in (0, 1)]
    shifts = [(0.0, half / 2), (float(half), half / 2)]
    both = np.full((size, size, 3), 128, np.uint8)
    for sample, (x, y) in zip(samples, shifts, strict=True):
        both[int(y) : int(y) + half, int(x) : int(x) + half] = sample.rgb
    placed = [_moved(sample, both, *shift) for sample, shift in zip(samples, shifts, strict=True)]
    people = [person_of(sample) for sample in placed]
    return {
        "together": Asked(_pose(size, *people), f"two people, {samples[0].caption}", tuple(placed), {}),
        "left alone": Asked(_pose(size, people[0]), samples[0].caption, (placed[0],), {}),
    }


LIMITS: dict[str, Callable[[int, int], dict[str, Asked]]] = {
    "small": small,
    "armless": armless,
    "touching": touching,
    "several": several,
}


def _pose(size: int, *people: Person) -> Pose:
    return Pose(people, size, size)


def _moved(sample: Sample, picture: np.ndarray, x: float, y: float) -> Sample:
    """A sample's truth on a larger picture."""
    size = len(picture)
    points = sample.keypoints.copy()
    points[points[:, 2] > 0, :2] += (x, y)
    place = Similarity(1.0, -x, -y)
    hands = sum(side * (warp(sample.hands == side, place, size, size) >= 0.5) for side in (1, 2))
    return replace(sample, rgb=picture, keypoints=points, hands=np.asarray(hands, np.uint8))
