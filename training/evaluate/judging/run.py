"""The whole recipe on one bundle: renders, paints, asks the judges, and makes the rows of the table.

Picture by picture into a folder, each file whole or not there: run again it goes on where it stopped, and again with a
judge that was missing (or in the environment that has it) it adds what that judge sees. Knows nothing about metrics.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from handfirst.engines.bundle import Bundle, demo_bundle_path
from handfirst.engines.choice import AUTO, choose
from handfirst.engines.errors import UserError
from handfirst.engines.files import atomic_write_bytes, sha256
from handfirst.runtime.profile.machine import machine
from handfirst.training.data.procedural.sample import Sample
from handfirst.training.evaluate.judging import crops, hands, pixels
from handfirst.training.evaluate.judging.held_out import HeldOut, Kind, held_out, list_digest, render
from handfirst.training.evaluate.judging.judges import NAMES, Judge, open_judges
from handfirst.training.evaluate.judging.looks import Look, look
from handfirst.training.evaluate.judging.painting import (
    Changes,
    FolderPainter,
    Painted,
    Painter,
    painter_of,
    read_painted,
    write_painted,
    write_picture,
)
from handfirst.training.evaluate.judging.pixels import PixelLook, look_at_pixels, true_look
from handfirst.training.evaluate.judging.table import Judged, Row, Table, model_digest, read_table, row_of, write_table
from handfirst.training.evaluate.measure import Measure, figure
from handfirst.training.evaluate.pictures import files_by_key
from handfirst.training.evaluate.quality import Update
from handfirst.training.evaluate.score import Sampling

ASKED: dict[Kind, tuple[str, ...]] = {
    "people": (*hands.METRICS, *(name for name in pixels.METRICS if name != "mask_iou")),
    "hands": (*(name for name in hands.METRICS if name not in ("face_found", "body_found")), "mask_iou"),
}
"""What is asked about a set; anything else makes no sense there."""
NOTHING = "no picture of this set has anything to measure"


@dataclass(frozen=True)
class Recipe:
    """What is judged; see `handfirst evaluate judge --help`."""

    bundle: Path | None = None
    pictures: Path | None = None
    system: str | None = None
    people: int | None = None
    hands: int | None = None
    steps: int | None = None
    engine: str = AUTO
    changes: Changes = field(default_factory=Changes)
    rtmlib: Path | None = None
    inception: Path | None = None
    sampling: Sampling = field(default_factory=Sampling)


class Seen(BaseModel):
    """What one judge saw in one pose's picture and in its render; the file of a judge and a pose."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    judge: str
    made: Look
    true: Look


