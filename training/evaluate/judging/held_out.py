"""The poses that every system is judged on: 384 people and 256 hands by seed, fixed, and never used for choosing.

`held_out.json` beside this file is the list: a person's seed and framing (two thirds busts, one third half-length, in
every three in a row), a hand's seed and the face that it shows (by turns), so that the first N of either are a fair
sample of all. No training run and no look at one draws these seeds. Knows nothing about models or judges.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.files import sha256
from handfirst.runtime.geometry import Similarity, warp
from handfirst.runtime.pose.crop import UsualCrop, hand_crops
from handfirst.runtime.pose.person import Person
from handfirst.training.data.procedural.sample import Sample, sample_hand, sample_person
from handfirst.training.data.record import to_person

Kind = Literal["people", "hands"]
HAND_SIZE = 128  # pixels of a judged hand's picture: the paper's crop, 1.5 times the box of its points
CROP = UsualCrop(size=HAND_SIZE)


@dataclass(frozen=True)
class HeldOut:
    """One pose of the list.

    Attributes:
        key: "person-007", "hand-007": the name of its picture.
        kind: which list.
        seed: of the renderer.
        word: a person's framing ("bust", "half"), a hand's face ("palm", "back"); the table has a set for each.
    """

    key: str
    kind: Kind
    seed: int
    word: str


def held_out(people: int | None = None, hands: int | None = None) -> tuple[HeldOut, ...]:
    """The first of either list, people before hands; None: all of them."""
    rows: dict[Kind, list[tuple[int, str]]] = json.loads(_content())
    counts: dict[Kind, int | None] = {"people": people, "hands": hands}
    names: dict[Kind, str] = {"people": "person", "hands": "hand"}
    return tuple(
        HeldOut(f"{names[kind]}-{i:03d}", kind, seed, word)
        for kind, count in counts.items()
        for i, (seed, word) in enumerate(rows[kind][:count])
    )


def list_digest() -> str:
    """SHA-256 of the list's file."""
    return sha256(_content())


def _content() -> bytes:
    return (resources.files(__package__) / "held_out.json").read_bytes()


def render(pose: HeldOut, size: int) -> Sample:
    """The true picture with its truth: a person of `size` pixels, or a hand's crop of HAND_SIZE, whatever the size."""
    if pose.kind == "people":
        return sample_person(pose.seed, size, frame=pose.word)
    return _cropped(sample_hand(pose.seed, 2 * HAND_SIZE, view=pose.word))


def person_of(sample: Sample) -> Person:
    """A render's key points, NaN where there are none."""
    return to_person(sample.keypoints)


def _cropped(sample: Sample) -> Sample:
    """A hand's render as the very crop that is drawn and judged."""
    size = len(sample.rgb)
    (crop,) = hand_crops(person_of(sample), CROP, size, size)
    back = crop.similarity.inverse()
    points = sample.keypoints.copy()
    known = points[:, 2] > 0
    points[known, :2] = crop.similarity.apply(points[known, :2].astype(np.float64))
    pixel = ((np.arange(HAND_SIZE) + 0.5) * back.scale)[:, None] + (back.dx, back.dy)
    x, y = np.clip(np.floor(pixel), 0, size - 1).astype(int).T
    return replace(
        sample,
        rgb=seen_through(sample.rgb, crop.similarity, HAND_SIZE),
        hands=sample.hands[np.ix_(y, x)],
        person_mask=sample.person_mask[np.ix_(y, x)],
        depth=sample.depth[np.ix_(y, x)],
        keypoints=points,
    )


def seen_through(image: NDArray[np.uint8], to_crop: Similarity, size: int) -> NDArray[np.uint8]:
    """A square part of a picture, uint8 [H, W, 3] -> [size, size, 3]: an area mean where it shrinks.

    Where the square leaves the picture, the picture's edge goes on.
    """
    pad = max(image.shape[:2])
    wide: Any = np.pad(image, ((pad, pad), (pad, pad), (0, 0)), mode="edge")
    back = to_crop.inverse().then(Similarity(1.0, pad, pad))
    return np.asarray(np.clip(np.rint(warp(wide, back, size, size)), 0, 255), np.uint8)
