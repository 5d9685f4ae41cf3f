"""Stand-in judges, and a hand whose figures can be worked by hand, for the tests of the recipe of judging."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.pose.topology import HANDS, Side
from handfirst.training.data.procedural.sample import Sample
from handfirst.training.evaluate.judging.judges import SeenHand
from handfirst.training.evaluate.judging.looks import HandLook, Look, TrueHand


def open_hand(x: float = 0, y: float = 0) -> NDArray[np.float64]:
    """[21, 2]: wrist at (40, 100), bases at y = 60 and x = 0, 20, .. 80, fingers of 3 x 10 px straight up.

    The box is 80 wide and 70 high.
    """
    points = np.zeros((21, 2))
    points[0] = 40, 100
    for finger in range(5):
        for joint in range(4):
            points[1 + 4 * finger + joint] = 20 * finger, 60 - 10 * joint
    return points + np.array([x, y])


def pairs(points: NDArray[np.float64]) -> tuple[tuple[float, float], ...]:
    """As records hold them."""
    return tuple((float(x), float(y)) for x, y in points)


def seen(points: NDArray[np.float64], side: Side | None = "left", score: float = 0.9) -> SeenHand:
    """A hand that a judge sees."""
    return SeenHand(score=score, side=side, points=pairs(points))


def true_hand(points: NDArray[np.float64], side: Side = "left") -> TrueHand:
    """With the area of its own box."""
    return TrueHand(side=side, points=pairs(points), area=float(np.ptp(points, axis=0).prod()))


def asked(points: NDArray[np.float64], *finds: SeenHand, side: Side = "left", face: bool | None = None) -> Look:
    """A picture of one hand."""
    return Look(hands=(HandLook(true=(true_hand(points, side),), seen=finds),), face=face)


@dataclass
class Truthful:
    """A judge that returns the truth of one hand's picture, moved by `shift` pixels of the square."""

    sample: Sample
    shift: float = 0.0
    name: str = "stand-in 1"

    def hands(self, square: NDArray[np.uint8]) -> tuple[SeenHand, ...]:
        """The hand of the sample, in a picture that was enlarged to the square."""
        side: Side = "left" if self.sample.attributes["side"] == "left" else "right"
        points = self.sample.keypoints[HANDS[side], :2].astype(np.float64) * len(square) / len(self.sample.rgb)
        return (seen(points + np.array([self.shift, 0]), side),)

    def face(self, image: NDArray[np.uint8], points: NDArray[np.float64]) -> bool:
        """Always."""
        return True

    def body(self, image: NDArray[np.uint8], shoulders: NDArray[np.float64]) -> bool:
        """Always."""
        return True


class Blind:
    """A judge that sees nothing."""

    name = "stand-in 0"

    def hands(self, square: NDArray[np.uint8]) -> tuple[SeenHand, ...]:
        """None."""
        return ()

    def face(self, image: NDArray[np.uint8], points: NDArray[np.float64]) -> bool:
        """Never."""
        return False

    def body(self, image: NDArray[np.uint8], shoulders: NDArray[np.float64]) -> bool:
        """Never."""
        return False
