"""One record into its examples: squares, pixels, masks, captions; every rejection has a reason."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.pose.crop import hand_box
from handfirst.runtime.pose.person import Person
from handfirst.runtime.pose.view import hand_view
from handfirst.training.data.example import Example
from handfirst.training.data.people import to_person
from handfirst.training.data.prepare.captions import Captioner, caption, gesture_of
from handfirst.training.data.prepare.cut import cut_labels, cut_picture, cut_points
from handfirst.training.data.prepare.draw import rank
from handfirst.training.data.prepare.filters import NO_MASK
from handfirst.training.data.prepare.frame import Square, body_square, hand_squares
from handfirst.training.data.prepare.masks import Segmenter, found_mask, large_enough
from handfirst.training.data.prepare.settings import PrepareSettings
from handfirst.training.data.record import Record, UnreadableError

APART = "hands too far apart for a square"
OUTSIDE = "crop leaves the picture"
SMALL = "hand mask too small"
OTHER_SIZE = "mask of another size than its picture"


@dataclass(frozen=True)
class Helpers:
    """The models at hand; None where none was given."""

    segment: Segmenter | None = None
    caption: Captioner | None = None


@dataclass(frozen=True)
class Rejected:
    """A picture, or a crop of it, that gives no example, and why."""

    reason: str


def examples(record: Record, settings: PrepareSettings, helpers: Helpers) -> Iterator[Example | Rejected]:
    """The examples of a record whose one person is known."""
    person = to_person(record.people[0])
    try:
        image = record.image.read()
        labels = record.masks.read() if record.masks is not None else None
    except UnreadableError as error:
        yield Rejected(str(error))
        return
    if labels is not None and labels.shape != image.shape[:2]:
        yield Rejected(OTHER_SIZE)
        return
    for square in _squares(record, person, settings, image.shape[1], image.shape[0]):
        if isinstance(square, Rejected):
            yield square
        else:
            yield _example(record, person, image, labels, square, settings, helpers)


def _squares(
    record: Record, person: Person, settings: PrepareSettings, width: int, height: int
) -> list[Square | Rejected]:
    if settings.stage == "body":
        square = body_square(person, settings.body_margin, settings.size, width, height)
        return [Rejected(APART) if square is None else square]
    squares = hand_squares(person, settings.hand, width, height)
    if settings.hands == "one" and len(squares) > 1:
        squares = [squares[rank(settings.seed, record.source, record.key, "hand") % len(squares)]]
    return [Rejected(OUTSIDE) if s.outside(width, height) > settings.outside else s for s in squares]


def _example(
    record: Record,
    person: Person,
    image: NDArray[np.uint8],
    labels: NDArray[np.uint8] | None,
    square: Square,
    settings: PrepareSettings,
    helpers: Helpers,
) -> Example | Rejected:
    if labels is not None:
        hands = cut_labels(labels, square, settings.size)
    elif helpers.segment is not None:
        hands = found_mask(image, person, square, settings, helpers.segment)
    else:
        return Rejected(NO_MASK)
    if not large_enough(hands, settings):
        return Rejected(SMALL)
    picture = cut_picture(image, square.similarity, settings.size)
    text, origin = caption(record, square, picture, helpers.caption, settings.captions == "model")
    facts = {"caption_from": origin, "mask_from": "source" if labels is not None else "sam"}
    return Example(
        key=f"{record.source}-{record.key}-{square.name}",
        rgb=picture,
        hands=hands,
        keypoints=cut_points(person, square, settings.size),
        caption=text,
        attributes={**record.attributes, **_facts(record, person, square), **facts},
    )


def _facts(record: Record, person: Person, square: Square) -> dict[str, str]:
    """What the key points say: sides and views, hands in the order left, right; lengths in the picture's pixels."""
    boxes = [hand_box(person.hand(side)) for side in square.sides]
    gesture = gesture_of(record, square)
    return {
        **({"gesture": gesture} if gesture else {}),
        "source": record.source,
        "side": "both" if len(square.sides) == 2 else square.sides[0],
        "view": " and ".join(hand_view(person.hand(side), side) for side in square.sides),
        "hand_px": " and ".join(f"{float((box[2:] - box[:2]).max()):.0f}" for box in boxes),
        "square_px": f"{square.side_px:.0f}",
    }
