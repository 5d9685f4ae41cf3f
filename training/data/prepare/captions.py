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

    def __call__(self, rgb: NDArray[np.uint8], /) -> str:
        """rgb uint8 [S, S, 3] -> a line of text."""
        ...


def caption(
    record: Record, square: Square, picture: NDArray[np.uint8], captioner: Captioner | None, anew: bool
) -> tuple[str, Origin]:
    """The caption and where it comes from.

    Args:
        picture: the example; a model sees this, not the whole picture.
        anew: the captioner writes although the source has a caption.
    """
    if captioner is not None and (anew or record.caption is None) and (said := " ".join(captioner(picture).split())):
        return said, "model"
    if record.caption is not None:
        return record.caption, "given"
    return hand_words(record, square), "words"


def hand_words(record: Record, square: Square) -> str:
    """For example "a left hand, peace sign"."""
    what = "a person" if square.name == "person" else " and ".join(f"a {side} hand" for side in square.sides)
    gesture = gesture_of(record, square).replace("_", " ").strip()
    return f"{what}, {gesture}" if gesture and gesture != "no gesture" else what


def gesture_of(record: Record, square: Square) -> str:
    """What the square's hand does: its own gesture where the source tells hands apart, else the picture's; "" unknown.

    HaGRID names a picture after the hand that shows something; the other one has "no_gesture".
    """
    own = record.attributes.get(f"{square.sides[0]}_hand") if len(square.sides) == 1 else None
    return own or record.attributes.get("gesture", "")
