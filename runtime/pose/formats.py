"""What people say about a pose: the names of the formats, as `--format` and `--to` take them, and the canvas's size.

What each format is stands in its own file. The command line imports this at its start, so it needs nothing large.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, get_args

from handfirst.engines.errors import UserError

PoseFormat = Literal["openpose", "a1111", "coco", "mediapipe", "dwpose", "interhand", "foundhand", "handfirst"]
WritableFormat = Literal["openpose", "a1111", "coco", "mediapipe", "dwpose", "interhand", "handfirst"]

FORMATS: tuple[PoseFormat, ...] = get_args(PoseFormat)
WRITABLE: tuple[WritableFormat, ...] = get_args(WritableFormat)
"""FoundHand's files hold a mask of the hands, which a pose does not know: they are only read."""
ARRAYS: frozenset[WritableFormat] = frozenset({"dwpose", "interhand", "handfirst"})
"""Those that are written as .npz; the others are JSON."""
FILES = (".json", ".npz", ".npy")
PHOTOS = (".jpg", ".jpeg", ".png", ".webp")
"""How the names of files end that can be read."""

LARGEST_SIDE = 8192


def pose_files(folder: Path) -> tuple[list[Path], list[Path]]:
    """What a folder holds, by name: poses to read, and visible files that are skipped.

    Pictures beside pose files are skipped, as they are drawings of these, or their photos; in a folder without pose
    files they are photos to look at.
    """
    there = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    poses = [path for path in there if path.suffix.lower() in FILES] or [
        path for path in there if path.suffix.lower() in PHOTOS
    ]
    return poses, [path for path in there if path not in set(poses)]


def parse_size(text: str | None, name: str) -> tuple[int, int] | None:
    """ "768x512" -> (768, 512), width first; None stays None.

    Args:
        text: what was written.
        name: of the option or field, for the message.

    Raises:
        UserError: anything else, or a side that is 0 or above 8192.
    """
    if text is None:
        return None
    match = re.fullmatch(r"([0-9]{1,9})[xX]([0-9]{1,9})", text.strip())
    width, height = (int(side) for side in match.groups()) if match else (0, 0)
    if not (0 < width <= LARGEST_SIDE and 0 < height <= LARGEST_SIDE):
        raise UserError(f"{name}: expected WIDTHxHEIGHT up to {LARGEST_SIDE}, such as 512x768; got {text!a:.60}")
    return width, height
