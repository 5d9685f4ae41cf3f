"""Sources of pictures into training shards: candidates, key points where they are missing, the draw, shards, report.

Every step leaves whole files, finds what is there and goes on from it; when all is there, nothing is touched. Looking
for key points is a step of its own, because MediaPipe needs an environment of its own (the `eval` extra, no torch):
candidates and pictures are the same on both sides, and the draw is made from what was found wherever torch is.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from handfirst.engines.errors import UserError
from handfirst.runtime.cli.bars import Bars
from handfirst.training.data.labels.labelling import Alone, Labelling, devices, label_alone
from handfirst.training.data.labels.model import Model, Question
from handfirst.training.data.prepare import pool as pools
from handfirst.training.data.prepare.asking import model_of, store_of
from handfirst.training.data.prepare.plan import PARTS, Plan, Shard, check_same, read_plan
from handfirst.training.data.prepare.planning import make_plan, missing
from handfirst.training.data.prepare.pool import Pool, make_pool, read_pool
from handfirst.training.data.prepare.report import write_report
from handfirst.training.data.prepare.run import run_here, run_on_ray
from handfirst.training.data.prepare.settings import PrepareSettings
from handfirst.training.data.prepare.shard import make_shard, shard_done, uncaptioned
from handfirst.training.data.prepare.shard import slices as shard_slices
from handfirst.training.data.prepare.trial import (
    Block,
    Trial,
    judge,
    judged,
    known_so_far,
    make_points,
    points_done,
    unmasked,
)
from handfirst.training.data.prepare.trial import slices as block_slices
from handfirst.training.data.record import Source
from handfirst.training.data.shards import remove_leftovers
from handfirst.training.data.store import Store

Open = Callable[[], Sequence[Source]]
Context = TypeVar("Context")
Piece = TypeVar("Piece")


@dataclass(frozen=True)
class Crew:
    """Who does the work, and where it is shown.

    Attributes:
        workers: processes on this machine.
        ray: address of a Ray cluster, which then does the work instead.
    """

    workers: int
    ray: str | None
    bars: Bars

    def run(self, work: Callable[[Context, Piece], None], context: Context, pieces: Sequence[Piece]) -> Iterator[Piece]:
        """Yields every piece as it is finished."""
        if self.ray is None:
            return (piece for piece, _ in run_here(work, context, pieces, self.workers))
        return (piece for piece, _ in run_on_ray(work, context, pieces, self.ray))

    def label(
        self,
        gather: Callable[[Context, Piece], list[Question]],
        context: Context,
        model: Model,
        store: Store,
        pieces: Sequence[Piece],
    ) -> Iterator[Piece]:
        """Yields every piece when all that it asks of the model is answered and kept."""
        if self.ray is None:
            return Labelling(gather, context, model, store, devices(), self.workers).run(pieces)
        return self._label_on_ray(Alone(gather, context, model), store, pieces)

    def _label_on_ray(self, work: Alone[Context, Piece], store: Store, pieces: Sequence[Piece]) -> Iterator[Piece]:
        assert self.ray is not None
        for piece, answers in run_on_ray(label_alone, work, pieces, self.ray, gpu=True):
            store.put(answers)
            yield piece


def prepare(
    out: Path, settings: PrepareSettings, sources: Open, workers: int, ray: str | None = None, show: bool | None = None
) -> dict[str, Any]:
    """Everything, or what is missing of it; returns what prepare.json holds.

    Args:
        sources: opens the settings' origins; called only where there are no candidates yet.
        workers: processes on this machine.
        ray: address of a Ray cluster, which then does the work instead.
        show: progress bars; None: where stderr is a terminal.

    Raises:
        UserError: OUT was made with other settings, nothing is of use, key points have to be found elsewhere first.
    """
    _check_models(settings)
    with Bars(show, left=True) as bars:
        crew = Crew(workers, ray, bars)
        if (plan := read_plan(out)) is not None:
            check_same(out, plan.settings, settings)
        else:
            plan = _planned(out, settings, sources, crew)
        shutil.rmtree(pools.folder(out), ignore_errors=True)
        _make_shards(plan, crew)
    for folder in (out, *(out / name for name in (*PARTS, "points"))):
        remove_leftovers(folder)
    return write_report(plan)


def find_points(out: Path, workers: int, ray: str | None = None, show: bool | None = None) -> int:
    """The step that needs MediaPipe, alone; returns how many pictures had no key points.

    Raises:
        UserError: nothing was begun in OUT, or MediaPipe is not installed.
    """
    if (plan := read_plan(out)) is not None:
        return plan.without_points
    pool = read_pool(out)
    if pool is None:
        raise UserError(f"'{out}' has no plan yet; run 'handfirst prepare hand' or 'handfirst prepare body' first")
    trial = Trial(out, pool.settings)
    blocks = _without_points(pool, trial.blocks())
    with Bars(show, left=True) as bars:
        _find_points(pool, trial, blocks, Crew(workers, ray, bars))
    return sum(_pointless(pool, block) for block in blocks)


def _planned(out: Path, settings: PrepareSettings, sources: Open, crew: Crew) -> Plan:
    """Candidates are looked at, round by round, until the draw needs no more of them."""
    pool = read_pool(out)
    if pool is not None:
        check_same(out, pool.settings, settings)
    else:
        pool = make_pool(out, settings, sources(), lambda label, n: crew.bars.update(label, n, None))
    trial = Trial(out, settings)
    blocks = trial.blocks()
    while True:
        _look_at(pool, trial, blocks, crew)
        known, reasons = known_so_far(trial, pool)
        if not len(places := missing(pool, known)):
            break
        blocks = trial.ask(places)
    try:
        return make_plan(pool, trial, known, reasons)
    except UserError:  # other options may do, and are free to be given
        shutil.rmtree(pools.folder(out))
        with suppress(OSError):
            out.rmdir()
        raise


def _look_at(pool: Pool, trial: Trial, blocks: Sequence[Block], crew: Crew) -> None:
    """A round, or what is missing of it."""
    todo = [block for block in blocks if not judged(trial, block)]
    without = _without_points(pool, todo)
    if find_spec("mediapipe"):
        _find_points(pool, trial, without, crew)
    if unfound := [block for block in without if not points_done(trial, block)]:
        count = sum(_pointless(pool, block) for block in unfound)
        raise UserError(
            f"{count} pictures have no key points yet, and mediapipe is not installed here; in an "
            f"environment with 'handfirst[cpu,eval]' run: handfirst prepare points {trial.out}; then this command again"
        )
    if todo and (model := model_of("mask", trial.settings)) is not None:
        _label_masks(trial, model, todo, crew)
    total = sum(len(block.places) for block in trial.blocks())
    ready = total - sum(len(block.places) for block in todo)
    for block in crew.run(judge, trial, todo):
        ready += len(block.places)
        crew.bars.update("look", ready, total)


def _label_masks(trial: Trial, model: Model, blocks: Sequence[Block], crew: Crew) -> None:
    ready, total = 0, sum(len(block.places) for block in blocks)
    for some in crew.label(unmasked, trial, model, store_of(trial.out), block_slices(blocks)):
        ready += len(some.places)
        crew.bars.update("masks", ready, total)


def _find_points(pool: Pool, trial: Trial, blocks: Sequence[Block], crew: Crew) -> None:
    todo = [block for block in blocks if not points_done(trial, block)]
    total = sum(_pointless(pool, block) for block in blocks)
    ready = total - sum(_pointless(pool, block) for block in todo)
    for block in crew.run(make_points, trial, todo):
        ready += _pointless(pool, block)
        crew.bars.update("points", ready, total)


def _pointless(pool: Pool, block: Block) -> int:
    return int(pool.pointless[block.places].sum())


def _without_points(pool: Pool, blocks: Sequence[Block]) -> list[Block]:
    return [block for block in blocks if _pointless(pool, block)]


def _make_shards(plan: Plan, crew: Crew) -> None:
    todo = [shard for shard in plan.shards if not shard_done(plan, shard)]
    total = sum(plan.count(part) for part in PARTS)
    ready = total - sum(plan.pictures(shard) for shard in todo)
    crew.bars.update(plan.settings.stage, ready, total)
    if todo and (model := model_of("caption", plan.settings)) is not None:
        _label_captions(plan, model, todo, crew)
    for shard in crew.run(make_shard, plan, todo):
        ready += plan.pictures(shard)
        crew.bars.update(plan.settings.stage, ready, total)


def _label_captions(plan: Plan, model: Model, shards: Sequence[Shard], crew: Crew) -> None:
    ready, total = 0, sum(plan.pictures(shard) for shard in shards)
    for some in crew.label(uncaptioned, plan, model, store_of(plan.out), shard_slices(plan, shards)):
        ready += some.stop - some.start
        crew.bars.update("captions", ready, total)


def _check_models(settings: PrepareSettings) -> None:
    """A mistyped folder is told before a long pass over the sources."""
    from handfirst.training.data.labels.checkpoint import CAPTIONERS, SEGMENTERS, check_folder

    if settings.sam is not None:
        check_folder(Path(settings.sam), *SEGMENTERS)
    if settings.captioner is not None:
        check_folder(Path(settings.captioner), *CAPTIONERS)
