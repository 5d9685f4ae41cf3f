"""The names of the pose formats, as `--format` and `--to` take them. What each of them is stands in its own file."""

from __future__ import annotations

from typing import Literal, get_args

PoseFormat = Literal["openpose", "a1111", "coco", "mediapipe", "dwpose", "interhand", "foundhand", "handfirst"]
WritableFormat = Literal["openpose", "a1111", "coco", "mediapipe", "dwpose", "interhand", "handfirst"]

FORMATS: tuple[PoseFormat, ...] = get_args(PoseFormat)
WRITABLE: tuple[WritableFormat, ...] = get_args(WritableFormat)
"""FoundHand's files hold a mask of the hands, which a pose does not know: they are only read."""
ARRAYS: frozenset[WritableFormat] = frozenset({"dwpose", "interhand", "handfirst"})
"""Those that are written as .npz; the others are JSON."""
