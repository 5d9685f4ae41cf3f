"""MediaPipe's landmarks of one part: {x, y, z, visibility, presence}, or lists of these numbers, to x, y, confidence.

What is not said, and what is zero because some program fills it so, is told apart from what was not seen.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.errors import PoseError
from handfirst.runtime.pose.confidence import confident
from handfirst.runtime.pose.names import HAND_NAMES, MARK_NAMES, by_number, in_order
from handfirst.runtime.pose.numbers import number_or_gap
from handfirst.runtime.pose.points import CONFIDENCES

Marks = NDArray[np.float64]

POSE_MARKS, FACE_MARKS, HAND_MARKS = 33, 468, 21
VISIBLE = 0.5
"""Below this visibility a landmark is a guess at what is hidden or outside the picture."""
SCORES = tuple(name for name in CONFIDENCES if name not in ("visibility", "presence"))
LIKELY = 0.5
"""If half of a third column that is never negative reach this, it is a confidence: no depth is half a picture."""
BARE = "landmarks"
"""What a browser calls hands, which come with their handedness, and bodies, which do not."""


def landmarks_of(part: Any, counts: tuple[int, ...], what: str, notes: list[str], scored: bool = False) -> Marks | None:
    """Rows x, y, confidence; confidence 0 below VISIBLE.

    Args:
        scored: the third number of a landmark that is a list is its confidence; else that is judged.
    """
    if isinstance(part, dict):
        part = part.get("landmark", part.get(BARE))
    if part is None or part == []:
        return None
    if not isinstance(part, list) or len(part) not in counts:
        got = f"{len(part)} landmarks" if isinstance(part, list) else type(part).__name__
        raise PoseError(f"{what}: expected {' or '.join(map(str, counts))} landmarks, got {got}")
    part = by_number(part)
    if len(part) in (HAND_MARKS, POSE_MARKS):
        part = in_order(part, HAND_NAMES if len(part) == HAND_MARKS else MARK_NAMES, what)
    rows = np.array([_row(mark, what) for mark in part])
    seen = rows[:, 3]
    if np.isnan(seen).all() and all(mark is None or (isinstance(mark, list) and len(mark) == 3) for mark in part):
        seen = _third(rows[:, 2], scored, what, notes)
    filled = len(part) != POSE_MARKS and not scored and not any(_says_score(mark) for mark in part)
    confidence = _confidence(seen, rows[:, 4], filled, what)
    found = confident(np.column_stack([rows[:, :2], confidence]), what)
    found[~(found[:, 2] >= VISIBLE), 2] = 0
    return found


def _third(column: NDArray[np.float64], scored: bool, what: str, notes: list[str]) -> NDArray[np.float64]:
    """The confidences that a third column [K] holds; NaN if it is depth."""
    known = column[np.isfinite(column)]
    likely = scored or ((known >= 0).all() and (known <= 1).all() and np.mean(known >= LIKELY) >= 0.5)
    if not scored and (known >= 0).all() and known.any():
        read = "confidence" if likely else "depth"
        notes.append(f"{what}: the third number of its landmarks is read as {read}; write {{x, y, z, visibility}}")
    return column if likely else np.full(len(column), np.nan)


def _says_score(mark: Any) -> bool:
    return isinstance(mark, dict) and any(mark.get(name) is not None for name in SCORES)


def _confidence(seen: Marks, presence: Marks, filled: bool, what: str) -> Marks:
    """Out of visibility and presence [K], NaN where they are not said. Of a body, protobuf leaves zeros out.

    Args:
        filled: zero throughout says nothing: hands and faces have no visibility, and some programs fill it with zeros.

    Raises:
        PoseError: nothing was seen.
    """
    if np.isnan(seen).all():
        out = np.ones(len(seen))
    else:
        out = np.nan_to_num(seen)
        if not (out > 0).any() and (out == 0).all():
            if not filled:
                raise PoseError(f"{what}: the visibility of all landmarks is 0: none was seen")
            out = np.ones(len(seen))
    return np.minimum(out, np.nan_to_num(presence)) if (presence > 0).any() else out


def _row(mark: Any, what: str) -> tuple[float, float, float, float, float]:
    """x, y, depth, visibility, presence; NaN for what is not said."""
    if mark is None:
        return (np.nan,) * 5
    if isinstance(mark, dict):
        if not {"x", "y"} <= mark.keys():
            raise PoseError(f"{what}: expected landmarks {{x, y, z, visibility}}, got {str(mark)[:40]!r}")
        seen = next((mark[name] for name in ("visibility", *SCORES) if mark.get(name) is not None), None)
        mark = [mark["x"], mark["y"], None, seen, mark.get("presence")]
    if not isinstance(mark, list) or not 2 <= len(mark) <= 5:
        raise PoseError(f"{what}: expected landmarks {{x, y, z, visibility}}, got {str(mark)[:40]!r}")
    x, y, z, seen, presence = (number_or_gap(value, what) for value in (*mark, *(5 - len(mark)) * [None]))
    return x, y, z, seen, presence
