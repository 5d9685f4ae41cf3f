"""Which frame of a file: videos hold many, annotation files many images, and a frame may lie inside other things.

A frame is what a reader takes: one object of people, landmarks, keypoints or arrays. Lists of people without frames
around them (annotations, MMPose's and TensorFlow.js's results) become {"instances": [...]}. Knows nothing about points.

    [frame, frame, ...]                             ComfyUI, Holistic over a video; null for a frame without people
    {"poses": [frame, ...], "images": [...]}        the answer of a ControlNet web API; frames may be JSON as text
    {"images": [...], "annotations": [...]}         COCO: one frame per image, by its id or file name
    [{"image_id", "keypoints"}, ...]                AlphaPose, COCO's results: one frame per image_id
    {"a.jpg": frame, "b.jpg": frame}                AlphaPose --format open
    [{"frame_id", "instances"}, ...], {"instance_info": [...]}, {"predictions": [[person, ...], ...]}    MMPose
    {"status": ..., "result": frame or frames}      answers of other web APIs

Where an object holds poses under several of these names, the first is read, and a note names the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from handfirst.runtime.errors import PoseError
from handfirst.runtime.pose.canvas import Said, said
from handfirst.runtime.pose.coco import NAMES, is_coco
from handfirst.runtime.pose.coco import PARTS as COCO_PARTS
from handfirst.runtime.pose.content import parse_text
from handfirst.runtime.pose.landmarks import HANDS, HOLISTIC, is_hand
from handfirst.runtime.pose.marks import BARE
from handfirst.runtime.pose.points import depth, holds

LISTS = ("poses", "openpose_json", "frames", "instance_info", "predictions", "results")
"""Under these names, frames or people lie in other objects."""
INNER = ("annotations", "pred_instances", *LISTS, "result", "data", "output", "response", "pose", "persons", "hands")
"""The same, and where one frame or list of people may lie."""
MARKS = {"people", "instances", "bodies", "candidate", *HOLISTIC, *HOLISTIC.values(), *HANDS}
"""Names that only a whole frame has."""
OWN = {*MARKS, BARE, "kpts", "joints", *(name for name, _, _ in COCO_PARTS)}
"""Names of what readers read."""
WRAPPED = {"pred_instances", "annotations", *LISTS}
DEEPEST = 4
SHOWN = 5


@dataclass(frozen=True)
class Frame:
    """One of a file's.

    Attributes:
        data: for a reader.
        names: the id and the file name of its image, where the file has images.
        around: what lies around it says of its canvas, the nearest first.
        neighbours: what frames beside it say of theirs.
        notes: a line per guess that was made.
        error: why it cannot be read.
    """

    data: Any
    names: tuple[str, ...] = ()
    around: tuple[Said, ...] = ()
    neighbours: tuple[Said, ...] = ()
    notes: tuple[str, ...] = ()
    error: PoseError | None = None

    @property
    def sizes(self) -> list[Said]:
        """All that is said of its canvas, the nearest first: by itself, around it, by its people."""
        people = [self.data.get(name) for name in ("instances", "people")] if isinstance(self.data, dict) else []
        listed = [person for each in people if isinstance(each, list) for person in each]
        return [*said(self.data), *self.around, *(size for person in listed for size in said(person))]


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
        yield from _of_text(data, deep)
    elif isinstance(data, dict):
        given = {name: value for name, value in data.items() if value is not None}
        nobody = MARKS.isdisjoint(given) and not MARKS.isdisjoint(data)  # a frame whose every part is null
        yield from [Frame(data)] if nobody else _of_object(given, deep)
    elif isinstance(data, list) and deep:
        yield from _of_list(data, deep)
    else:
        yield Frame(data)


def _of_text(text: str, deep: int) -> Iterator[Frame]:
    """What a text holds, as some answers of web APIs are JSON in JSON; the text itself where it is none."""
    if not text.lstrip().startswith(("{", "[")):
        yield Frame(text)
        return
    try:
        inside = parse_text(text)
    except PoseError as error:
        yield Frame(None, error=error)
        return
    yield from _frames(inside, deep - 1)


def _of_object(data: dict[str, Any], deep: int) -> Iterator[Frame]:
    if any(isinstance(value, np.ndarray) for value in data.values()) or not deep:
        yield Frame(data)
        return
    sources = _sources(data, deep)
    full = [name for name, found in sources.items() if any(_has_pose(each) for each in found)]
    read = next(iter(full or sources), None)
    if read is not None:
        others = ", ".join(f"'{name}'" for name in full if name != read)
        notes = (f"beside '{read}' the file holds {others}, which is not read",) if others else ()
        yield from (replace(each, notes=(*each.notes, *notes)) for each in sources[read])
    elif data and all(isinstance(value, dict) and not MARKS.isdisjoint(value) for value in data.values()):
        for name, value in data.items():
            yield from (replace(each, names=(name,)) for each in _frames(value, deep - 1))
    else:
        yield Frame(data)


def _sources(data: dict[str, Any], deep: int) -> dict[str, list[Frame]]:
    """Everything in an object that may hold poses, by name: itself under the first of its own names."""
    sources = {}
    own = sorted((name for name in data if name in OWN), key=lambda name: (name not in MARKS, not holds(data[name])))
    if own and own[0] in MARKS:
        sources[own[0]] = [Frame(data)]
    for name in INNER:
        inside = data.get(name)
        if name == "annotations" and isinstance(inside, list):
            found = list(_by_image(inside, data.get("images"), data.get("categories")))
        elif isinstance(inside, list | dict) or (isinstance(inside, str) and name in LISTS):
            found = list(_frames(inside or {"people": []}, deep - 1))
        else:
            continue
        names = {} if name == "annotations" else _keypoint_names(data)
        around = tuple(said(data))
        sources[name] = [_surrounded(each, around, names) for each in found]
    if own and own[0] not in MARKS:
        sources[own[0]] = [Frame(data)]
    return sources


def _surrounded(frame: Frame, around: tuple[Said, ...], names: dict[str, Any]) -> Frame:
    data = names | frame.data if names and isinstance(frame.data, dict) else frame.data
    return replace(frame, data=data, around=(*frame.around, *around))


def _has_pose(frame: Frame) -> bool:
    """Whether one of a reader's names is there, and something under it; annotations may be of other things."""
    if not isinstance(frame.data, dict):
        return False
    named = [name for name in OWN if holds(frame.data.get(name))]
    if named != ["instances"] or not isinstance(frame.data["instances"], list):
        return bool(named)
    return any(is_coco(person) or is_hand(person) for person in frame.data["instances"])


