"""What is made of a held-out pose, by a system's own painter (training/systems) or by something else before; as files.

Knows nothing about judges, or about any system.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.bundle import Bundle
from handfirst.engines.errors import UserError
from handfirst.engines.files import atomic_write_bytes
from handfirst.engines.manifest import Manifest
from handfirst.runtime.pictures import encode
from handfirst.training.data.procedural.sample import Sample
from handfirst.training.evaluate.judging.held_out import HAND_SIZE, HeldOut
from handfirst.training.evaluate.pictures import PictureFile, files_by_key, read_picture
from handfirst.training.loop.config import merged, one_change
from handfirst.training.systems import PAINTERS

Image = NDArray[np.uint8]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Changes:
    """What is judged beside the bundle as it is: variants of one model on the same poses.

    Attributes:
        settings: changes to what the model is, block by block, as far as its networks allow them.
        request: fields of the request.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    request: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, said: Sequence[str]) -> Changes:
        """Of NAME=VALUE each; names that begin with "settings." are the model's.

        Raises:
            UserError: no name, or no value.
        """
        all_: dict[str, Any] = {}
        for text in said:
            all_ = merged(all_, one_change(text))
        return cls(all_.pop("settings", {}), all_)

    def of(self, manifest: Manifest) -> Manifest:
        """The manifest with the model's changes in it; whether they make sense is for the system to say."""
        return manifest.model_copy(update={"settings": merged(manifest.settings, self.settings)})


@dataclass(frozen=True, eq=False)
class Painted:
    """One picture of the size of its true render.

    Attributes:
        image: uint8 [S, S, 3].
        given: uint8 [S, S, 3], what a part of the picture had to stay equal to; None where nothing had to.
        kept: bool [S, S], where.
        mask: bool [S, S], the hand as the system outlines it; of a hand's picture alone.
    """

    image: Image
    given: Image | None = None
    kept: Mask | None = None
    mask: Mask | None = None


class Painter(Protocol):
    """Makes the picture of a pose; the same one whenever it is asked."""

    @property
    def size(self) -> int:
        """Side of its people's pictures in pixels."""
        ...

    def paint(self, pose: HeldOut, sample: Sample) -> Painted | None:
        """The words, key points and size are those of `sample`; its pixels are not looked at. None: it makes none."""
        ...


class FolderPainter:
    """Pictures KEY.png that another program made for the list's poses; a person's may be of any size, a square.

    Raises:
        UserError: no folder, no pictures, or none of the list's.
    """

    def __init__(self, folder: Path, keys: tuple[str, ...]) -> None:
        self._files = {key: file for key, file in files_by_key(folder).items() if key in keys}
        if not self._files:
            raise UserError(f"{folder}: expected pictures named {keys[0]}.png and so on, found none of the list's")
        people = [key for key in self._files if key.startswith("person")]
        self.size = len(self._read(people[0])) if people else HAND_SIZE

    def paint(self, pose: HeldOut, sample: Sample) -> Painted | None:
        """As it lies there.

        Raises:
            UserError: its size is not that of the others, or for a hand not HAND_SIZE.
        """
        if pose.key not in self._files:
            return None
        image = self._read(pose.key)
        if image.shape != sample.rgb.shape:
            expected = " x ".join(map(str, sample.rgb.shape[1::-1]))
            came = " x ".join(map(str, image.shape[1::-1]))
            raise UserError(f"{self._files[pose.key]}: expected {expected} pixels, got {came}; make all of one size")
        return Painted(image)

    def _read(self, key: str) -> Image:
        return read_picture(PictureFile(self._files[key]), key)


def painter_of(bundle: Bundle, changes: Changes, steps: int | None, engine: str, threads: int | None = None) -> Painter:
    """The painter of a bundle's system.

    Raises:
        UserError: no painter for it.
    """
    system = bundle.manifest.system
    if system not in PAINTERS:
        raise UserError(f"{bundle.path}: expected the system {' or '.join(PAINTERS)}, got {system}; give --pictures")
    painter: Painter = importlib.import_module(PAINTERS[system]).open_painter(bundle, changes, steps, engine, threads)
    return painter


PARTS = ("given", "kept", "mask")
"""Of what was painted, beside the picture itself."""


def read_painted(folder: Path, key: str) -> Painted | None:
    """What `write_painted` has written, if it has."""
    whole, files = folder / f"{key}.png", {name: folder / f"{key}.{name}.png" for name in PARTS}
    if not whole.exists():
        return None
    read = {name: read_picture(PictureFile(f, name == "given"), f.name) for name, f in files.items() if f.exists()}
    masks = {name: mask > 0 for name, mask in read.items() if name != "given"}
    return Painted(read_picture(PictureFile(whole), key), read.get("given"), **masks)


def write_painted(folder: Path, key: str, painted: Painted) -> None:
    """KEY.png, which is written last, and beside it KEY.PART.png of each part that there is."""
    for name in PARTS:
        if (part := getattr(painted, name)) is not None:
            write_picture(folder / f"{key}.{name}.png", part)
    write_picture(folder / f"{key}.png", painted.image)


def write_picture(path: Path, image: Image | Mask) -> None:
    """A PNG, which appears whole or not at all; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write_bytes(path, encode(image))
