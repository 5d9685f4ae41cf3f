"""One record into its examples: cuts, pixels, masks, captions; every rejection has a reason.

Where the source has no masks, they are found from the key points, on squares of 512 pixels whatever the examples' size
is, so that the dilation is the paper's. A caption is the source's, a model's, or, for a hand, the plain words of what
is known; which face of a hand is seen is left out, as everywhere in the training data: whoever uses a caption adds it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.pose.crop import hand_box
from handfirst.runtime.pose.person import Person
from handfirst.runtime.pose.topology import Side
from handfirst.runtime.pose.view import hand_view
from handfirst.training.data.example import Example
from handfirst.training.data.prepare.cuts import (
    LABELS,
    Cut,
    body_cut,
    cut_labels,
    cut_picture,
    cut_points,
    hand_squares,
    move_labels,
    own,
)
from handfirst.training.data.prepare.draw import rank
from handfirst.training.data.prepare.filters import NO_MASK
from handfirst.training.data.prepare.settings import REFERENCE, PrepareSettings
from handfirst.training.data.prepare.table import WRITTEN
from handfirst.training.data.record import Record, UnreadableError, to_person

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
    for cut in _cuts(record, person, settings, image.shape[1], image.shape[0]):
        if isinstance(cut, Rejected):
            yield cut
        else:
            yield _example(record, person, image, labels, cut, settings, helpers)


def _cuts(record: Record, person: Person, settings: PrepareSettings, width: int, height: int) -> list[Cut | Rejected]:
    if settings.stage == "body":
        cut = body_cut(person, settings.body_margin, settings.body_sizes, width, height)
        return [Rejected(APART) if cut is None else cut]
    squares = hand_squares(person, settings.hand, width, height)
    if settings.hands == "one" and len(squares) > 1:
        squares = [squares[rank(settings.seed, record.source, record.key, "hand") % len(squares)]]
    return [Rejected(OUTSIDE) if s.outside(width, height) > settings.outside else s for s in squares]


def _example(
    record: Record,
    person: Person,
    image: NDArray[np.uint8],
    labels: NDArray[np.uint8] | None,
    cut: Cut,
    settings: PrepareSettings,
    helpers: Helpers,
) -> Example | Rejected:
    if labels is not None:
        hands = cut_labels(labels, cut)
    elif helpers.segment is not None:
        hands = found_mask(image, person, cut, settings, helpers.segment)
    elif settings.without_masks:
        hands = np.zeros(cut.size[::-1], np.uint8)
    else:
        return Rejected(NO_MASK)
    masked = labels is not None or helpers.segment is not None
    if masked and not large_enough(hands, settings):
        return Rejected(SMALL)
    picture = cut_picture(image, cut)
    text, origin = caption(record, cut, picture, helpers.caption, settings.captions == "model")
    facts = {"caption_from": origin, "mask_from": "source" if labels is not None else "sam" if masked else "none"}
    return Example(
        key=f"{record.source}-{record.key}-{cut.name}",
        rgb=picture,
        hands=hands,
        keypoints=cut_points(person, cut),
        caption=text,
        attributes={**record.attributes, **_facts(record, person, cut), **facts},
    )


def _facts(record: Record, person: Person, cut: Cut) -> dict[str, str]:
    """What the key points say: sides and views, hands in the order left, right; lengths in the picture's pixels."""
    boxes = [hand_box(person.hand(side)) for side in cut.sides]
    gesture = gesture_of(record, cut)
    return {
        **({"gesture": gesture} if gesture else {}),
        "source": record.source,
        "side": "both" if len(cut.sides) == 2 else cut.sides[0],
        "view": " and ".join(hand_view(person.hand(side), side) for side in cut.sides),
        "hand_px": " and ".join(f"{float((box[2:] - box[:2]).max()):.0f}" for box in boxes),
        "square_px": f"{cut.extent.min():.0f}",
    }


Origin = Literal["given", "model", "table", "words"]


