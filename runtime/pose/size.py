"""How large a canvas may be, and its size as people write it. Knows nothing about files."""

from __future__ import annotations

import re

from handfirst.engines.errors import UserError

LARGEST_SIDE = 16384
"""Pixels: of a pose's canvas, of a picture, and of what a model may paint. The largest photos of telephones fit."""


def parse_size(text: str | None, name: str) -> tuple[int, int] | None:
    """ "768x512" -> (768, 512), width first; None stays None.

    Args:
        text: what was written.
        name: of the option or field, for the message.

    Raises:
        UserError: anything else, or a side that is 0 or above LARGEST_SIDE.
    """
    if text is None:
        return None
    match = re.fullmatch(r"([0-9]{1,9})[xX]([0-9]{1,9})", text.strip())
    width, height = (int(side) for side in match.groups()) if match else (0, 0)
    if not (0 < width <= LARGEST_SIDE and 0 < height <= LARGEST_SIDE):
        raise UserError(f"{name}: expected WIDTHxHEIGHT up to {LARGEST_SIDE}, such as 512x768; got {text!a:.60}")
    return width, height
