"""What a job of a batch may say to the two-stage system, and the request that comes of it; and an example of one."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

from handfirst.engines.errors import UserError
from handfirst.runtime.asking import Real, Text, Whole
from handfirst.runtime.diffusion.masks import BlendRule
from handfirst.runtime.diffusion.solvers import Solver
from handfirst.runtime.diffusion.speed import Speed
from handfirst.runtime.pose.person import Pose
from handfirst.runtime.pose.read import parse_pose, read_pose
from handfirst.runtime.pose.size import LARGEST_SIDE, parse_size
from handfirst.runtime.system import Content, JobKind
from handfirst.runtime.systems.two_stage.fitting import Armless
from handfirst.runtime.systems.two_stage.request import CloseUp, Request

PROMPT = (
    "a portrait of a person, short black hair, tan skin, yellow long-sleeve top, "
    "left hand palm, right hand one, plain teal background"
)


def _two_sides(value: object) -> object:
    """ "640x512" or [640, 512] -> (640, 512)."""
    if isinstance(value, list | tuple) and all(type(side) is int for side in value):
        value = "x".join(map(str, value))
    try:
        return parse_size(value if isinstance(value, str | None) else "", "canvas")
    except UserError:
        raise ValueError(f"expected WIDTHxHEIGHT up to {LARGEST_SIDE}, such as 640x512 or [640, 512]") from None


Sides = Annotated[tuple[int, int] | None, BeforeValidator(_two_sides)]


class JobFields(BaseModel):
    """What a job may say, beside its pose and its name; ranges are the Request's to check."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: str
    negative_prompt: str = ""
    hand_prompt: str | None = None
    gesture: Text | None = None
    mu: Real | None = None
    seed: Whole = 0
    steps: Whole | None = None
    guidance: Real | None = None
    hand_guidance: Real | None = None
    eta: Real | None = None
    hand_steps: Whole | None = None
    solver: Solver | None = None
    hand_solver: Solver | None = None
    speed: Speed = "exact"
    blend: BlendRule | None = None
    feather: Real | None = None
    close_up: CloseUp = "off"
    armless: Armless = "leave"
    size: str | None = None
    """"WIDTHxHEIGHT" of the pose's canvas, for formats that do not say it."""
    default_size: str | None = None
    """The same, but a pose that says its size itself keeps it: the `--size` of a batch."""
    frame: Whole | None = None
    """Of a pose file that holds several, from 1."""
    image: Text | None = None
    """Id or file name of one of the images that the pose file names."""
    canvas: Sides = None
    """Width and height of the picture, for models of free size."""


def job_request(fields: JobFields, content: Mapping[str, Content]) -> Request:
    """What a model is asked.

    Args:
        content: its "pose".

    Raises:
        UserError: the pose cannot be read, or a field is out of its range.
    """
    size, given = parse_size(fields.size, "size"), content["pose"]
    default = parse_size(fields.default_size, "default_size")
    asked: dict[str, Any] = {"frame": fields.frame, "image": fields.image, "default_size": default}
    pose = read_pose(given, size, **asked) if isinstance(given, Path) else parse_pose(given, size, **asked)
    rest = fields.model_dump(exclude={"size", "canvas", *asked})
    return Request(pose=pose, size=fields.canvas, **rest)


JOBS = JobKind(JobFields, ("pose",), job_request)


def demo_pose() -> Pose:
    """The pose that the package carries: half a body, both hands in sight."""
    with as_file(files("handfirst.runtime.systems.two_stage") / "demo_pose.json") as path:
        return read_pose(path)


def example(pose: Path | None = None, **fields: Any) -> Request:
    """The embedded pose, or another, with the words that go with it."""
    said = {name: value for name, value in fields.items() if value is not None}
    return Request(**{"pose": demo_pose() if pose is None else read_pose(pose), "prompt": PROMPT, **said})