class PixelsSeen(BaseModel):
    """The same of what can be said without a judge."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    made: PixelLook
    true: PixelLook


Record = TypeVar("Record", Seen, PixelsSeen)


def judge_all(recipe: Recipe, out: Path, update: Update) -> Table:
    """The table of one bundle, which is also written to `out`/table.json.

    Raises:
        UserError: something that was given cannot be used, or `out` holds another bundle's pictures.
    """
    poses = held_out(recipe.people, recipe.hands)
    if not poses:
        raise UserError("nothing to judge: give --people or --hands a number above 0")
    judged, digest, opened = _subject(recipe, poses)
    _claim(out, {"digest": digest, "steps": recipe.steps, "engine": judged.settings["engine"], "list": list_digest()})
    judges, absent = open_judges(recipe.rtmlib)
    made = tuple(_look_at_all(out, poses, opened, judges, update))
    where = (judged.system, digest)
    rows = [row for name in NAMES for row in _judge_rows(out, made, where, name, absent.get(name), recipe.sampling)]
    rows += _pixel_rows(out, made, where, recipe.sampling)
    if any(pose.kind == "people" for pose in made):
        keys = [pose.key for pose in made]
        rows += crops.distance_rows(out / "crops", keys, where, recipe.inception, recipe.sampling, update)
    table, file = Table(judged={digest: judged}, rows=tuple(rows)), out / "table.json"
    table = read_table(file).joined(table) if file.exists() else table  # a judge or weights that were here before
    write_table(file, table)
    return table


def _subject(recipe: Recipe, poses: Sequence[HeldOut]) -> tuple[Judged, str, Callable[[], Painter]]:
    """What is judged, its digest, and how to open its painter, which a finished folder never needs."""
    settings: dict[str, Any] = {
        "steps": recipe.steps,
        "engine": None,
        "people": sum(pose.kind == "people" for pose in poses),
        "hands": sum(pose.kind == "hands" for pose in poses),
        "list": list_digest(),
        "resamples": recipe.sampling.resamples,
        "seed": recipe.sampling.seed,
    }
    if recipe.pictures is not None:
        folder, keys = recipe.pictures, tuple(pose.key for pose in poses)
        files = {key: file for key, file in files_by_key(folder).items() if key in keys}
        digest = sha256("".join(f"{key} {sha256(file.read_bytes())}\n" for key, file in files.items()).encode())
        name = recipe.system or folder.name
        judged = Judged(system=name, name=name, model=None, settings=settings, machine=machine())
        return judged, digest, lambda: FolderPainter(folder, keys)
    bundle = Bundle.open(recipe.bundle or demo_bundle_path())
    manifest = bundle.manifest
    engine = choose(recipe.engine, sum(entry.size for entry in manifest.files.values())).engine
    settings["engine"] = engine  # its arithmetic is part of the pictures
    digest = bundle.digest
    if recipe.changes != Changes():  # a variant has rows of its own in the table
        settings["changes"] = {"settings": dict(recipe.changes.settings), "request": dict(recipe.changes.request)}
        digest = sha256(f"{digest} {json.dumps(settings['changes'], sort_keys=True)}".encode())
    judged = Judged(
        system=manifest.system, name=manifest.name, model=model_digest(manifest), settings=settings, machine=machine()
    )
    return judged, digest, lambda: painter_of(bundle, recipe.changes, recipe.steps, engine)


def _claim(out: Path, identity: Mapping[str, Any]) -> None:
    """A folder holds the pictures of one bundle."""
    file = out / "judged.json"
    out.mkdir(parents=True, exist_ok=True)
    content = json.dumps(identity, sort_keys=True).encode()
    if not file.exists():
        atomic_write_bytes(file, content)
    elif file.read_bytes() != content:
        raise UserError(f"{out}: it holds what another bundle, engine or number of steps made; give a new --out")


def _look_at_all(
    out: Path, poses: Sequence[HeldOut], opened: Callable[[], Painter], judges: Mapping[str, Judge], update: Update
) -> Iterable[HeldOut]:
    """Makes what is missing of every pose, and names those that there is a picture of."""
    painter: Painter | None = None
    for i, pose in enumerate(poses):
        wanted = [*judges, "pixels"]
        if not all(_file(out, name, pose).exists() for name in wanted):
            painter = painter or opened()
            sample = render(pose, painter.size)
            painted = _painted(out, pose, sample, painter)
            if painted is None:
                continue
            for name in wanted:
                if not _file(out, name, pose).exists():
                    judge = judges.get(name)
                    _save(out, name, pose, _pixels(out, pose, painted, sample) if judge is None
                          else _seen(judge, pose, painted, sample))  # fmt: skip
        yield pose
        update("judge", i + 1, len(poses))


def _file(out: Path, name: str, pose: HeldOut) -> Path:
    return out / "looks" / name / f"{pose.key}.json"


def _save(out: Path, name: str, pose: HeldOut, record: BaseModel) -> None:
    path = _file(out, name, pose)
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write_bytes(path, record.model_dump_json().encode())


def _seen(judge: Judge, pose: HeldOut, painted: Painted, sample: Sample) -> Seen:
    made, true = (look(judge, image, sample, pose.kind) for image in (painted.image, sample.rgb))
    return Seen(judge=judge.name, made=made, true=true)


def _pixels(out: Path, pose: HeldOut, painted: Painted, sample: Sample) -> PixelsSeen:
    """Also saves the crops that KID is about, so that nothing has to be rendered again for it."""
    if pose.kind == "people":
        for name, image in (("made", painted.image), ("true", sample.rgb)):
            for i, crop in enumerate(crops.hand_crops_of(image, sample)):
                write_picture(out / "crops" / name / f"{pose.key}-{i}.png", crop)
    return PixelsSeen(made=look_at_pixels(painted, sample), true=true_look(sample))


def _painted(out: Path, pose: HeldOut, sample: Sample, painter: Painter) -> Painted | None:
    """From the folder, or painted now."""
    painted = read_painted(out / "pictures", pose.key)
    if painted is None and (painted := painter.paint(pose, sample)) is not None:
        write_painted(out / "pictures", pose.key, painted)
    return painted


def looked_at(out: Path) -> dict[str, frozenset[str]]:
    """Which poses each judge, and "pixels", has looked at in a folder."""
    return {folder.name: frozenset(f.stem for f in folder.glob("*.json")) for folder in (out / "looks").glob("*")}


def read_looks(out: Path, name: str, poses: Sequence[HeldOut], kind: type[Record]) -> list[Record]:
    """What a judge, or "pixels", saw of each pose.

    Raises:
        UserError: a file is not what was seen.
    """
    records = []
    for pose in poses:
        path = _file(out, name, pose)
        try:
            records.append(kind.model_validate_json(path.read_bytes()))
        except ValidationError as error:
            raise UserError(f"{path}: not what was seen in a picture; delete it and run the same again") from error
    return records


def sets_of(poses: Sequence[HeldOut]) -> dict[str, tuple[Kind, NDArray[np.int64]]]:
    """Name of the set -> its kind and the indices of its poses."""
    names = dict.fromkeys(name for pose in poses for name in (pose.kind, f"{pose.kind}-{pose.word}"))
    return {
        name: (kind, np.array([i for i, p in enumerate(poses) if name in (p.kind, f"{p.kind}-{p.word}")], np.int64))
        for name in sorted(names)
        for kind in ("people", "hands")
        if name.startswith(kind)
    }  # fmt: skip


def _rows(
    poses: Sequence[HeldOut], where: tuple[str, str], judge: str, made: Sequence[Measure], true: Sequence[Measure],
    sampling: Sampling, why: str,
) -> Iterable[Row]:  # fmt: skip
    """A row for every set and measure that is asked about it."""
    for set_, (kind, chosen) in sets_of(poses).items():
        for a, b in zip(made, true, strict=True):
            if a.name in ASKED[kind]:
                value = figure(a.statistic, a.counts, chosen, sampling.resamples, sampling.seed)
                renders = figure(b.statistic, b.counts, chosen, 0, 0)
                yield row_of((*where, set_, judge), a.name, a.better, value, renders, why)


def _judge_rows(
    out: Path, poses: Sequence[HeldOut], where: tuple[str, str], name: str, why: str | None, sampling: Sampling
) -> list[Row]:
    """Of a judge that is not here, what it saw on an earlier run; a row with the reason for each figure if nothing."""
    if why is not None and not all(_file(out, name, pose).exists() for pose in poses):
        nothing = hand_measures_of(len(poses))
        return list(_rows(poses, where, name, nothing, nothing, sampling, why))
    seen = read_looks(out, name, poses, Seen)
    made, true = (hands.hand_measures([getattr(each, side) for each in seen]) for side in ("made", "true"))
    versions = sorted({each.judge for each in seen})
    if len(versions) > 1:
        raise UserError(f"{out}: looked at by {' and by '.join(versions)}; delete {out / 'looks' / name} and go on")
    return list(_rows(poses, where, versions[0] if versions else name, made, true, sampling, NOTHING))


def hand_measures_of(count: int) -> list[Measure]:
    """The measures of `count` pictures in which nobody looked for anything."""
    return hands.hand_measures([Look(hands=(), face=None)] * count)


def _pixel_rows(out: Path, poses: Sequence[HeldOut], where: tuple[str, str], sampling: Sampling) -> list[Row]:
    seen = read_looks(out, "pixels", poses, PixelsSeen)
    made, true = (pixels.pixel_measures([getattr(each, side) for each in seen]) for side in ("made", "true"))
    return list(_rows(poses, where, "pixels", made, true, sampling, NOTHING))
