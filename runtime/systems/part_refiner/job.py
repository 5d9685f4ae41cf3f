"""What a job of a batch may say to the part refiner, and the request that comes of it; and an example of one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict

from handfirst.engines.errors import UserError
from handfirst.runtime.asking import Real, Text, Whole
from handfirst.runtime.errors import RequestError
from handfirst.runtime.photos import Photo, decode_photo
from handfirst.runtime.pose.content import plain_bytes
from handfirst.runtime.pose.detect import Detector, detect
from handfirst.runtime.pose.person import Person, Pose
from handfirst.runtime.pose.read import LARGEST_FILE, parse_pose, read_pose
from handfirst.runtime.pose.topology import HANDS, POINTS
from handfirst.runtime.system import Content, JobKind
from handfirst.runtime.systems.part_refiner.capsule import LENGTHS, draw_hands
from handfirst.runtime.systems.part_refiner.request import RepairRequest

SKIN, WALL = (224, 172, 140), (96, 120, 128)
FAN = (-52.0, -24.0, -8.0, 8.0, 24.0)
"""Degrees from straight up, thumb to little finger, of the example's hand."""


def _side_or_number(value: object) -> object:
    """Files of jobs and command lines write numbers as text."""
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


class JobFields(BaseModel):
    """What a job may say, beside its files and its name; ranges are the RepairRequest's to check."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hand: Annotated[int | str | None, BeforeValidator(_side_or_number)] = None
    """"left", "right", or the number of one."""
    seed: Whole = 0
    strength: Real | None = None
    steps: Whole | None = None
    guidance: Real | None = None
    inpaint_steps: Whole | None = None
    inpaint_guidance: Real | None = None
    eta: Real | None = None
    check: bool = False
    detector: Detector = "auto"
    """What looks for hands where no pose is given."""
    frame: Whole | None = None
    """Of a pose file that holds several, from 1."""
    image: Text | None = None
    """Id or file name of one of the images that the pose file names."""


def job_request(fields: JobFields, content: Mapping[str, Content]) -> RepairRequest:
    """What a model is asked.

    Args:
        content: its "photo", and perhaps a "pose" or a "pose_picture".

    Raises:
        UserError: a file cannot be read, no detector is installed where one is needed, or a field is out of its range.
    """
    photo = _photo("photo", content["photo"])
    picture = _photo("pose_picture", content["pose_picture"]).pixels if "pose_picture" in content else None
    pose = _pose(fields, content.get("pose"), photo, picture is None)
    said = fields.model_dump(exclude={"detector", "frame", "image"})
    notes = (*photo.notes, *(pose.warnings if pose is not None else ()))
    return RepairRequest(photo.pixels, pose, picture, photo=photo, notes=notes, **said)


def _photo(name: str, content: Content) -> Photo:
    if not isinstance(content, Path):
        raise RequestError(f"{name}: expected a picture file (JPEG, PNG or WebP), got {type(content).__name__}")
    try:
        return decode_photo(plain_bytes(content, LARGEST_FILE))
    except UserError as error:
        raise RequestError(f"{content}: {error}") from error


def _pose(fields: JobFields, content: Content | None, photo: Photo, needed: bool) -> Pose | None:
    """Key points that are given, or found where nothing else tells where the hands are."""
    if content is None:
        return detect(photo.pixels, fields.detector) if needed else None
    height, width = photo.pixels.shape[:2]
    asked: dict[str, Any] = {"frame": fields.frame, "image": fields.image, "default_size": (width, height)}
    return read_pose(content, **asked) if isinstance(content, Path) else parse_pose(content, **asked)


JOBS = JobKind(JobFields, ("photo",), job_request, ("pose", "pose_picture"))


def example(pose: Path | None = None, **fields: Any) -> RepairRequest:
    """A hand of capsules in the colour of skin before a wall, and its key points, or other ones: 256 x 256 pixels."""
    side, points = 256, example_hand(256)
    shade = draw_hands([(points, "right")], side).astype(np.float64) / 255
    photo = np.where(shade > 0, np.array(SKIN) * shade, np.array(WALL)).astype(np.uint8)
    rows = np.zeros((POINTS, 3))
    rows[HANDS["right"]] = np.column_stack([points, np.ones(len(points))])
    said = {name: value for name, value in fields.items() if value is not None}
    known = Pose((Person.of(rows),), side, side) if pose is None else read_pose(pose, default_size=(side, side))
    return RepairRequest(**{"image": photo, "pose": known, **said})


def example_hand(side: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """An open right hand's 21 points in a square of that side, float64 [21, 2]."""
    scale = side / 300
    points = [(side / 2, side * 0.85)]
    for finger, angle in enumerate(np.radians(FAN)):
        at = np.array(points[0])
        for length in LENGTHS[4 * finger : 4 * finger + 4]:
            at = at + scale * length * np.array([np.sin(angle), -np.cos(angle)])
            points.append((float(at[0]), float(at[1])))
    return np.array(points)
