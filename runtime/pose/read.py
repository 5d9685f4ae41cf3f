"""A pose from a file, whatever its format. How formats are told apart is known here and nowhere else.

No single name tells a format: every reader whose names are there tries, and the first that finds somebody is right.
A frame, person or part that cannot be read costs no other: it is left out, and a warning says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from handfirst.runtime.errors import PoseError
from handfirst.runtime.pose.arrays import (
    find_foundhand,
    find_interhand,
    find_own,
    has_42_points,
    is_foundhand,
    is_own,
)
from handfirst.runtime.pose.canvas import Said, Wish, canvas_of
from handfirst.runtime.pose.coco import find_coco, is_coco
from handfirst.runtime.pose.confidence import Table
from handfirst.runtime.pose.content import is_array_file, parse_json, plain_bytes, read_arrays
from handfirst.runtime.pose.dwpose import find_dwpose, is_dwpose
from handfirst.runtime.pose.formats import FORMATS, PoseFormat
from handfirst.runtime.pose.frames import Frame, chosen, frames
from handfirst.runtime.pose.landmarks import find_mediapipe, is_mediapipe
from handfirst.runtime.pose.openpose import find_openpose, is_openpose
from handfirst.runtime.pose.person import Person, Pose
from handfirst.runtime.pose.photo import is_photo, read_photo
from handfirst.runtime.pose.points import Found, in_pixels
from handfirst.runtime.pose.sanity import sanity_warnings

LARGEST_FILE = 64 << 20
PICKLE = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
TEXTS = ("openpose", "a1111", "mediapipe")
"""These never hold arrays."""
MOST_NAMED = 8
"""Warnings about what was left out; more are counted."""
TOLD: dict[PoseFormat, tuple[Callable[[Any], bool], Callable[[Any], Found]]] = {
    "handfirst": (is_own, find_own),
    "dwpose": (is_dwpose, find_dwpose),
    "mediapipe": (is_mediapipe, find_mediapipe),
    "openpose": (is_openpose, find_openpose),
    "coco": (is_coco, find_coco),
    "foundhand": (is_foundhand, find_foundhand),
    "interhand": (lambda data: isinstance(data, dict) and "joints" in data, find_interhand),
}
"""In the order in which they try."""
ASKED: dict[PoseFormat, tuple[Callable[[Any], bool], Callable[[Any], Found]]] = TOLD | {
    "a1111": TOLD["openpose"],
    "foundhand": (lambda data: is_foundhand(data) or has_42_points(data), find_foundhand),
    "interhand": (lambda data: isinstance(data, list | dict), find_interhand),
}
"""For whoever says which."""


def read_pose(
    path: Path | str,
    size: tuple[int, int] | None = None,
    format: PoseFormat | None = None,
    mirrored: bool = False,
    frame: int | None = None,
    image: str | None = None,
    default_size: tuple[int, int] | None = None,
) -> Pose:
    """Reads any file of docs/poses.md: OpenPose, COCO-WholeBody, MediaPipe, DWPose, MMPose, arrays, or a photo.

    A photo is looked at by MediaPipe (the `eval` extra).

    Args:
        path: a plain file of at most LARGEST_FILE bytes.
        size: (width, height) of the canvas in pixels, for formats that do not say it; overrides those that do, and a
            warning says so.
        format: for files that do not say what they are (arrays of 42 points); None: told from the content.
        mirrored: of MediaPipe Hands only: the picture was flipped before MediaPipe saw it; the pose is flipped back.
        frame: from 1; None: the first in which there is somebody.
        image: the id or the file name of one of the images that the file names.
        default_size: as `size`, but only where the file does not say it; a photo is as large as it is.

    Raises:
        PoseError: one line: the file, what was expected, what came, how to mend it.
    """
    path = Path(path)
    try:
        return decode_pose(plain_bytes(path, LARGEST_FILE), size, format, mirrored, frame, image, default_size)
    except PoseError as error:
        raise PoseError(f"{path}: {error}") from error


def decode_pose(
    content: bytes,
    size: tuple[int, int] | None = None,
    format: PoseFormat | None = None,
    mirrored: bool = False,
    frame: int | None = None,
    image: str | None = None,
    default_size: tuple[int, int] | None = None,
) -> Pose:
    """A pose from the content of a file; the arguments as in `read_pose`.

    Raises:
        PoseError: one line: what was expected, what came, how to mend it.
    """
    if content.startswith(PICKLE):
        raise PoseError("a pickle can run code and is not loaded; save its arrays with numpy.savez instead")
    if is_photo(content):
        if size is not None or format is not None or mirrored or frame not in (None, 1) or image is not None:
            raise PoseError(
                "a photo has its own size, one frame and no format; drop --size, --format, --mirrored, --frame, --image"
            )
        pose = read_photo(content)
        _, notes = canvas_of([Said(pose.width, pose.height)], (), Wish(default=default_size))
        return _finished(pose, tuple(notes))
    data = read_arrays(content) if is_array_file(content) else parse_json(content)
    return parse_pose(data, size, format, mirrored, frame, image, default_size)


def parse_pose(
    data: Any,
    size: tuple[int, int] | None = None,
    format: PoseFormat | None = None,
    mirrored: bool = False,
    frame: int | None = None,
    image: str | None = None,
    default_size: tuple[int, int] | None = None,
) -> Pose:
    """A pose from parsed JSON or from a dict of arrays, of whatever format; the arguments as in `read_pose`.

    Raises:
        PoseError: one line: what was expected, what came, how to mend it.
    """
    asked = _Asked(Wish(size, default_size), format, mirrored)
    every = frames(data)
    wanted = chosen(every, frame, image)
    errors: list[PoseError] = []
    empty: tuple[int, Pose] | None = None
    for number, each in wanted:
        try:
            pose = _pose(each, asked)
        except PoseError as error:
            errors.append(error)
            continue
        if _somebody(pose):
            return _finished(pose, _passed_over(every, wanted, number, errors))
        empty = empty or (number, pose)
    if empty is None or errors:
        raise errors[0]
    return _finished(empty[1], _nobody(every, wanted))


@dataclass(frozen=True)
class _Asked:
    """What a caller says of every frame."""

    canvas: Wish
    format: PoseFormat | None
    mirrored: bool


def _pose(frame: Frame, asked: _Asked) -> Pose:
    """One frame in pixels, with what its reader has to say."""
    if frame.error is not None:
        raise frame.error
    found = _found(frame.data, asked)
    size, doubts = canvas_of(frame.sizes, frame.neighbours, asked.canvas)
    people, notes = in_pixels(found, size)
    if asked.mirrored:
        for rows in people:
            rows[:, 0] = size[0] - rows[:, 0]
    lost = [f"{line} (left out)" for line in found.lost[:MOST_NAMED]]
    if len(found.lost) > MOST_NAMED:
        lost.append(f"{len(found.lost) - MOST_NAMED} more parts cannot be read and are left out")
    persons = tuple(Person(rows[:, :2], rows[:, 2]) for rows in people)
    said = dict.fromkeys((*lost, *frame.notes, *found.notes, *(doubts if people else ()), *notes))
    return Pose(persons, *size, warnings=tuple(said))


def _found(data: Any, asked: _Asked) -> Found:
    """What the right reader finds."""
    format = asked.format
    if format is not None and format not in ASKED:
        raise PoseError(f"unknown format {format!r}; choose one of {', '.join(FORMATS)}")
    if format is None and has_42_points(data):
        raise PoseError(
            "42 points do not say their order; add --format interhand (tips first) or --format foundhand (wrist first)"
        )
    arrays = isinstance(data, dict) and any(isinstance(value, np.ndarray) for value in data.values())
    readers = TOLD if format is None else {format: ASKED[format]}
    fit = [name for name, (may_be, _) in readers.items() if not (arrays and name in TEXTS) and may_be(data)]
    errors: list[PoseError] = []
    nobody: Found | None = None
    for i, name in enumerate(fit):
        try:
            found = _read(name, data, asked.mirrored)
        except PoseError as error:
            errors.append(error)
            continue
        if _anybody(found):
            found.notes += [line for other in fit[i + 1 :] for line in _left(found, name, other, data)]
            return found
        errors += [PoseError(line) for line in found.lost]
        nobody = nobody or (None if found.lost else found)
    if nobody is not None:
        return nobody
    if errors:
        raise errors[0]
    if format is not None:
        raise PoseError(f"expected the format '{format}', but the content is not that; try without --format")
    raise PoseError(
        "not a pose: expected OpenPose JSON, an A1111/ComfyUI export, COCO-WholeBody annotations, or MediaPipe, "
        f"DWPose, MMPose or hand arrays (formats: {', '.join(FORMATS)})"
    )


def _read(name: PoseFormat, data: Any, mirrored: bool) -> Found:
    if name == "mediapipe":
        return find_mediapipe(data, mirrored)
    if mirrored:
        raise PoseError("--mirrored is for MediaPipe Hands only, which names sides as in a mirror; drop it")
    return ASKED[name][1](data)


def _anybody(found: Found) -> bool:
    return any((rows[:, 2] > 0).any() for rows in found.people)


def _left(found: Found, name: PoseFormat, other: PoseFormat, data: Any) -> list[str]:
    """A line, if another reader finds people whom this one did not."""
    try:
        more = _read(other, data, mirrored=False)
    except PoseError:
        return []
    there = [rows for rows in more.people if (rows[:, 2] > 0).any()]
    if all(any(_same(rows, known) for known in found.people) for rows in there):
        return []
    return [f"it is read as {name}; what it holds as {other} is not read: --format {other} does that"]


def _same(one: Table, other: Table) -> bool:
    """Whether the points that both know are the same, and there are such."""
    both = (one[:, 2] > 0) & (other[:, 2] > 0)
    return bool(both.any()) and np.array_equal(one[both, :2], other[both, :2], equal_nan=True)


def _somebody(pose: Pose) -> bool:
    return any(np.isfinite(person.points).any() for person in pose.people)


def _finished(pose: Pose, said: tuple[str, ...]) -> Pose:
    return replace(pose, warnings=(*said, *pose.warnings, *sanity_warnings(pose)))


def _passed_over(
    every: list[Frame], wanted: list[tuple[int, Frame]], number: int, errors: list[PoseError]
) -> tuple[str, ...]:
    """What to say where one of several frames was read without being asked for."""
    if len(wanted) == 1:
        return ()
    names = every[number - 1].names
    one = f"image {names[0]!a:.60}" if names else f"frame {number}"
    option = "--image" if names else "--frame"
    before = number - wanted[0][0] - len(errors)
    empty = f"; {before} before it {'has' if before == 1 else 'have'} nobody" if before else ""
    lines = [f"the file has {len(every)} frames, {one} is read: {option} chooses another{empty}"]
    if errors:
        lines.append(f"{len(errors)} of the frames before it cannot be read ({errors[0]})")
    return tuple(lines)


def _nobody(every: list[Frame], wanted: list[tuple[int, Frame]]) -> tuple[str, ...]:
    if len(every) == 1:
        return ()
    if len(wanted) == 1:
        return (f"frame {wanted[0][0]} of {len(every)} has nobody: --frame chooses another",)
    return (f"none of the {len(every)} frames has anybody",)
