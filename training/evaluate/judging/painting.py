"""What a system makes of a held-out pose: one painter per system, and one for pictures that something else made.

A new system adds a class and a line to PAINTERS. Knows nothing about judges.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.bundle import Bundle
from handfirst.engines.errors import UserError
from handfirst.runtime.geometry import Similarity, warp
from handfirst.runtime.pose.person import Pose
from handfirst.runtime.systems.two_stage.request import Request
from handfirst.runtime.systems.two_stage.system import TwoStage
from handfirst.training.data.procedural.sample import Sample
from handfirst.training.evaluate.judging.held_out import HAND_SIZE, HeldOut, person_of, seen_through
from handfirst.training.evaluate.pictures import PictureFile, files_by_key, read_picture

Image = NDArray[np.uint8]
Mask = NDArray[np.bool_]


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


def pose_of(sample: Sample) -> Pose:
    """A render's key points on its own canvas."""
    return Pose((person_of(sample),), sample.rgb.shape[1], sample.rgb.shape[0])


class TwoStagePainter:
    """Hands first, then the body: a hand's picture is what stage 1 draws, a person's is the finished one.

    Raises:
        UserError: the canvas is no square.
    """

    def __init__(self, bundle: Bundle, steps: int | None, engine: str, threads: int | None) -> None:
        self._model = TwoStage.of(bundle, engine, threads, "all")
        body = self._model.settings.body
        if body.width != body.height:
            raise UserError(f"{bundle.path}: expected a square canvas, got {body.width} x {body.height} pixels")
        self.size = body.width
        self._steps = steps

    def paint(self, pose: HeldOut, sample: Sample) -> Painted:
        """The pose's own seed is that of the noise."""
        request = Request(pose=pose_of(sample), prompt=sample.caption, seed=pose.seed, steps=self._steps)
        if pose.kind == "people":
            result = self._model.render(request)
            return Painted(result.image, given=result.canvas, kept=result.mask)
        drawn = self._model.first_half([request])
        (hand,) = drawn.hands[0]
        # both are the crop of 1.5 times the points' box, as a rule: then this changes nothing but the size
        scale = self.size / HAND_SIZE
        to_crop = Similarity(scale, 0.0, 0.0).then(hand.crop.similarity)
        mask = warp(hand.mask, to_crop, HAND_SIZE, HAND_SIZE) >= 0.5
        return Painted(seen_through(hand.image, to_crop.inverse(), HAND_SIZE), mask=mask)


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


PAINTERS: dict[str, Callable[[Bundle, int | None, str, int | None], Any]] = {"two-stage": TwoStagePainter}
"""By the name of the system in a bundle's manifest: of bundle, steps, engine, threads."""


def painter_of(bundle: Bundle, steps: int | None, engine: str, threads: int | None = None) -> Painter:
    """The painter of a bundle's system.

    Raises:
        UserError: no painter for it.
    """
    system = bundle.manifest.system
    if system not in PAINTERS:
        raise UserError(f"{bundle.path}: expected the system {' or '.join(PAINTERS)}, got {system}; give --pictures")
    painter: Painter = PAINTERS[system](bundle, steps, engine, threads)
    return painter
