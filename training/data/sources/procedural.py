"""Rendered hands and people as a source: nothing on disk, a seed per picture.

Key points come out of the renderer with the pixels, so going through the records renders once; a picture that is read
in another process renders again. Where many are wanted, write shards with `handfirst data render` and read those.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.errors import UserError
from handfirst.training.data.procedural.sample import SAMPLERS, Sample
from handfirst.training.data.record import Record, Skipped


@dataclass(frozen=True)
class Render:
    """A rendered picture: `kind` of SAMPLERS, its seed, pixels a side."""

    kind: str
    seed: int
    pixels: int

    def read(self) -> NDArray[np.uint8]:
        """uint8 RGB [pixels, pixels, 3]."""
        return _rendered(self.kind, self.seed, self.pixels).rgb.copy()


@dataclass(frozen=True)
class RenderedMask:
    """The hands of a Render."""

    kind: str
    seed: int
    pixels: int

    def read(self) -> NDArray[np.uint8]:
        """uint8 [pixels, pixels]: 0 nothing, 1 the left hand, 2 the right hand."""
        return _rendered(self.kind, self.seed, self.pixels).hands.copy()


class Procedural:
    """`count` rendered samples, seeds first_seed .. first_seed + count - 1."""

    name = "procedural"

    def __init__(self, kind: str, count: int, pixels: int, first_seed: int = 0) -> None:
        """
        Args:
            kind: hand or person.
            count: how many.
            pixels: a side.
            first_seed: of the first one.

        Raises:
            UserError: another kind; a count, size or seed that makes no sense.
        """
        if kind not in SAMPLERS:
            raise UserError(f"expected one of {', '.join(SAMPLERS)}, got {kind!r}")
        if count < 1 or pixels < 16 or first_seed < 0:
            raise UserError(f"expected count >= 1, size >= 16, seed >= 0; got {count}, {pixels}, {first_seed}")
        self.kind, self.count, self.pixels, self.first_seed = kind, count, pixels, first_seed

    def __iter__(self) -> Iterator[Record | Skipped]:
        """Renders each sample as it is reached."""
        for seed in range(self.first_seed, self.first_seed + self.count):
            sample = _rendered(self.kind, seed, self.pixels)
            person = sample.keypoints.copy()
            person[:, 2] = person[:, 2] > 0
            yield Record(
                source=self.name,
                key=f"{self.kind}-{self.pixels}-{seed:09d}",
                image=Render(self.kind, seed, self.pixels),
                people=person[None],
                masks=RenderedMask(self.kind, seed, self.pixels),
                caption=sample.caption,
                attributes=dict(sample.attributes),
            )


@lru_cache(maxsize=4)
def _rendered(kind: str, seed: int, pixels: int) -> Sample:
    """A record asks for key points, picture and mask one after the other: the last few samples are kept."""
    return SAMPLERS[kind](seed, pixels)
