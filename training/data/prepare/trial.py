"""Candidates are looked at: do their pixels give an example, and if not, why?

In rounds: a round's candidates are those that the draw misses, given the verdicts of all rounds before. Rounds are cut
into blocks, the pieces of work that processes and machines are given; a block's verdicts are a file of their own, so
that whatever is killed is looked at again by the block. Which round holds which candidates follows from the verdicts
alone, never from who found them. A drawn picture is read twice, now and for its shard: 1.6 times the time of an
example, the same memory (benchmarks/results/prepare-cost.json).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.errors import UserError
from handfirst.engines.files import atomic_path
from handfirst.runtime.pose.topology import POINTS
from handfirst.training.data.labels.holistic import open_holistic
from handfirst.training.data.labels.model import Question
from handfirst.training.data.prepare.asking import TOGETHER, Answers, all_said, open_questions, store_of
from handfirst.training.data.prepare.draw import FAILED, PASSED, UNKNOWN, Indices
from handfirst.training.data.prepare.examples import Helpers, Rejected, examples
from handfirst.training.data.prepare.filters import NOT_FOUND, needs_points
from handfirst.training.data.prepare.pool import RECORDS, Pool, folder
from handfirst.training.data.prepare.record_file import read_records
from handfirst.training.data.prepare.settings import PrepareSettings
from handfirst.training.data.record import Record, UnreadableError


@dataclass(frozen=True, eq=False)
class Block:
    """Some candidates of a round: their places in the pool, int64 [n]."""

    round: int
    index: int
    places: Indices

    @property
    def name(self) -> str:
        return f"{self.round:03d}-{self.index:06d}"


@dataclass(frozen=True)
class Trial:
    """What a process needs to look at a block. Small; records and verdicts are on disk."""

    out: Path
    settings: PrepareSettings

    def records(self, block: Block) -> Iterator[Record]:
        """The block's records, as their source knows them."""
        return read_records(folder(self.out), RECORDS, block.places.tolist())

    def verdicts(self, block: Block) -> Path:
        """Where the block's verdicts go."""
        return folder(self.out) / f"verdicts-{block.name}.json"

    def points(self, block: Block) -> Path:
        """Where found key points go."""
        return self.out / "points" / f"{block.name}.npz"

    def blocks(self) -> list[Block]:
        """Of all rounds so far, in order."""
        return [block for i, places in enumerate(self._rounds()) for block in self._cut(i, places)]

    def ask(self, places: Indices) -> list[Block]:
        """A further round, of these candidates; written down before anything of it is looked at."""
        number = sum(1 for _ in self._rounds())
        with atomic_path(folder(self.out) / f"round-{number:03d}.npy") as temporary:
            np.save(temporary, places)
        return self._cut(number, places)

    def _rounds(self) -> Iterator[Indices]:
        for file in sorted(folder(self.out).glob("round-*.npy")):
            yield np.load(file, allow_pickle=False)

    def _cut(self, number: int, places: Indices) -> list[Block]:
        size = self.settings.shard
        return [Block(number, i // size, places[i : i + size]) for i in range(0, len(places), size)]


def known_so_far(trial: Trial, pool: Pool) -> tuple[NDArray[np.int8], dict[int, str]]:
    """int8 [N] (FAILED, UNKNOWN, PASSED) of all candidates, and why each failed one did."""
    known = np.full(len(pool.candidates), UNKNOWN, np.int8)
    reasons: dict[int, str] = {}
    for block in trial.blocks():
        if not judged(trial, block):
            continue
        for place, reason in zip(block.places.tolist(), json.loads(trial.verdicts(block).read_text()), strict=True):
            known[place] = PASSED if reason is None else FAILED
            if reason is not None:
                reasons[place] = reason
    return known, reasons


def judged(trial: Trial, block: Block) -> bool:
    """Whether a block was looked at."""
    return trial.verdicts(block).exists()


def judge(trial: Trial, block: Block) -> None:
    """Looks at a block: a candidate passes if it gives at least one example; else its first reason is noted.

    Raises:
        UserError: a mask has not been made.
    """
    answers = Answers(trial.settings, store_of(trial.out))
    helpers = Helpers(answers.helpers().segment)  # captions are for those that are drawn
    verdicts = [_reason(record, trial.settings, helpers) for record in with_points(trial, block)]
    all_said(answers)
    with atomic_path(trial.verdicts(block)) as temporary:
        temporary.write_text(json.dumps(verdicts), encoding="utf-8")


def _reason(record: Record, settings: PrepareSettings, helpers: Helpers) -> str | None:
    if needs_points(record):
        return NOT_FOUND
    reasons = []
    for made in examples(record, settings, helpers):
        if not isinstance(made, Rejected):
            return None
        reasons.append(made.reason)
    return reasons[0]


def with_points(trial: Trial, block: Block) -> Iterator[Record]:
    """The block's records; key points that were looked for stand where the source had no hand's.

    Raises:
        UserError: they have not been looked for yet.
    """
    found: dict[int, NDArray[np.float32]] | None = None
    for place, record in zip(block.places.tolist(), trial.records(block), strict=True):
        if needs_points(record):
            found = found_points(trial, block) if found is None else found
            record = replace(record, people=found[place])
        yield record


def slices(blocks: Sequence[Block]) -> list[Block]:
    """The blocks in the pieces that a process gathers at once."""
    return [
        Block(block.round, block.index, block.places[i : i + TOGETHER])
        for block in blocks
        for i in range(0, len(block.places), TOGETHER)
    ]


def unmasked(trial: Trial, block: Block) -> list[Question]:
    """What SAM has not been asked yet about a block."""
    return open_questions("mask", with_points(trial, block), trial.settings, store_of(trial.out))


def points_done(trial: Trial, block: Block) -> bool:
    """Whether a block's key points have been looked for."""
    return trial.points(block).exists()


def make_points(trial: Trial, block: Block) -> None:
    """Looks for key points in all pictures of a block that have no hand's.

    Writes places int64 [n] (in the pool), people float32 [n, 133, 3] and found bool [n]. A picture that cannot be read
    counts as one without key points.
    """
    places, people, found = [], [], []
    for place, record in zip(block.places.tolist(), trial.records(block), strict=True):
        if not needs_points(record):
            continue
        try:
            person = open_holistic()(record.image.read())
        except UnreadableError:
            person = None
        places.append(place)
        people.append(np.zeros((POINTS, 3), np.float32) if person is None else person)
        found.append(person is not None)
    trial.points(block).parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(trial.points(block)) as temporary:
        np.savez_compressed(
            temporary,
            places=np.array(places, np.int64),
            people=np.array(people, np.float32).reshape(-1, POINTS, 3),
            found=np.array(found, np.bool_),
        )


def found_points(trial: Trial, block: Block) -> dict[int, NDArray[np.float32]]:
    """What `make_points` wrote: place in the pool -> people [1, 133, 3], or [0, 133, 3] where nothing was found.

    Raises:
        UserError: there is no such file yet.
    """
    path = trial.points(block)
    try:
        with np.load(path) as file:
            places, people, there = file["places"], file["people"], file["found"]
    except OSError as error:
        raise UserError(f"the key points in '{path}' are missing; run: handfirst prepare points") from error
    return {int(p): people[i : i + 1] if there[i] else people[:0] for i, p in enumerate(places)}
