"""A plain folder of pictures, with what is known about each beside it under the same name.

    NAME.jpg | .jpeg | .png | .webp     the picture; the only file that must be there
    NAME.json                           its pose, in any format that `handfirst pose` reads
    NAME.mask.png                       its hands: 1 the left one, 2 the right one; with one hand, anything but 0
    NAME.txt                            its caption

Folders in the folder are not looked into. A pose drawn on a canvas of another size is scaled if the shape is the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.errors import UserError
from handfirst.runtime.errors import PoseError
from handfirst.runtime.pose.person import Pose
from handfirst.runtime.pose.read import read_pose
from handfirst.runtime.pose.topology import HANDS
from handfirst.training.data.record import Record, Skipped, UnreadableError
from handfirst.training.data.sources.entry import NOBODY, UnusableError, key_of
from handfirst.training.data.sources.pictures import ImageFile, MaskFile

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
MASK = ".mask.png"
SAME_SHAPE = 0.01  # the two sides of a pose's canvas may be scaled by so much, relatively, more or less than each other


class Folder:
    """The pictures of one folder, by name."""

    name = "folder"

    def __init__(self, root: Path) -> None:
        """
        Raises:
            UserError: no such folder, or no picture in it.
        """
        if not root.is_dir():
            raise UserError(f"{root}: expected a folder of pictures, found {'a file' if root.exists() else 'nothing'}")
        self.root = root
        if not any(self._pictures()):
            raise UserError(f"{root}: expected pictures ({', '.join(SUFFIXES)}), found none")

    def __iter__(self) -> Iterator[Record | Skipped]:
        """Reads each picture's pose and caption, and of the picture its header where a pose needs its size."""
        done: dict[str, str] = {}
        for path in self._pictures():
            try:
                if path.stem in done:
                    raise UnusableError("another picture of the same name")
                done[path.stem] = path.name
                yield _record(path)
            except (UnusableError, UnreadableError) as error:
                yield Skipped(path.name, str(error))
        for pose in sorted(self.root.glob("*.json")):
            if pose.stem not in done:
                yield Skipped(pose.name, "no picture file")

    def _pictures(self) -> Iterator[Path]:
        for path in sorted(self.root.iterdir()):
            if path.suffix.lower() in SUFFIXES and not path.name.endswith(MASK) and path.is_file():
                yield path


def _record(path: Path) -> Record:
    image = ImageFile(path, upright=True)
    pose, mask = path.with_suffix(".json"), path.with_suffix(MASK)
    people = _people(pose, image) if pose.is_file() else NOBODY
    sides = [side for side, where in HANDS.items() if people[:, where, 2].any()]
    only = (1 if sides == ["left"] else 2) if len(sides) == 1 else 0
    return Record(
        source=Folder.name,
        key=key_of(path.stem),
        image=image,
        people=people,
        masks=MaskFile(mask, only=only, upright=True) if mask.is_file() else None,
        caption=_caption(path.with_suffix(".txt")),
        attributes={"side": "both" if len(sides) == 2 else sides[0]} if sides else {},
    )


def _people(path: Path, image: ImageFile) -> NDArray[np.float32]:
    width, height = image.size()
    pose = _pose(path, (width, height))
    across, down = width / pose.width, height / pose.height
    if abs(across / down - 1) > SAME_SHAPE:
        raise UnusableError("pose: on a canvas of another shape")
    known = [person for person in pose.people if np.isfinite(person.points).all(axis=1).any()]
    out = np.zeros((len(known), 133, 3), np.float32)
    for row, person in zip(out, known, strict=True):
        seen = np.isfinite(person.points).all(axis=1)
        row[seen, :2] = person.points[seen] * (across, down)
        row[seen, 2] = 1
    return out


def _pose(path: Path, size: tuple[int, int]) -> Pose:
    """The pose on its own canvas, or on the picture's where the file does not name one."""
    try:
        return read_pose(path)
    except PoseError:
        try:
            return read_pose(path, size)
        except PoseError as error:
            raise UnusableError("pose: cannot be read") from error


def _caption(path: Path) -> str | None:
    if not path.is_file():
        return None
    try:
        return " ".join(path.read_text(encoding="utf-8-sig").split()) or None
    except (OSError, UnicodeDecodeError) as error:
        raise UnusableError("caption: cannot be read") from error
