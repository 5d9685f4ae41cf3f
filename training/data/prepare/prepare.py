"""A source of pictures into training shards: plan, key points where they are missing, shards, report.

Every step leaves whole files, finds what is there and goes on from it; when all is there, nothing is touched. Looking
for key points is a step of its own, because MediaPipe needs an environment of its own (the `eval` extra, no torch):
plan and pictures are the same on both sides, and the shards are made from what was found wherever torch is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from handfirst.engines.errors import UserError
from handfirst.engines.files import atomic_path
from handfirst.runtime.cli.bars import Bars
from handfirst.runtime.pose.topology import POINTS
from handfirst.training.data.labels.holistic import open_holistic
from handfirst.training.data.prepare.filters import needs_points
from handfirst.training.data.prepare.plan import PARTS, Plan, Shard, check_same, read_plan
from handfirst.training.data.prepare.planning import make_plan
from handfirst.training.data.prepare.report import write_report
from handfirst.training.data.prepare.run import Work, run_here, run_on_ray
from handfirst.training.data.prepare.settings import PrepareSettings
from handfirst.training.data.prepare.shard import make_shard, shard_done
from handfirst.training.data.record import Source, UnreadableError
from handfirst.training.data.shards import remove_leftovers


def points_done(plan: Plan, shard: Shard) -> bool:
    """Whether a shard's key points have been looked for."""
    return plan.points(shard).exists()


def make_points(plan: Plan, shard: Shard) -> None:
    """Looks for key points in all pictures of a shard that have no hand's.

    Writes places int64 [n] (in the shard), people float32 [n, 133, 3] and found bool [n]. A picture that cannot be read
    counts as one without key points; it is rejected for what it is when the shard is made.
    """
    places, people, found = [], [], []
    for place, record in enumerate(plan.records(shard)):
        if not needs_points(record):
            continue
        try:
            person = open_holistic()(record.image.read())
        except UnreadableError:
            person = None
        places.append(place)
        people.append(np.zeros((POINTS, 3), np.float32) if person is None else person)
        found.append(person is not None)
    plan.points(shard).parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(plan.points(shard)) as temporary:
        np.savez_compressed(
            temporary,
            places=np.array(places, np.int64),
            people=np.array(people, np.float32).reshape(-1, POINTS, 3),
            found=np.array(found, np.bool_),
        )


Open = Callable[[], Sequence[Source]]


def prepare(
    out: Path, settings: PrepareSettings, sources: Open, workers: int, ray: str | None = None, show: bool | None = None
) -> dict[str, Any]:
    """Everything, or what is missing of it; returns what prepare.json holds.

    Args:
        sources: opens the settings' origins; called only where there is no plan yet.
        workers: processes on this machine.
        ray: address of a Ray cluster, which then does the work instead.
        show: progress bars; None: where stderr is a terminal.

    Raises:
        UserError: OUT was made with other settings, nothing is of use, key points have to be found elsewhere first.
    """
    _check_models(settings)
    with Bars(show) as bars:
        plan = read_plan(out)
        if plan is not None:
            check_same(plan, settings)
        else:
            plan = make_plan(out, settings, sources(), lambda label, n: bars.update(label, n, None))
        if plan.without_points and find_spec("mediapipe"):
            _run(make_points, points_done, "points", plan, workers, ray, bars)
        _check_points(plan)
        _run(make_shard, shard_done, settings.stage, plan, workers, ray, bars)
    for folder in (out, *(out / name for name in (*PARTS, "points"))):
        remove_leftovers(folder)
    return write_report(plan)


def find_points(out: Path, workers: int, ray: str | None = None, show: bool | None = None) -> int:
    """The step that needs MediaPipe, alone; returns how many pictures had no key points.

    Raises:
        UserError: no plan in OUT, or MediaPipe is not installed.
    """
    plan = read_plan(out)
    if plan is None:
        raise UserError(f"'{out}' has no plan yet; run 'handfirst prepare hand' or 'handfirst prepare body' first")
    if plan.without_points:
        with Bars(show) as bars:
            _run(make_points, points_done, "points", plan, workers, ray, bars)
    return plan.without_points


def _run(
    work: Work, done: Callable[[Plan, Shard], bool], name: str, plan: Plan, workers: int, ray: str | None, bars: Bars
) -> None:
    missing = [shard for shard in plan.shards if not done(plan, shard)]
    total = sum(plan.count(part) for part in PARTS)
    ready = total - sum(plan.pictures(shard) for shard in missing)
    bars.update(name, ready, total)
    if not missing:
        return
    finished = run_here(work, plan, missing, workers) if ray is None else run_on_ray(work, plan, missing, ray)
    for shard in finished:
        ready += plan.pictures(shard)
        bars.update(name, ready, total)


def _check_points(plan: Plan) -> None:
    if plan.without_points and not all(points_done(plan, shard) for shard in plan.shards):
        raise UserError(
            f"{plan.without_points} pictures have no key points yet, and mediapipe is not installed here; in an "
            f"environment with 'handfirst[cpu,eval]' run: handfirst prepare points {plan.out}; then this command again"
        )


def _check_models(settings: PrepareSettings) -> None:
    """A mistyped folder is told before a long pass over the sources."""
    from handfirst.training.data.labels.checkpoint import CAPTIONERS, SEGMENTERS, check_folder

    if settings.sam is not None:
        check_folder(Path(settings.sam), *SEGMENTERS)
    if settings.captioner is not None:
        check_folder(Path(settings.captioner), *CAPTIONERS)
