"""One person's 133 key points, and the pose of a picture: people on a canvas. Knows nothing about files or models."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.pose.topology import BODY, FACE, FEET, HANDS, LEFT_HAND, POINTS, RIGHT_HAND, Side

Points = NDArray[np.float64]
MIN_HAND_POINTS = 6


@dataclass(frozen=True, eq=False)
class Person:
    """Key points in COCO-WholeBody order.

    Attributes:
        points: float64 [133, 2], continuous canvas pixels (x right, y down, pixel i centred at i + .5); NaN = missing.
        scores: float64 [133], 0 = missing.
    """

    points: Points
    scores: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.points.shape != (POINTS, 2) or self.scores.shape != (POINTS,):
            raise ValueError(
                f"a person has points [133, 2] and scores [133], got {self.points.shape}, {self.scores.shape}"
            )

    @classmethod
    def of(cls, rows: NDArray[np.float64]) -> Person:
        """rows [133, 3] of x, y, score; a point without a score, or without coordinates, is missing."""
        points, scores = rows[:, :2].copy(), rows[:, 2].copy()
        missing = ~(np.isfinite(rows).all(1) & (scores > 0))
        points[missing], scores[missing] = np.nan, 0
        return cls(points, scores)

    @property
    def table(self) -> NDArray[np.float64]:
        """[133, 3] of x, y, score; zeros where a point is missing."""
        known = np.isfinite(self.points).all(axis=1, keepdims=True)
        return np.where(known, np.column_stack([self.points, self.scores]), 0.0)

    @property
    def body(self) -> Points:
        """[17, 2]."""
        return self.points[BODY]

    @property
    def feet(self) -> Points:
        """[6, 2]."""
        return self.points[FEET]

    @property
    def face(self) -> Points:
        """[68, 2]."""
        return self.points[FACE]

    @property
    def left_hand(self) -> Points:
        """[21, 2]."""
        return self.points[LEFT_HAND]

    @property
    def right_hand(self) -> Points:
        """[21, 2]."""
        return self.points[RIGHT_HAND]

    def hand(self, side: Side) -> Points:
        """[21, 2] of one side."""
        return self.points[HANDS[side]]

    def has_hand(self, side: Side) -> bool:
        """Whether enough of the hand is known to draw it: MIN_HAND_POINTS valid points."""
        return int(np.isfinite(self.hand(side)).all(1).sum()) >= MIN_HAND_POINTS

    def moved(self, scale: float, dx: float, dy: float) -> Person:
        """The same person under x -> scale x + dx, y -> scale y + dy."""
        return Person(self.points * scale + np.array([dx, dy]), self.scores)


@dataclass(frozen=True, eq=False)
class Pose:
    """All people of one picture.

    Attributes:
        people: in the file's order; may be empty.
        width, height: of the canvas in pixels.
        warnings: one line per odd thing that was met while reading.
    """

    people: tuple[Person, ...]
    width: int
    height: int
    warnings: tuple[str, ...] = ()

    def fit(self, width: int, height: int) -> Pose:
        """The pose on another canvas: scaled evenly until it fits, then centred."""
        if (width, height) == (self.width, self.height):
            return self
        scale = min(width / self.width, height / self.height)
        dx, dy = (width - scale * self.width) / 2, (height - scale * self.height) / 2
        return Pose(tuple(p.moved(scale, dx, dy) for p in self.people), width, height, self.warnings)
