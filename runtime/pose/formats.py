"""The names of the pose formats, as `--format` and `--to` take them, and of the files that hold poses.

What each format is stands in its own file. The command line imports this at its start, so it needs nothing large.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

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
