"""A pose as a file of another program. What each format loses stands in its own file."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from handfirst.engines.files import atomic_write_bytes
from handfirst.runtime.errors import PoseError
from handfirst.runtime.pose.arrays import write_interhand, write_own
from handfirst.runtime.pose.coco import write_coco
from handfirst.runtime.pose.dwpose import write_dwpose
from handfirst.runtime.pose.formats import ARRAYS, WRITABLE, WritableFormat
from handfirst.runtime.pose.landmarks import write_mediapipe
from handfirst.runtime.pose.openpose import write_a1111, write_openpose
from handfirst.runtime.pose.person import Pose
from handfirst.runtime.pose.points import in_fractions


def write_pose(pose: Pose, path: Path, format: WritableFormat) -> None:
    """Writes the whole file or nothing; `path` is replaced.

    Raises:
        PoseError: the format cannot hold this pose.
    """
    atomic_write_bytes(path, encode_pose(pose, format))


def encode_pose(pose: Pose, format: WritableFormat) -> bytes:
    """The content of such a file: .npz for formats.ARRAYS, JSON for the others.

    Raises:
        PoseError: the format cannot hold this pose.
    """
    content = _content(pose, format)
    if format not in ARRAYS:
        return json.dumps(content, allow_nan=False).encode()
    file = io.BytesIO()
    np.savez_compressed(file, **content)
    return file.getvalue()


def _content(pose: Pose, format: WritableFormat) -> Any:
    if format not in ("mediapipe", "handfirst"):  # these say their units
        pose = in_fractions(pose)
    match format:
        case "openpose":
            return write_openpose(pose)
        case "a1111":
            return write_a1111(pose)
        case "coco":
            return write_coco(pose)
        case "mediapipe":
            return write_mediapipe(pose)
        case "dwpose":
            return write_dwpose(pose)
        case "interhand":
            return write_interhand(pose)
        case "handfirst":
            return write_own(pose)
    raise PoseError(f"unknown format {format!r}; choose one of {', '.join(WRITABLE)}")
