"""A labeller by what it is: a model's folder, what it is asked, and a hash that its labels are kept under.

Knows nothing about crops or records; heavy imports wait until a model is opened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.pose.topology import SIDES, Side
from handfirst.training.data.images import encode_png
from handfirst.training.data.store import key_of

Kind = Literal["mask", "caption"]
SAMPLE = 1 << 20
"""Bytes of either end of a weight file that tell it from another one of the same size."""


@dataclass(frozen=True, eq=False)
class Question:
    """A picture that a model is to label.

    Attributes:
        key: of the answer: of the model and of all that it is shown.
        rgb: uint8 [S, S, 3].
        hands: for a mask, the points [21, 2] of each hand in the picture's pixels, NaN where unknown.
    """

    key: bytes
    rgb: NDArray[np.uint8]
    hands: Mapping[Side, NDArray[np.float64]]


Answer = Callable[[Sequence[Question]], list[bytes]]
"""A mask as a PNG of labels (1 left, 2 right), a caption as UTF-8."""


class Labeller(Protocol):
    """Small, picklable and hashable; whoever is to answer opens it."""

    def __hash__(self) -> int: ...

    @property
    def batch(self) -> int:
        """Pictures at once."""
        ...

    def open(self, device: str, /) -> Answer:
        """On a device, as torch names it.

        Raises:
            UserError: it cannot be read.
        """
        ...


@dataclass(frozen=True)
class Model:
    """A checkpoint of SAM, BLIP or LLaVA.

    Attributes:
        kind: what it makes.
        folder: of the checkpoint.
        stage: a captioner is asked about a hand or a body.
        identity: a hash of the checkpoint and of what it is asked; not of the precision it computes in.
    """

    kind: Kind
    folder: str
    stage: Literal["hand", "body"]
    identity: bytes

    @property
    def batch(self) -> int:
        return 16 if self.kind == "mask" else 32

    def question(self, rgb: NDArray[np.uint8], hands: Mapping[Side, NDArray[np.float64]] | None = None) -> Question:
        """About a picture uint8 [S, S, 3]."""
        hands = hands or {}
        points = [side.encode() + np.ascontiguousarray(hands[side]).tobytes() for side in SIDES if side in hands]
        shape = str(rgb.shape).encode()
        return Question(key_of(self.identity, shape, np.ascontiguousarray(rgb).tobytes(), *points), rgb, hands)

    def open(self, device: str) -> Answer:
        half = device.startswith("cuda")
        if self.kind == "mask":
            from handfirst.training.data.labels.segment import open_sam

            segment = open_sam(Path(self.folder), device, half)
            return lambda asked: [encode_png(m) for m in segment([q.rgb for q in asked], [q.hands for q in asked])]
        from handfirst.training.data.labels.caption import open_captioner

        caption = open_captioner(Path(self.folder), self.stage, device, half)
        return lambda asked: [text.encode() for text in caption([q.rgb for q in asked])]


def named(kind: Kind, folder: Path, stage: Literal["hand", "body"]) -> Model:
    """The labeller of a checkpoint's folder; its weights are told by their sizes and both ends, not read whole."""
    digest = blake2b(f"{kind} {stage if kind == 'caption' else ''}".encode(), digest_size=16)
    for file in sorted(path for path in folder.iterdir() if path.is_file()):
        with file.open("rb") as opened:
            digest.update(f"{file.name} {file.stat().st_size}".encode())
            digest.update(opened.read(SAMPLE))
            opened.seek(max(0, file.stat().st_size - SAMPLE))
            digest.update(opened.read(SAMPLE))
    return Model(kind, str(folder), stage, digest.digest())
