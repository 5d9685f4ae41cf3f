"""The caption of an example: the source's, a model's, or, for a hand, the plain words of what is known.

Which face of a hand is seen is left out, as everywhere in the training data: whoever uses a caption adds it.
"""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from handfirst.training.data.prepare.frame import Square
from handfirst.training.data.record import Record

Origin = Literal["given", "model", "words"]


class Captioner(Protocol):
    """Says what a picture shows."""

    def __call__(self, rgb: NDArray[np.uint8]) -> str:
        """rgb uint8 [S, S, 3] -> a line of text."""
        ...


def caption(
    record: Record, square: Square, picture: NDArray[np.uint8], captioner: Captioner | None
) -> tuple[str, Origin]:
    """The caption and where it comes from; the model sees the example, not the whole picture."""
    if record.caption is not None:
        return record.caption, "given"
    if captioner is not None and (said := " ".join(captioner(picture).split())):
        return said, "model"
    return hand_words(record, square), "words"


def hand_words(record: Record, square: Square) -> str:
    """For example "a left hand, peace sign"."""
    what = "a person" if square.name == "person" else " and ".join(f"a {side} hand" for side in square.sides)
    gesture = record.attributes.get("gesture", "").replace("_", " ").strip()
    return f"{what}, {gesture}" if gesture else what
