"""A pose from a file, whatever its format. Which formats there are is known here and nowhere else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from handfirst.runtime.errors import PoseError
from handfirst.runtime.pose.coco import is_coco, read_coco
from handfirst.runtime.pose.numbers import canvas_size
from handfirst.runtime.pose.openpose import is_openpose, read_openpose
from handfirst.runtime.pose.person import Pose
from handfirst.runtime.pose.remarks import remarks

LARGEST_FILE = 64 << 20


def read_pose(path: Path | str, size: tuple[int, int] | None = None) -> Pose:
    """Reads OpenPose JSON, the A1111/ComfyUI export or COCO-WholeBody annotations.

    Args:
        path: the file.
        size: (width, height) of the canvas in pixels, for formats that do not say it; overrides those that do.

    Raises:
        PoseError: one line: the file, what was expected, what came, how to mend it.
    """
    path = Path(path)
    try:
        return parse_pose(_parse(path), size)
    except PoseError as error:
        raise PoseError(f"{path}: {error}") from error


def parse_pose(data: object, size: tuple[int, int] | None = None) -> Pose:
    """A pose from parsed JSON, of whatever format; `size` as in `read_pose`.

    Raises:
        PoseError: one line: what was expected, what came, how to mend it.
    """
    if size is not None:
        size = canvas_size(*size, "size")
    if is_openpose(data):
        pose = read_openpose(data, size)
    elif is_coco(data):
        pose = read_coco(data, size)
    else:
        raise PoseError("not a pose: expected OpenPose JSON, an A1111/ComfyUI export or COCO-WholeBody annotations")
    return replace(pose, warnings=(*pose.warnings, *remarks(pose)))


def _parse(path: Path) -> object:
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise PoseError(f"expected at most {LARGEST_FILE >> 20} MB, got {path.stat().st_size >> 20} MB")
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise PoseError(f"cannot be read ({error.strerror}); give the path of a pose file") from error
    except UnicodeDecodeError as error:
        raise PoseError("not a text file; expected JSON in UTF-8") from error
    except RecursionError as error:
        raise PoseError("nested too deeply to be a pose") from error
    except ValueError as error:
        raise PoseError(f"not valid JSON ({' '.join(str(error).split())[:120]})") from error