class Captioner(Protocol):
    """Says what a picture shows."""

    def __call__(self, rgb: NDArray[np.uint8], /) -> str:
        """rgb uint8 [H, W, 3] -> a line of text."""
        ...


def caption(
    record: Record, cut: Cut, picture: NDArray[np.uint8], captioner: Captioner | None, anew: bool
) -> tuple[str, Origin]:
    """The caption and where it comes from.

    Args:
        picture: the example; a model sees this, not the whole picture.
        anew: the captioner writes although the source has a caption.
    """
    if record.caption is None and WRITTEN in record.attributes:
        return hand_words(record, cut), "table"
    if captioner is not None and (anew or record.caption is None) and (said := " ".join(captioner(picture).split())):
        return said, "model"
    if record.caption is not None:
        return record.caption, "given"
    return hand_words(record, cut), "words"


def hand_words(record: Record, cut: Cut) -> str:
    """For example "a left hand, peace sign", or "a left hand of a woman, light skin" where a table says so."""
    what = "a person" if cut.name == "person" else " and ".join(f"a {side} hand" for side in cut.sides)
    what = " ".join((what, *([record.attributes[WRITTEN]] if WRITTEN in record.attributes else [])))
    gesture = gesture_of(record, cut).replace("_", " ").strip()
    return f"{what}, {gesture}" if gesture and gesture != "no gesture" else what


def gesture_of(record: Record, cut: Cut) -> str:
    """What the cut's hand does: its own gesture where the source tells hands apart, else the picture's; "" unknown.

    HaGRID names a picture after the hand that shows something; the other one has "no_gesture".
    """
    own = record.attributes.get(f"{cut.sides[0]}_hand") if len(cut.sides) == 1 else None
    return own or record.attributes.get("gesture", "")


DILATION = 5
"""Side of the square that found masks are dilated by, once (paper, section IV-A)."""


class Segmenter(Protocol):
    """Finds hands in a square picture."""

    def __call__(
        self, rgb: NDArray[np.uint8], hands: Mapping[Side, NDArray[np.float64]], /
    ) -> NDArray[np.uint8]:  # fmt: skip
        """rgb uint8 [S, S, 3] and the points [21, 2] of each hand, NaN where unknown -> uint8 [S, S] (1, 2)."""
        ...


def found_mask(
    image: NDArray[np.uint8], person: Person, cut: Cut, settings: PrepareSettings, segment: Segmenter
) -> NDArray[np.uint8]:
    """uint8 [H, W] (1, 2): every hand is looked for in its own crop, as stage 1 sees it, and put into the cut."""
    height, width = image.shape[:2]
    crop = settings.hand.model_copy(update={"size": REFERENCE})
    found = np.zeros(cut.size[::-1], np.uint8)
    for looked_at in hand_squares(person, crop, width, height):
        if not set(looked_at.sides) & set(cut.sides):
            continue
        seen = cut_picture(image, looked_at)
        hands = {side: looked_at.similarity.apply(person.hand(side)) for side in looked_at.sides}
        labels = own(dilated(segment(seen, hands)), looked_at)
        there = cut.similarity.inverse().then(looked_at.similarity)
        moved = move_labels(labels, there, cut.size)
        found = np.where(moved > 0, moved, found)
    return own(found, cut)


def dilated(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Every hand grown by DILATION, but not into another one; where both grow into a pixel it is the left hand's."""
    out = labels.copy()
    kernel = np.ones((DILATION, DILATION), np.uint8)
    for label in LABELS.values():
        grown = cv2.dilate((labels == label).astype(np.uint8), kernel) > 0
        out[grown & (out == 0)] = label
    return out


def large_enough(hands: NDArray[np.uint8], settings: PrepareSettings) -> bool:
    """Whether an example uint8 [H, W] has enough hand in it, counted as if H and W were 512."""
    return bool((hands > 0).sum() * REFERENCE**2 / hands.size >= settings.smallest_mask)
