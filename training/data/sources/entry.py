"""What is common to an entry of any annotation file: checked numbers, names, keys, a person's array.

An entry that cannot be used raises UnusableError; its message is the reason, the same for the same trouble.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.pose.numbers import LARGEST
from handfirst.runtime.pose.topology import LEFT_HAND, POINTS, RIGHT_HAND
from handfirst.training.data.record import Split

SPLITS: tuple[Split, ...] = ("train", "val", "test")
LONGEST_NAME, LONGEST_PATH = 255, 1024
NOBODY = np.zeros((0, POINTS, 3), np.float32)
_NOT_IN_KEYS = re.compile(r"[^A-Za-z0-9_-]")


class UnusableError(Exception):
    """An entry that cannot be used; the message is the reason, in a few words that can be counted."""


def numbers(value: Any, shape: tuple[int, ...], what: str) -> NDArray[np.float64]:
    """JSON's nested lists -> float64 array of `shape`, where -1 stands for any length.

    Args:
        value: anything.
        shape: the lengths wanted.
        what: the plural that begins the reason ("key points").

    Raises:
        UnusableError: other lengths; values that are no numbers; NaN, infinity or more than 1e6.
    """
    out = any_numbers(value, shape, what)
    if not sensible(out).all():
        raise UnusableError(f"{what}: not finite")
    return out


def any_numbers(value: Any, shape: tuple[int, ...], what: str) -> NDArray[np.float64]:
    """As `numbers`, but NaN, infinity and huge numbers pass."""
    try:
        array = np.array(value)
    except ValueError as error:  # lists of different lengths
        raise UnusableError(f"{what}: wrong count") from error
    if array.ndim != len(shape) or any(s not in (-1, n) for s, n in zip(shape, array.shape, strict=True)):
        raise UnusableError(f"{what}: wrong count")
    if array.size and array.dtype.kind not in "iuf":
        raise UnusableError(f"{what}: not numbers")
    return array.astype(np.float64)


def sensible(array: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Where an array holds finite numbers of ordinary size."""
    return np.asarray(np.abs(array) <= LARGEST)  # NaN compares as false


def inside(folder: Path, name: Any) -> Path:
    """The file that an annotation names, below `folder`.

    Raises:
        UnusableError: no name, or one that leads out of the folder.
    """
    if not isinstance(name, str) or not name or "\0" in name or not _encodes(name):
        raise UnusableError("no file name")
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts:
        raise UnusableError("a file name that leaves its folder")
    return folder / parts


def _encodes(name: str) -> bool:
    """Whether a file system could hold it: names longer than this are an error there, not a missing file."""
    try:
        return all(len(os.fsencode(part)) <= LONGEST_NAME for part in name.split("/")) and len(name) <= LONGEST_PATH
    except UnicodeEncodeError:
        return False


def key_of(*parts: str) -> str:
    """A record's key: the parts joined by "-". Other characters become "_" and a hash keeps different names apart."""
    text = "-".join(parts)
    plain = _NOT_IN_KEYS.sub("_", text)
    if text and plain == text:
        return text
    return f"{plain}-{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()[:8]}"


def with_hands(left: NDArray[np.float64] | None, right: NDArray[np.float64] | None) -> NDArray[np.float32]:
    """One person of whom only hands are known.

    Args:
        left, right: [21, 3] in MediaPipe's order, x, y in pixels and 1 where known; None: a hand that is not known.

    Returns:
        float32 [133, 3]; zeros where nothing is known.
    """
    person = np.zeros((POINTS, 3), np.float32)
    for where, hand in ((LEFT_HAND, left), (RIGHT_HAND, right)):
        if hand is not None:
            person[where] = np.where(hand[:, 2:] > 0, hand, 0)
    return person
