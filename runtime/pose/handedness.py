"""Whose left is left: what is said of a hand's side, by whom, and whether that is the side's name in a mirror.

MediaPipe Hands takes every picture for a mirrored one and so calls a right hand "Left", and TensorFlow.js passes that
on under `handedness`. MediaPipe Tasks names sides as they are since 0.10.5; before, it named them as Hands does, which
shows in the label's index. A `side` is the file's own word and never swapped. Sides that are swapped, and sides of
which nobody knows who named them, are told in a note.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from handfirst.runtime.errors import PoseError

SIDE_FIELDS = ("handedness", "label", "side")
"""Of one hand of a list."""
NAMES = ("label", "category_name", "categoryName")
SWAPPED = ((0, "Left"), (1, "Right"))
"""Index and label as Tasks paired them before 0.10.5. The index is the network's, which has not changed."""
TRUE = ((0, "Right"), (1, "Left"))
"""The same since then."""
UNSURE = "sides are taken as named: if MediaPipe Hands named them, not Tasks, they are mirrored"
MIRRORED = "left and right are swapped: MediaPipe Hands, and who passes its labels on, names hands as in a mirror"


@dataclass(frozen=True)
class Label:
    """What is said of a side.

    Attributes:
        said: text, a category {label or category_name, index, score}, or a list of such.
        mirror: whether who says so takes every picture for a mirrored one.
        sure: whether nobody but the file itself says so.
    """

    said: Any
    mirror: bool = False
    sure: bool = False


def labels_of(item: dict[str, Any], browser: bool) -> list[Label]:
    """Of one hand of a list.

    Args:
        browser: its points are called as TensorFlow.js does.
    """
    names = [name for name in SIDE_FIELDS if item.get(name) is not None]
    return [Label(item[name], browser and name == "handedness", name == "side") for name in names] or [Label(None)]


def is_right(labels: list[Label], who: str, notes: list[str]) -> bool:
    """Whether it is a right hand in the picture that was looked at.

    Args:
        labels: at least one.
        who: for the message.
        notes: get a line for a side that was swapped, or taken as named.

    Raises:
        PoseError: a label says no side, or two say different ones.
    """
    read = [_read(label, who) for label in labels]
    if len({right for right, _, _ in read}) > 1:
        raise PoseError(f"{who}: two labels say different sides; keep the true one as its side")
    said = [MIRRORED] if any(swapped for _, swapped, _ in read) else []
    if not said and not any(sure for _, _, sure in read):
        said = [UNSURE]
    notes += [line for line in said if line not in notes]
    return read[0][0]


def _read(label: Label, who: str) -> tuple[bool, bool, bool]:
    """Whether it is right; whether its name was swapped; whether it is sure who named it."""
    said = label.said
    if isinstance(said, dict):
        said = said.get("classification", said)
    if isinstance(said, list):
        said = max(said, key=_score) if said else None
    index = None
    if isinstance(said, dict):
        index, names = said.get("index"), [said[name] for name in NAMES if said.get(name) is not None]
        said = names[0] if names else None
        if any(name != said for name in names):
            raise PoseError(f"{who}: its label has two names that differ; keep one of them")
    side = said.strip().capitalize() if isinstance(said, str) else said
    if side not in ("Left", "Right"):
        raise PoseError(f'{who}: expected the label "Left" or "Right", got {str(said)[:40]!r}')
    swapped = label.mirror or (type(index) is int and (index, side) in SWAPPED)
    told = label.sure or label.mirror or (type(index) is int and (index, side) in TRUE)
    return side == ("Left" if swapped else "Right"), swapped, told


def _score(category: Any) -> float:
    score = category.get("score") if isinstance(category, dict) else None
    return float(score) if isinstance(score, int | float) and abs(score) < 1e6 else 0.0
