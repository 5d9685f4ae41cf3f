"""Many pictures past a labeller: processes on the CPU gather them, a process on each GPU labels them in batches.

Every answer goes into the store as soon as its batch is done, written by the process that called: whatever is killed,
no picture is labelled again but those that lay on a GPU. Knows nothing about what is asked.
"""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Generic, TypeVar

from handfirst.engines.errors import UserError
from handfirst.engines.installed import usable_cores
from handfirst.training.data.labels.model import Answer, Labeller, Question
from handfirst.training.data.store import Store
from handfirst.training.data.workers import begin, end_with_parent, single_threaded

Context = TypeVar("Context")
Piece = TypeVar("Piece")
AHEAD = 2
"""Batches that lie on a device, and pieces that a process of the CPU is given, so that neither waits for the other."""


def devices() -> list[str]:
    """All GPUs, or the CPU."""
    import torch

    return [f"cuda:{i}" for i in range(torch.cuda.device_count())] or ["cpu"]


@dataclass(eq=False)
class Labelling(Generic[Context, Piece]):
    """One labeller's work.

    Attributes:
        gather: (context, piece) -> its questions that have no answer yet; in a process of the CPU.
        labeller: who answers.
        store: where the answers go.
        on: the devices, a process each.
        workers: processes of the CPU; with 1 and a single device, this process does it all.
    """

    gather: Callable[[Context, Piece], list[Question]]
    context: Context
    labeller: Labeller
    store: Store
    on: Sequence[str]
    workers: int
    _waiting: deque[Question] = field(default_factory=deque, init=False)
    _open: dict[bytes, list[Piece]] = field(default_factory=dict, init=False)
    _left: dict[int, int] = field(default_factory=dict, init=False)
    _answers: set[bytes] = field(default_factory=set, init=False)

    def run(self, pieces: Sequence[Piece]) -> Iterator[Piece]:
        """Yields every piece when all of its questions have been answered.

        Raises:
            UserError: the labeller cannot be opened, or a process was killed.
        """
        with ExitStack() as stack:
            gatherers, labellers = self._executors(stack)
            try:
                yield from self._flow(deque(pieces), gatherers, labellers)
            except BrokenProcessPool as error:
                raise UserError(
                    "a process that labels pictures was killed, perhaps for want of memory; what was labelled is kept: "
                    "run the same command again to go on"
                ) from error

    def _flow(
        self, todo: deque[Piece], gatherers: Executor, labellers: Sequence[tuple[str, Executor]]
    ) -> Iterator[Piece]:
        size = self.labeller.batch
        gathering: dict[Future[Any], Piece] = {}
        labelling: dict[Future[Any], tuple[str, list[Question]]] = {}
        while todo or gathering or labelling or self._waiting:
            while todo and len(gathering) < AHEAD * self.workers and len(self._waiting) < AHEAD * size * len(labellers):
                piece = todo.popleft()
                gathering[gatherers.submit(self.gather, self.context, piece)] = piece
            for name, labeller in labellers:
                busy = sum(other == name for other, _ in labelling.values())
                if busy < AHEAD and (batch := self._batch(size, last=not (todo or gathering))):
                    labelling[labeller.submit(_answer, self.labeller, name, batch)] = name, batch
            done, _ = wait([*gathering, *labelling], return_when=FIRST_COMPLETED)
            for future in done:
                if future in gathering:
                    yield from self._gathered(gathering.pop(future), future.result())
                else:
                    _, batch = labelling.pop(future)
                    yield from self._answered(batch, future.result())

    def _batch(self, size: int, last: bool) -> list[Question]:
        """A whole batch, or what is left at the end."""
        if len(self._waiting) < size and not last:
            return []
        return [self._waiting.popleft() for _ in range(min(size, len(self._waiting)))]

    def _gathered(self, piece: Piece, questions: Sequence[Question]) -> Iterator[Piece]:
        """Equal questions are asked once, even where the second was gathered before the first was answered."""
        keys = {question.key for question in questions} - self._answers
        for question in questions:
            if question.key in keys and question.key not in self._open:
                self._open[question.key] = []
                self._waiting.append(question)
        for key in keys:
            self._open[key].append(piece)
        self._left[id(piece)] = len(keys)
        if not keys:
            yield piece

    def _answered(self, batch: Sequence[Question], answers: Sequence[bytes]) -> Iterator[Piece]:
        self.store.put({question.key: answer for question, answer in zip(batch, answers, strict=True)})
        for question in batch:
            self._answers.add(question.key)
            for piece in self._open.pop(question.key):
                self._left[id(piece)] -= 1
                if not self._left[id(piece)]:
                    yield piece

    def _executors(self, stack: ExitStack) -> tuple[Executor, list[tuple[str, Executor]]]:
        if self.workers == 1 and len(self.on) == 1:
            return _Here(), [(self.on[0], _Here())]
        spawn = multiprocessing.get_context("spawn")
        stack.enter_context(single_threaded())
        gatherers = ProcessPoolExecutor(self.workers, mp_context=spawn, initializer=begin)
        pools = [ProcessPoolExecutor(1, mp_context=spawn, initializer=end_with_parent) for _ in self.on]
        for pool in (gatherers, *pools):
            stack.callback(pool.shutdown, cancel_futures=True)
        return gatherers, list(zip(self.on, pools, strict=True))


@dataclass(frozen=True)
class Alone(Generic[Context, Piece]):
    """The same for a task of a cluster, which hands its answers to whoever keeps the store."""

    gather: Callable[[Context, Piece], list[Question]]
    context: Context
    labeller: Labeller


def label_alone(work: Alone[Context, Piece], piece: Piece) -> dict[bytes, bytes]:
    """The answers to a piece's open questions, by their keys; on the GPU that the task was given, if it was."""
    questions = list({question.key: question for question in work.gather(work.context, piece)}.values())
    if not questions:
        return {}
    answers = _answer(work.labeller, devices()[0], questions)
    return {question.key: answer for question, answer in zip(questions, answers, strict=True)}


class _Here(Executor):
    """In this process, at once."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(function(*arguments, **named))
        return future


def _answer(labeller: Labeller, device: str, batch: Sequence[Question]) -> list[bytes]:
    """On the device; a batch that is too large for its memory is halved.

    Raises:
        UserError: a single picture is too much.
    """
    try:
        return _opened(labeller, device)(batch)
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":
            raise
        if len(batch) == 1:
            raise UserError(f"{device} has too little memory for this model: {error}".splitlines()[0]) from error
    half = len(batch) // 2
    return _answer(labeller, device, batch[:half]) + _answer(labeller, device, batch[half:])


@lru_cache(maxsize=2)
def _opened(labeller: Labeller, device: str) -> Answer:
    """Opened once in a process."""
    if device == "cpu" and multiprocessing.parent_process() is not None:
        import torch

        torch.set_num_threads(usable_cores())
    return labeller.open(device)
