"""What a source of pictures says about one picture, before anything is cropped, drawn or judged.

Readers in `sources/` yield records and skips; `prepare` turns records into examples. Knows nothing about either.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.pose.person import Person
from handfirst.runtime.pose.topology import SIDES

Split = Literal["train", "val", "test"]


class UnreadableError(Exception):
    """A picture or mask that cannot be decoded; the message is the reason, in a few words that can be counted."""


class Picture(Protocol):
    """Pixels that are read when they are needed. Small: a path, a member of a tar, a seed."""

    def read(self) -> NDArray[np.uint8]:
        """uint8: RGB [H, W, 3]; for a mask [H, W] with 0 nothing, 1 the left hand, 2 the right hand.

        Raises:
            UnreadableError: it is missing or damaged.
        """
        ...


@dataclass(frozen=True, eq=False)
class Record:
    """One picture of a source.

    Attributes:
        source: name of the source ("hagrid", "interhand", ...).
        key: unique within its source and the same on every run; letters, digits, "-" and "_" only.
        image: the pixels.
        people: key points, float32 [P, 133, 3] in COCO-WholeBody order: x, y in pixels with pixel i centred at i + .5,
            then 1 where the point is known and 0 where not. P = 0: the source has none, they have to be found.
        masks: the hands' masks, None where the source has none.
        caption: the source's own words, None where it has none.
        attributes: what else is known: "gesture", "view", "side", "user", "sequence", ...
        split: the source's own split.
    """

    source: str
    key: str
    image: Picture
    people: NDArray[np.float32]
    masks: Picture | None = None
    caption: str | None = None
    attributes: dict[str, str] = field(default_factory=dict)
    split: Split = "train"


@dataclass(frozen=True)
class Skipped:
    """A picture of a source that cannot be used.

    Attributes:
        key: which one, in the source's own words (a file name, an id).
        reason: a few words, the same for the same trouble, so that they can be counted ("no key points").
    """

    key: str
    reason: str


class Source(Protocol):
    """A data set on disk, in the layout in which it is published."""

    name: str

    def __iter__(self) -> Iterator[Record | Skipped]:
        """Every picture exactly once, in the same order on every run; nothing is left out in silence."""
        ...


def to_person(keypoints: NDArray[np.float32]) -> Person:
    """keypoints [133, 3] (x, y, > 0 where known) -> the runtime's person, NaN where unknown."""
    known = keypoints[:, 2] > 0
    points = np.where(known[:, None], keypoints[:, :2], np.nan).astype(np.float64)
    return Person(points=points, scores=known.astype(np.float64))


def to_keypoints(person: Person) -> NDArray[np.float32]:
    """The inverse: float32 [133, 3], zeros where unknown."""
    known = np.asarray(np.isfinite(person.points).all(1))
    return np.where(known[:, None], np.c_[person.points, np.ones(len(known))], 0).astype(np.float32)


def shows_a_hand(keypoints: NDArray[np.float32]) -> bool:
    """Whether enough of either hand is known to draw it."""
    person = to_person(keypoints)
    return any(person.has_hand(side) for side in SIDES)