def _of_list(data: list[Any], deep: int) -> Iterator[Frame]:
    if data and all(isinstance(each, str) for each in data):
        for each in data:
            yield from _frames(each, deep - 1)
    elif any(_is_frame(each) for each in data):
        neighbours = _different(size for each in data for size in said(each))
        for each in data:
            found = _frames(each if each else {"people": []}, deep - 1)
            yield from (replace(frame, neighbours=frame.neighbours or neighbours) for frame in found)
    elif any(isinstance(each, dict) and ("keypoints" in each or is_hand(each)) for each in data):
        yield from _by_image(data, None, None)
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


def _different(sizes: Iterable[Said]) -> tuple[Said, ...]:
    """The first few that differ: there may be a million frames, and each keeps them."""
    found: list[Said] = []
    for size in sizes:
        if len(found) < SHOWN and size not in found:
            found.append(size)
    return tuple(found)


def _by_image(people: list[Any], images: Any, categories: Any) -> Iterator[Frame]:
    """A frame per image: those that are listed first, then those that only people name."""
    groups: dict[str, list[Any]] = {}
    entries: dict[str, list[dict[str, Any]]] = {}
    for entry in images if isinstance(images, list) else []:
        if isinstance(entry, dict):
            entries.setdefault(_name(entry.get("id")), []).append(entry)
            groups.setdefault(_name(entry.get("id")), [])
    orders = _orders(categories)
    for person in people:
        group = groups.setdefault(_name(person.get("image_id")) if isinstance(person, dict) else "", [])
        names = orders.get(_name(person.get("category_id"))) if isinstance(person, dict) and orders else None
        group.append({NAMES: names} | person if names else person)
    for name, group in groups.items():
        listed = entries.get(name, [])
        named = dict.fromkeys(each for each in (name, *(_name(entry.get("file_name")) for entry in listed)) if each)
        notes: tuple[str, ...] = ()
        if any(entry != listed[0] for entry in listed):
            notes = (f"{len(listed)} images have the id {name!a:.40}: all of its people are read as those of one",)
        around = tuple(size for entry in listed for size in said(entry))
        yield Frame({"instances": group}, tuple(named), around, notes=notes)
    if not groups:
        yield Frame({"instances": []})


def _orders(categories: Any) -> dict[str, Any]:
    """What COCO's categories call their points, by the category's id."""
    listed = [each for each in categories if isinstance(each, dict)] if isinstance(categories, list) else []
    return {_name(each.get("id")): each["keypoints"] for each in listed if isinstance(each.get("keypoints"), list)}


def _keypoint_names(data: dict[str, Any]) -> dict[str, Any]:
    """What MMPose's description of the data set calls the points."""
    meta = data.get("meta_info")
    names = meta.get("keypoint_id2name") if isinstance(meta, dict) else None
    if not isinstance(names, dict) or not all(name.isdigit() and len(name) < 6 for name in names):
        return {}
    return {NAMES: [names[name] for name in sorted(names, key=int)]}


def _name(value: Any) -> str:
    """An id or a file name as text; "" where there is none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)[:200] if isinstance(value, int | float | str) else ""
