"""Numbers and words as people ask for them: what a field of a job or of a request takes, and what it says if not.

Shared by the systems' jobs (whole files of them, from tables too) and requests. Knows no system.
"""

from __future__ import annotations

import math
import operator
from typing import Annotated

import numpy as np
from pydantic import BeforeValidator

from handfirst.runtime.errors import RequestError

EXACT = 1 << 53
"""From here on a float no longer tells whole numbers apart."""


def whole(name: str, value: object, least: int, most: int) -> int:
    """A request's whole number as Python's own; a RequestError says what was expected and what came."""
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise RequestError(f"{name}: expected a whole number from {least} to {most}, got {value!r}") from None
    if not least <= number <= most:
        raise RequestError(f"{name}: expected a whole number from {least} to {most}, got {number}")
    return number


def real(name: str, value: object, most: float) -> float:
    """The same for a number from 0 on."""
    number = float(value) if isinstance(value, int | float | np.integer | np.floating) else math.nan
    if isinstance(value, bool) or not 0 <= number <= most:
        raise RequestError(f"{name}: expected a number from 0 to {most}, got {value!r}")
    return number


def _no_truth(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("expected a number")
    return value


def _text(value: object) -> object:
    """An id of an image may be a number."""
    if isinstance(value, float) and value.is_integer():  # a table's column of numbers with gaps
        value = int(value)
    return str(value) if type(value) is int else value


def _exact(value: object) -> object:
    """Tables with gaps hold whole numbers as floats, and large ones have lost digits there."""
    if isinstance(value, float) and abs(value) >= EXACT:
        raise ValueError(f"expected a whole number with all of its digits, or one below {EXACT}")
    return _no_truth(value)


Whole = Annotated[int, BeforeValidator(_exact)]
Real = Annotated[float, BeforeValidator(_no_truth)]
Text = Annotated[str, BeforeValidator(_text)]
