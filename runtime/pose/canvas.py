"""How large the canvas of a pose is: what a file says of it, under which names, and what if that is doubtful.

What is said nearest to the people goes first: by the frame itself, by what lies around it (an image's entry, the file),
by single people. A frame that says nothing takes the canvas of its neighbours. Whoever asks for a size gets it. Every
contradiction is told in a note. Knows nothing about points.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from handfirst.runtime.errors import PoseError
from handfirst.runtime.pose.numbers import canvas_size
from handfirst.runtime.pose.size import LARGEST_SIDE

PAIRS = (
    ("canvas_width", "canvas_height"), ("canvasWidth", "canvasHeight"), ("width", "height"),
    ("image_width", "image_height"), ("imageWidth", "imageHeight"), ("img_width", "img_height"),
    ("frame_width", "frame_height"), ("video_width", "video_height"), ("videoWidth", "videoHeight"), ("W", "H"),
)  # fmt: skip
LISTS = ("image_size", "imageSize", "img_size", "canvas_size", "canvasSize", "frame_size", "size", "resolution")
"""Width and height in one list, nearly always in this order, or "640x480"."""
SHAPES = ("ori_shape", "img_shape", "image_shape")
"""Height, width and perhaps channels, as NumPy has them."""
INSIDE = ("canvas", "image", "meta", "metadata", "meta_info", "info", "img_meta", *LISTS)
"""Objects in which the sizes may lie."""
SHOWN = 4


@dataclass(frozen=True)
class Said:
    """What something says of its canvas, not looked at."""

    width: Any
    height: Any
    doubt: str = ""
    """A note, if this is what is taken."""


@dataclass(frozen=True)
class Wish:
    """What a caller says of the canvas, (width, height) in pixels."""

    size: tuple[int, int] | None = None
    """Whatever the file says."""
    default: tuple[int, int] | None = None
    """Where the file says nothing."""

    def __post_init__(self) -> None:
        for side in (self.size, self.default):
            if side is not None:
                canvas_size(*side, "size")


def said(data: Any, deep: int = 1) -> list[Said]:
    """All that an object says, under any of the usual names; nothing of what is no object.

    Args:
        data: parsed JSON, or a dict of arrays; FoundHand's mask is as large as its canvas.
        deep: how many objects may lie around the sizes.
    """
    if not isinstance(data, Mapping):
        return []
    found = []
    mask = data.get("hand_mask")
    if isinstance(mask, np.ndarray) and mask.ndim == 2:
        found.append(Said(mask.shape[1], mask.shape[0]))
    for pair in PAIRS:
        width, height = (_single(data.get(name)) for name in pair)
        if width is not None and height is not None:
            found.append(Said(width, height))
    found += [each for name in LISTS if (each := _in_one(data.get(name), name))]
    for name in SHAPES:
        sides = _sides(data.get(name))
        if sides is not None and len(sides) in (2, 3):
            found.append(Said(sides[1], sides[0]))
    if deep:
        found += [each for name in INSIDE if name in data for each in said(data[name], deep - 1)]
    return found


def canvas_of(own: Iterable[Said], neighbours: Iterable[Said], wish: Wish) -> tuple[tuple[int, int], list[str]]:
    """Width and height in pixels, and a note for whatever is doubtful about them.

    Args:
        own: what the file says of the frame's canvas, the nearest first.
        neighbours: what it says of other frames' canvases.
        wish: the caller's.

    Raises:
        PoseError: nobody says how large it is, or what the file says is no size.
    """
    sizes, errors = _checked(own)
    notes = [f"the file's own size of the canvas is none: {errors[0]}"] if errors else []
    borrowed = not sizes
    if borrowed:
        sizes, _ = _checked(neighbours)
    if wish.size is not None:
        if not borrowed and any(size != wish.size for size in sizes):
            notes.append(f"the canvas is {_text(wish.size)}, as was asked for; the file itself says {_several(sizes)}")
        return wish.size, notes
    if not sizes and wish.default is not None:
        return wish.default, notes
    if not sizes:
        raise (
            errors[0] if errors else PoseError("the file does not say how large its canvas is; add --size WIDTHxHEIGHT")
        )
    size, doubt = next(iter(sizes.items()))
    if borrowed:
        notes.append(f"the frame does not say how large its canvas is: {_text(size)} is taken from another frame")
    if doubt:
        notes.append(doubt)
    if len(sizes) > 1:
        notes.append(f"the file says several sizes of the canvas ({_several(sizes)}): the first is taken")
    if wish.default not in (None, size):
        notes.append(f"the canvas is {_text(size)}, as the file itself says, and not the usual {_text(wish.default)}")
    return size, notes


def _checked(all_said: Iterable[Said]) -> tuple[dict[tuple[int, int], str], list[PoseError]]:
    """Different sizes in their order with their doubts, and what is wrong with those that are none."""
    sizes: dict[tuple[int, int], str] = {}
    errors = []
    for each in all_said:
        try:
            sizes.setdefault(canvas_size(each.width, each.height, "canvas"), each.doubt)
        except PoseError as error:
            errors.append(error)
    return sizes, errors


def _in_one(value: Any, name: str) -> Said | None:
    if isinstance(value, str) and (match := re.fullmatch(r"\s*([0-9]{1,5})\s*[xX,]\s*([0-9]{1,5})\s*", value)):
        return Said(int(match[1]), int(match[2]))
    sides = _sides(value)
    if sides is None or len(sides) != 2:
        return None
    doubt = "" if sides[0] == sides[1] else f"{name} is read as width, height: a canvas of {sides[0]} x {sides[1]}"
    return Said(sides[0], sides[1], doubt)


def _sides(value: Any) -> Sequence[Any] | None:
    """A list of plain numbers of pixels; None for anything else, such as a factor."""
    value = value.tolist() if isinstance(value, np.ndarray) and value.ndim == 1 else value
    plain = isinstance(value, list) and all(type(side) in (int, float) and 0 <= side <= LARGEST_SIDE for side in value)
    return value if plain else None


def _single(value: Any) -> Any:
    return value.item() if isinstance(value, np.ndarray) and value.size == 1 else value


def _text(size: tuple[int, int] | None) -> str:
    return f"{size[0]} x {size[1]}" if size else ""


def _several(sizes: Iterable[tuple[int, int]]) -> str:
    texts = [_text(size) for size in sizes]
    return ", ".join(texts[:SHOWN]) + (", ..." if len(texts) > SHOWN else "")
