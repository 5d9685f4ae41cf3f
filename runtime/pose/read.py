"""A pose from a file, whatever its format. How formats are told apart is known here and nowhere else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from handfirst.runtime.errors import PoseError
from handfirst.runtime.pose.array_file import is_array_file, read_arrays
from handfirst.runtime.pose.coco import is_coco, read_coco
from handfirst.runtime.pose.dwpose import is_dwpose, read_dwpose
from handfirst.runtime.pose.formats import FORMATS, PoseFormat
from handfirst.runtime.pose.hand_arrays import has_42_points, is_foundhand, read_foundhand, read_interhand
from handfirst.runtime.pose.mediapipe_json import is_mediapipe, read_mediapipe
from handfirst.runtime.pose.numbers import canvas_size
from handfirst.runtime.pose.openpose import is_openpose, read_openpose
from handfirst.runtime.pose.own_arrays import is_own, read_own
from handfirst.runtime.pose.person import Pose
from handfirst.runtime.pose.photo import is_photo, read_photo
from handfirst.runtime.pose.remarks import remarks

LARGEST_FILE = 64 << 20
PICKLE = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def read_pose(
    path: Path | str, size: tuple[int, int] | None = None, format: PoseFormat | None = None, mirrored: bool = False
) -> Pose:
    """Reads OpenPose, A1111/ComfyUI, COCO-WholeBody, MediaPipe or DWPose, arrays of hands, our .npz, or a photo.

    A photo is looked at by MediaPipe (the `eval` extra).

    Args:
        path: the file.
        size: (width, height) of the canvas in pixels, for formats that do not say it; overrides those that do.
        format: for files that do not say what they are (arrays of 42 points); None: told from the content.
        mirrored: of MediaPipe Hands only: the picture was flipped before MediaPipe saw it; the pose is flipped back.

    Raises:
        PoseError: one line: the file, what was expected, what came, how to mend it.
    """
    path = Path(path)
    try:
        return decode_pose(_content(path), size, format, mirrored)
    except PoseError as error:
        raise PoseError(f"{path}: {error}") from error


def decode_pose(
    content: bytes, size: tuple[int, int] | None = None, format: PoseFormat | None = None, mirrored: bool = False
) -> Pose:
    """A pose from the content of a file; the arguments as in `read_pose`.

    Raises:
        PoseError: one line: what was expected, what came, how to mend it.
    """
    if content.startswith(PICKLE):
        raise PoseError("a pickle can run code and is not loaded; save its arrays with numpy.savez instead")
    if is_photo(content):
        if size is not None or format is not None or mirrored:
            raise PoseError("a photo has its own size and no format; drop --size, --format and --mirrored")
        pose = read_photo(content)
        return replace(pose, warnings=(*pose.warnings, *remarks(pose)))
    return parse_pose(read_arrays(content) if is_array_file(content) else _json(content), size, format, mirrored)


def parse_pose(
    data: Any, size: tuple[int, int] | None = None, format: PoseFormat | None = None, mirrored: bool = False
) -> Pose:
    """A pose from parsed JSON or from a dict of arrays, of whatever format; the arguments as in `read_pose`.

    Raises:
        PoseError: one line: what was expected, what came, how to mend it.
    """
    if size is not None:
        size = canvas_size(*size, "size")
    chosen = format or _told(data)
    if not _may_be(chosen, data):
        raise PoseError(f"expected the format '{chosen}', but the content is not that; try without --format")
    if mirrored and chosen != "mediapipe":
        raise PoseError("--mirrored is for MediaPipe Hands only, which names sides as in a mirror; drop it")
    pose = _read(chosen, data, size, mirrored)
    return replace(pose, warnings=(*pose.warnings, *remarks(pose)))


def _told(data: Any) -> PoseFormat:
    """The format that the content shows."""
    if has_42_points(data):
        raise PoseError(
            "42 points do not say their order; add --format interhand (tips first) or --format foundhand (wrist first)"
        )
    sure: tuple[PoseFormat, ...] = ("handfirst", "dwpose", "mediapipe", "openpose", "coco", "foundhand")
    for name in sure:
        if _may_be(name, data):
            return name
    if isinstance(data, dict) and "joints" in data:
        return "interhand"
    raise PoseError(
        "not a pose: expected OpenPose JSON, an A1111/ComfyUI export, COCO-WholeBody annotations, or MediaPipe, DWPose "
        f"or hand arrays (formats: {', '.join(FORMATS)})"
    )


def _may_be(format: PoseFormat, data: Any) -> bool:
    arrays = isinstance(data, dict) and any(isinstance(value, np.ndarray) for value in data.values())
    match format:
        case "openpose" | "a1111":
            return not arrays and is_openpose(data)
        case "coco":
            return not arrays and is_coco(data)
        case "mediapipe":
            return not arrays and is_mediapipe(data)
        case "dwpose":
            return is_dwpose(data)
        case "handfirst":
            return is_own(data)
        case "foundhand":
            return is_foundhand(data) or has_42_points(data)
        case "interhand":
            return isinstance(data, list | dict)
    raise PoseError(f"unknown format {format!r}; choose one of {', '.join(FORMATS)}")


def _read(format: PoseFormat, data: Any, size: tuple[int, int] | None, mirrored: bool) -> Pose:
    match format:
        case "openpose" | "a1111":
            return read_openpose(data, size)
        case "coco":
            return read_coco(data, size)
        case "mediapipe":
            return read_mediapipe(data, size, mirrored)
        case "dwpose":
            return read_dwpose(data, size)
        case "handfirst":
            return read_own(data, size)
        case "foundhand":
            return read_foundhand(data, size)
        case "interhand":
            return read_interhand(data, size)


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise PoseError(f"cannot be read ({error.strerror}); give the path of a pose file") from error
    except ValueError as error:  # a path with a zero byte
        raise PoseError("cannot be read (no path of a file); give the path of a pose file") from error
    if len(content) > LARGEST_FILE:
        raise PoseError(f"expected at most {LARGEST_FILE >> 20} MB, got more; is it a pose?")
    return content


def _json(content: bytes) -> object:
    try:
        return json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise PoseError("not a text file; expected JSON in UTF-8, .npy, .npz, or a JPEG, PNG, WebP photo") from error
    except RecursionError as error:
        raise PoseError("nested too deeply to be a pose") from error
    except ValueError as error:
        raise PoseError(f"not valid JSON ({' '.join(str(error).split())[:120]})") from error
