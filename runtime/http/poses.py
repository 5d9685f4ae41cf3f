"""A pose of any format as the one that pages and jobs speak, and what is seen of its hands."""

from __future__ import annotations

from typing import Any

from handfirst.runtime.pose.openpose import write_a1111
from handfirst.runtime.pose.person import Person
from handfirst.runtime.pose.points import in_fractions
from handfirst.runtime.pose.read import decode_pose, parse_pose
from handfirst.runtime.pose.topology import SIDES
from handfirst.runtime.pose.view import hand_view


def describe_pose(
    content: dict[str, Any] | list[Any] | bytes,
    size: tuple[int, int] | None = None,
    frame: int | None = None,
    image: str | None = None,
) -> dict[str, Any]:
    """What `POST /v1/poses` answers, docs/serve.md.

    Args:
        content: what lies in a file.
        size, frame, image: as in `read_pose`.

    Raises:
        PoseError: it cannot be read.
    """
    asked: dict[str, Any] = {"size": size, "frame": frame, "image": image}
    read = decode_pose(content, **asked) if isinstance(content, bytes) else parse_pose(content, **asked)
    return {
        "pose": write_a1111(in_fractions(read)),
        "width": read.width,
        "height": read.height,
        "people": [{"hands": _hands(person)} for person in read.people],
        "warnings": list(read.warnings),
    }


def _hands(person: Person) -> list[dict[str, str]]:
    return [{"side": side, "view": hand_view(person.hand(side), side)} for side in SIDES if person.has_hand(side)]
