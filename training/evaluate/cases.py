"""What is evaluated: pictures, with the pose and words that they were made from, as far as these are known.

A case list is a JSON lines file, a folder of shards (`training/data/example.py`), one shard, or a folder of pictures.
A line of the file holds "picture" (a path beside the file) and, where known, "pose" (the path of a pose file, or a
pose of any format itself), "width" and "height" of the pose's canvas, "prompt", "attributes" (an object of texts) and
"key" (default: the picture's name without its ending). Knows nothing about detectors or metrics.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from handfirst.engines.errors import UserError
from handfirst.runtime.pose.numbers import canvas_size
from handfirst.runtime.pose.person import Person, Pose
from handfirst.runtime.pose.read import parse_pose, read_pose
from handfirst.training.data.record import Picture
from handfirst.training.evaluate.pictures import PictureFile, ShardMember, files_by_key, members


@dataclass(frozen=True, eq=False)
class Case:
    """One picture to evaluate.

    Attributes:
        key: unique in its list.
        picture: the pixels.
        pose: on a canvas of any size; None where it is not known.
        prompt: None where it is not known.
        attributes: "gesture", "view", ...: what subsets are made by.
        mask: of the foreground, not 0 where it is; None where there is none.
    """

    key: str
    picture: Picture
    pose: Pose | None = None
    prompt: str | None = None
    attributes: dict[str, str] = field(default_factory=dict)
    mask: Picture | None = None


def read_cases(path: Path, pictures: Path | None = None, masks: Path | None = None) -> tuple[Case, ...]:
    """All cases of a list.

    Args:
        path: the list.
        pictures: a folder of pictures named KEY.png that take the place of the list's own. A list of shards holds
            the true pictures; this names those that were generated for the same poses.
        masks: a folder of foreground masks named KEY.png.

    Raises:
        UserError: one line: what was expected, what came, how to mend it.
    """
    cases = tuple(_unique(path, _source(path, own=pictures is None)))
    if not cases:
        raise UserError(f"{path}: nothing to evaluate in it")
    if pictures is not None:
        files = _one_each(cases, pictures, "picture")
        cases = tuple(replace(c, picture=PictureFile(files[c.key]), mask=None) for c in cases)
    if masks is not None:
        files = _one_each(cases, masks, "mask")
        cases = tuple(replace(c, mask=PictureFile(files[c.key], colour=False)) for c in cases)
    return cases


def _source(path: Path, own: bool) -> Iterable[Case]:
    if path.suffix == ".tar":
        return _shard(path)
    if path.is_dir():
        shards = sorted(path.glob("*.tar"))
        if shards:
            return (case for shard in shards for case in _shard(shard))
        return (Case(key, PictureFile(file)) for key, file in files_by_key(path).items())
    return _lines(path, own)


def _unique(path: Path, cases: Iterable[Case]) -> Iterator[Case]:
    seen = set[str]()
    for case in cases:
        if case.key in seen:
            raise UserError(f"{path}: two cases are named '{case.key}'; give every line a \"key\" of its own")
        seen.add(case.key)
        yield case


def _one_each(cases: Iterable[Case], folder: Path, what: str) -> Mapping[str, Path]:
    files = files_by_key(folder)
    missing = [case.key for case in cases if case.key not in files]
    if missing:
        raise UserError(f"{folder}: no {what} for {len(missing)} cases, the first is '{missing[0]}.png'; add them")
    return files


def _shard(path: Path) -> Iterator[Case]:
    for key, group in members(path):
        missing = {"rgb.jpg", "json"} - group.keys()
        if missing:
            raise UserError(f"{path}: '{key}' has no {', '.join(sorted(missing))}; is it another kind of shard?")
        try:
            yield _example(key, group)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{path}: '{key}.json' cannot be read ({error}); make the shard again") from error


def _example(key: str, group: Mapping[str, ShardMember]) -> Case:
    truth = json.loads(group["json"].read_bytes())
    points = np.array(truth["keypoints"], np.float64).reshape(133, 3)
    known = points[:, 2:] > 0
    person = Person(np.where(known, points[:, :2], np.nan), known[:, 0].astype(np.float64))
    return Case(
        key=key,
        picture=group["rgb.jpg"],
        pose=Pose((person,), *_canvas(truth["size"])),
        prompt=str(truth["caption"]),
        attributes={str(k): str(v) for k, v in truth["attributes"].items()},
    )


def _canvas(size: Any) -> tuple[int, int]:
    """Width and height of an example, which says one number of a square."""
    width, height = size if isinstance(size, list) else (size, size)
    return int(width), int(height)


def _lines(path: Path, own: bool) -> Iterator[Case]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); expected a list of cases") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not a text file; expected JSON lines, shards or a folder of pictures") from error
    for i, line in enumerate(lines):
        if line.strip():
            try:
                yield _case(json.loads(line), path.parent, own)
            except (ValueError, UserError, RecursionError) as error:
                raise UserError(f"{path}, line {i + 1}: {error}") from error


def _case(line: Any, folder: Path, own: bool) -> Case:
    if not isinstance(line, dict):
        raise ValueError(f'expected an object with "picture", got {type(line).__name__}')
    picture = _text(line, "picture") if own or "key" not in line else None
    key = _text(line, "key") if "key" in line else Path(picture or "").stem
    attributes = line.get("attributes", {})
    if not isinstance(attributes, dict):
        raise ValueError('"attributes": expected an object of texts')
    return Case(
        key=key,
        picture=PictureFile(folder / (picture or "")),
        pose=_pose(line, folder),
        prompt=_text(line, "prompt") if line.get("prompt") is not None else None,
        attributes={str(k): str(v) for k, v in attributes.items()},
    )


def _text(line: Mapping[str, Any], name: str) -> str:
    if not isinstance(line.get(name), str) or not line[name]:
        raise ValueError(f'"{name}": expected a text, got {line.get(name)!r}')
    return str(line[name])


def _pose(line: Mapping[str, Any], folder: Path) -> Pose | None:
    given = line.get("pose")
    if given is None:
        return None
    size = canvas_size(line["width"], line["height"], "pose") if "width" in line and "height" in line else None
    if isinstance(given, str):
        return read_pose(folder / given, size)
    if size is None:
        raise ValueError('a pose inside a line needs the "width" and "height" of its canvas beside it')
    return parse_pose(given, size)
