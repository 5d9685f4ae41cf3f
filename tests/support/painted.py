"""A small data set: discs for hands on a painted ground, and exactly known key points and masks."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from handfirst.engines.files import atomic_path
from handfirst.training.data.record import Record, Skipped
from handfirst.training.data.sources.pictures import ImageFile, MaskFile

WIDTH, HEIGHT = 120, 90
RADIUS = 9
GESTURES = ("fist", "ok", "palm")
_FOLDER = "PAINTED_PICTURES"


def ground(seed: int, broken: bool = False) -> ImageFile:
    """Colours that change from pixel to pixel and from seed to seed; broken: a file that is no picture."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    return ImageFile(_file(f"{seed}-{broken}", b"no picture" if broken else _png(pixels[..., ::-1])))


def discs(left: tuple[float, float] | None, right: tuple[float, float] | None) -> MaskFile:
    """1 within RADIUS of the left centre, 2 of the right one."""
    out = np.zeros((HEIGHT, WIDTH), np.uint8)
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    for label, centre in ((1, left), (2, right)):
        if centre is not None:
            out[(x - centre[0]) ** 2 + (y - centre[1]) ** 2 <= RADIUS**2] = label
    return MaskFile(_file(f"{left}-{right}", _png(out)))


def _png(pixels: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".png", pixels)[1])


def _file(name: str, content: bytes) -> Path:
    """In a folder that processes which are started here share, and that goes with the first of them."""
    if _FOLDER not in os.environ:
        os.environ[_FOLDER] = tempfile.mkdtemp(prefix="painted-")
        atexit.register(shutil.rmtree, os.environ[_FOLDER], ignore_errors=True)
    path = Path(os.environ[_FOLDER]) / f"{name}.png"
    if not path.exists():
        with atomic_path(path) as temporary:
            temporary.write_bytes(content)
    return path


def circle(centre: tuple[float, float], radius: float = RADIUS) -> np.ndarray:
    """21 points [21, 3]: the centre and 20 around it, so that their box is exactly 2 `radius` wide and high."""
    angles = np.arange(20) * 2 * np.pi / 20
    around = np.stack([np.cos(angles), np.sin(angles)], 1) * radius + centre
    return np.c_[np.vstack([[centre], around]), np.ones(21)].astype(np.float32)


def person(left: tuple[float, float] | None, right: tuple[float, float] | None) -> np.ndarray:
    """float32 [133, 3]: shoulders, and a circle for each hand."""
    out = np.zeros((133, 3), np.float32)
    out[5], out[6] = (70, 20, 1), (50, 20, 1)
    for where, centre in ((slice(91, 112), left), (slice(112, 133), right)):
        if centre is not None:
            out[where] = circle(centre)
    return out


@dataclass
class Painted:
    """`count` pictures: most with two hands apart, some with one, some with two that meet.

    Every tenth is broken, every tenth (from 3 on) shows two people, every tenth (from 7 on) cannot be used.
    """

    count: int
    name: str = "painted"
    caption: str | None = "somebody, plain ground"
    masks: bool = True
    points: bool = True
    clean: bool = False
    users: int = 0
    attributes: dict[str, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Record | Skipped]:
        for i in range(self.count):
            if i % 10 == 7 and not self.clean:
                yield Skipped(f"picture {i}", "no picture file")
            else:
                yield self._record(i)

    def _record(self, i: int) -> Record:
        rng = np.random.default_rng(1000 + i)
        left = (float(rng.uniform(75, 95)), float(rng.uniform(40, 60)))
        right = (left[0] - (12 if i % 5 == 1 else 50), left[1])
        one = None if i % 5 == 2 else right
        people = np.stack([person(left, one)] * (2 if i % 10 == 3 and not self.clean else 1))
        user = {"user": str(i % self.users)} if self.users else {}
        return Record(
            source=self.name,
            key=f"{i:06d}",
            image=ground(i, broken=i % 10 == 0 and not self.clean),
            people=people if self.points else people[:0],
            masks=discs(left, one) if self.masks else None,
            caption=self.caption,
            attributes={"gesture": GESTURES[i % 3], **user, **self.attributes},
        )
