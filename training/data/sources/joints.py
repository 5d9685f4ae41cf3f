"""The 42 joints of InterHand2.6M and Re:InterHand: right hand first, each finger from tip to base, the wrist last."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handfirst.training.data.sources.entry import UnusableError, any_numbers, numbers, sensible, with_hands
from handfirst.training.data.sources.streams import entries

JOINTS = 42
RIGHT, LEFT = slice(0, 21), slice(21, 42)

# MediaPipe's order (wrist, then each finger from base to tip) as indices into one hand's 21 joints.
TO_MEDIAPIPE = np.array([20, *(4 * f + j for f in range(5) for j in (3, 2, 1, 0))])


def person_of(projected: NDArray[np.float64]) -> NDArray[np.float32]:
    """Joints [42, 3] in the picture (x, y, 1 where known) -> one person, float32 [133, 3]."""
    return with_hands(left=projected[LEFT][TO_MEDIAPIPE], right=projected[RIGHT][TO_MEDIAPIPE])


def side_word(known: NDArray[np.bool_]) -> str | None:
    """known [42] -> "left", "right", "both", or None where no joint is known."""
    left, right = bool(known[LEFT].any()), bool(known[RIGHT].any())
    return "both" if left and right else "left" if left else "right" if right else None


@dataclass(frozen=True, eq=False)
class FrameJoints:
    """The joints of every frame of a joint_3d file, {CAPTURE: {FRAME: {world_coord, joint_valid}}}.

    Attributes:
        frames: per capture, the row of each frame.
        world: per capture, float32 [F, 42, 3], millimetres; NaN for a frame that made no sense.
        valid: per capture, bool [F, 42].
    """

    frames: dict[str, dict[str, int]]
    world: dict[str, NDArray[np.float32]]
    valid: dict[str, NDArray[np.bool_]]

    @classmethod
    def read(cls, path: Path) -> FrameJoints:
        """Reads the file a capture at a time.

        Raises:
            UserError: it cannot be read or is not JSON.
        """
        out = cls({}, {}, {})
        for capture, frames in entries(path):
            given = list(frames.items()) if isinstance(frames, dict) else []
            out.frames[capture] = {frame: row for row, (frame, _) in enumerate(given)}
            out.world[capture] = np.full((len(given), JOINTS, 3), np.nan, np.float32)
            out.valid[capture] = np.zeros((len(given), JOINTS), np.bool_)
            for row, (_, entry) in enumerate(given):
                try:
                    out.world[capture][row], out.valid[capture][row] = _frame(entry)
                except UnusableError:
                    continue  # stays NaN; reported by the pictures of that frame
        return out

    def at(self, capture: str, frame: str) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Joints [42, 3] of one frame, and which of them are valid [42].

        Raises:
            UnusableError: there is no such frame, or it makes no sense.
        """
        row = self.frames.get(capture, {}).get(frame)
        if row is None:
            raise UnusableError("no joints of its frame")
        world = self.world[capture][row].astype(np.float64)
        if np.isnan(world).any():
            raise UnusableError("joints of its frame: no numbers")
        return world, self.valid[capture][row]


def flags(value: Any) -> NDArray[np.bool_]:
    """joint_valid, 42 zeros and ones or a column of them (both are published) -> bool [42].

    Raises:
        UnusableError: something else.
    """
    flat = [v[0] if isinstance(v, list) and len(v) == 1 else v for v in value] if isinstance(value, list) else value
    as_numbers = [int(v) if isinstance(v, bool) else v for v in flat] if isinstance(flat, list) else flat
    return np.asarray(numbers(as_numbers, (JOINTS,), "joint_valid") > 0)


def _frame(entry: Any) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    if not isinstance(entry, dict):
        raise UnusableError("not an object")
    world = any_numbers(entry.get("world_coord"), (JOINTS, 3), "joints")
    placed = np.asarray(sensible(world).all(axis=1))  # a joint that was not found may be anywhere
    return np.where(placed[:, None], world, 0), np.logical_and(flags(entry.get("joint_valid")), placed)
