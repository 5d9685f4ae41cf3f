"""What is seen to be of no use before a pixel is read (paper, section IV-A: exactly one person).

A reason is a few words, the same for the same trouble; the rejections that need pixels are in `cut` and `examples`.
"""

from __future__ import annotations

from handfirst.training.data.prepare.settings import PrepareSettings
from handfirst.training.data.record import Record, shows_a_hand

MORE_PEOPLE = "more than one person"
NO_POINTS = "no key points"
NO_HAND = "no hand among the key points"
NO_MASK = "no hand mask"
NO_CAPTION = "no caption"
NOT_FOUND = "MediaPipe found no hand"

REMEDY = {
    NO_POINTS: "--key-points mediapipe looks for them",
    NO_HAND: "--key-points mediapipe looks for hands",
    NO_MASK: "--sam FOLDER makes masks",
    NO_CAPTION: "--captioner FOLDER makes captions",
}


def needs_points(record: Record) -> bool:
    """Whether no hand is known in it."""
    return not any(shows_a_hand(person) for person in record.people)


def rejection(record: Record, settings: PrepareSettings) -> str | None:
    """Why the record is of no use, or None."""
    if len(record.people) > 1:
        return MORE_PEOPLE
    if settings.key_points == "given" and needs_points(record):
        return NO_HAND if len(record.people) else NO_POINTS
    if record.masks is None and settings.sam is None and not settings.without_masks:
        return NO_MASK
    if settings.stage == "body" and record.caption is None and settings.captioner is None:
        return NO_CAPTION
    return None
