"""Which frame of a file: videos hold many, annotation files many images, and a frame may lie inside other things.

A frame is what a reader takes: one object of people, landmarks, keypoints or arrays. Lists of people without frames
around them (annotations, MMPose's and TensorFlow.js's results) become {"instances": [...]}. Knows nothing about points.

    [frame, frame, ...]                             ComfyUI, Holistic over a video; null for a frame without people
    {"poses": [frame, ...], "images": [...]}        the answer of a ControlNet web API; frames may be JSON as text
    {"images": [...], "annotations": [...]}         COCO: one frame per image, by its id or file name
    [{"image_id", "keypoints"}, ...]                AlphaPose, COCO's results: one frame per image_id
    {"a.jpg": frame, "b.jpg": frame}                AlphaPose --format open
    [{"frame_id", "instances"}, ...], {"instance_info": [...]}, {"predictions": [[person, ...], ...]}    MMPose
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from handfirst.runtime.errors import PoseError
from handfirst.runtime.pose.landmarks import BARE, HANDS, HOLISTIC, is_hand
from handfirst.runtime.pose.points import SIZES, depth

LISTS = ("poses", "openpose_json", "frames", "instance_info", "predictions", "results")
"""Under these names, frames or people lie in other objects."""
MARKS = {"people", "instances", "bodies", "candidate", *HOLISTIC, *HOLISTIC.values(), *HANDS}
"""Names that only a whole frame has."""
WRAPPED = {"pred_instances", "annotations", *LISTS}
DEEPEST = 4
SHOWN = 5


@dataclass(frozen=True)
class Frame:
    """One of a file's.

    Attributes:
        data: for a reader.
        names: the id and the file name of its image, where the file has images.
    """

    data: Any
    names: tuple[str, ...] = ()


def frames(data: Any) -> list[Frame]:
    """All frames of a file, in its order; a single one where it has no more.

    Args:
        data: parsed JSON, or a dict of arrays.
    """
    return list(_frames(data, DEEPEST))


def chosen(found: list[Frame], frame: int | None, image: str | None) -> list[tuple[int, Frame]]:
    """The frames that are asked for, with their numbers from 1; without a wish, all.

    Raises:
        PoseError: there is no such frame or image.
    """
    numbered = list(enumerate(found, 1))
    if image is not None:
        numbered = [(number, each) for number, each in numbered if image in each.names]
        if not numbered:
            there = [each.names[0] for each in found if each.names]
            more = ", ..." if len(there) > SHOWN else ""
            raise PoseError(f"no image {image[:40]!r} in it; it has {', '.join(there[:SHOWN]) or 'no names'}{more}")
    if frame is not None:
        numbered = [(number, each) for number, each in numbered if number == frame]
        if not numbered:
            raise PoseError(f"no frame {frame} in it; choose one of 1 to {len(found)}")
    return numbered


def _frames(data: Any, deep: int) -> Iterator[Frame]:
    if isinstance(data, str) and deep:
        yield from _frames(_json_in_text(data), deep - 1)
    elif isinstance(data, dict):
        said = {name: value for name, value in data.items() if value is not None}
        nobody = MARKS.isdisjoint(said) and not MARKS.isdisjoint(data)  # a frame whose every part is null
        yield from [Frame(data)] if nobody else _of_object(said, deep)
    elif isinstance(data, list) and deep:
        yield from _of_list(data, deep)
    else:
        yield Frame(data)


def _of_object(data: dict[str, Any], deep: int) -> Iterator[Frame]:
    if any(isinstance(value, np.ndarray) for value in data.values()) or not deep:
        yield Frame(data)
        return
    if isinstance(data.get("annotations"), list):
        yield from _by_image(data["annotations"], data.get("images"), _sizes(data))
        return
    if isinstance(data.get("pred_instances"), dict):
        yield from _frames(_sizes(data) | data["pred_instances"], deep - 1)
        return
    inner = next((name for name in LISTS if isinstance(data.get(name), list)), None)
    if inner is not None and MARKS.isdisjoint(data) and "keypoints" not in data:
        for each in _frames(data[inner] or {"people": []}, deep - 1):
            yield Frame(_sizes(data) | each.data if isinstance(each.data, dict) else each.data, each.names)
        return
    named = all(isinstance(value, dict) and not MARKS.isdisjoint(value) for value in data.values())
    if data and named and MARKS.isdisjoint(data):
        for name, value in data.items():
            for each in _frames(value, deep - 1):
                yield Frame(each.data, (name,))
        return
    yield Frame(data)


def _of_list(data: list[Any], deep: int) -> Iterator[Frame]:
    if data and all(isinstance(each, str) for each in data):
        for each in data:
            yield from _frames(each, deep - 1)
    elif any(_is_frame(each) for each in data):
        said = [_sizes(each) for each in data if isinstance(each, dict)]
        sizes = next((each for each in said if each), {})  # of frames that do not say theirs, such as empty ones
        for each in data:
            frame = each if each else {"people": []}
            yield from _frames(sizes | frame if isinstance(frame, dict) and not _sizes(frame) else frame, deep - 1)
    elif any(isinstance(each, dict) and ("keypoints" in each or is_hand(each)) for each in data):
        yield from _by_image(data, None, {})
    elif all(isinstance(each, list) for each in data) and any(isinstance(p, dict) for each in data for p in each):
        for each in data:  # one list of people per frame
            yield from _frames(each or {"people": []}, deep - 1)
    else:
        yield Frame(data)


def _is_frame(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    named = {name for name, each in value.items() if each is not None}
    return (
        not (MARKS | WRAPPED).isdisjoint(named)
        or depth(value.get("keypoints")) == 3
        or (depth(value.get(BARE)) >= 1 and not is_hand(value))
    )


def _by_image(people: list[Any], images: Any, sizes: dict[str, Any]) -> Iterator[Frame]:
    """A frame per image: those that are listed first, then those that only people name."""
    groups: dict[str, list[Any]] = {}
    entries: dict[str, dict[str, Any]] = {}
    for entry in images if isinstance(images, list) else []:
        if isinstance(entry, dict):
            entries.setdefault(_name(entry.get("id")), entry)
            groups.setdefault(_name(entry.get("id")), [])
    for person in people:
        groups.setdefault(_name(person.get("image_id")) if isinstance(person, dict) else "", []).append(person)
    for name, group in groups.items():
        entry = entries.get(name, {})
        names = tuple(each for each in (name, _name(entry.get("file_name"))) if each)
        yield Frame(sizes | _sizes(entry) | {"instances": group}, names)
    if not groups:
        yield Frame(sizes | {"instances": []})


def _json_in_text(text: str) -> Any:
    """What a text holds, as some answers of web APIs are JSON in JSON; the text itself where it is none."""
    if not text.lstrip().startswith(("{", "[")):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _name(value: Any) -> str:
    """An id or a file name as text; "" where there is none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)[:200] if isinstance(value, int | float | str) else ""


def _sizes(data: dict[str, Any]) -> dict[str, Any]:
    """What it says of the canvas's size."""
    return {name: data[name] for pair in SIZES for name in pair if data.get(name) is not None}
