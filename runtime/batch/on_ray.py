"""Rendering a backlog on a Ray cluster: an actor per GPU, or per share of the CPUs, each with the model opened once.

The caller keeps the ledger and writes the files: pictures come back as bytes, so nothing needs to be shared between the
machines but the model. A worker that dies with its group is replaced, and the group given out again (backlog.py).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from handfirst.engines.errors import EngineError, UserError, lacks_memory
from handfirst.runtime.batch.backlog import Backlog, describe
from handfirst.runtime.batch.outcome import Done, Outcome, Painted
from handfirst.runtime.batch.plan import Group
from handfirst.runtime.batch.render import paintings
from handfirst.runtime.batch.workers import Opening, share_out
from handfirst.runtime.errors import BatchError
from handfirst.runtime.image_file import ImageFormat
from handfirst.runtime.request import Request

PATIENCE_S = 120.0
"""Without any work done, until a cluster on which no worker starts is given up."""
MOST_OPENINGS = 3
"""Deaths of workers in a row, in one place, before they have opened the model."""


@dataclass(frozen=True)
class Refusal:
    """An error that a worker met, as words: errors themselves do not always travel."""

    reason: str
    memory: bool

    def error(self) -> Exception:
        """For the backlog."""
        return MemoryError(self.reason) if self.memory else EngineError(self.reason)


class Painter:
    """What runs in an actor."""

    def __init__(self) -> None:
        self._system: Any = None

    def open(self, opening: Opening) -> str | None:
        """None, or why the model cannot be opened there."""
        try:
            self._system = opening.open()
        except UserError as error:
            return str(error)
        return None

    def paint(self, requests: Sequence[Request], image_format: ImageFormat) -> list[Painted] | Refusal:
        """A group, both stages."""
        try:
            drawn = self._system.draw_hands(requests)
            return paintings(self._system.paint_bodies(drawn), image_format)
        except Exception as error:
            return Refusal(describe(error), lacks_memory(error))


@dataclass
class _Place:
    """Where one worker is at a time."""

    actor: Any = None
    group: Group | None = None
    """What it renders; None: it is opening the model."""
    deaths: int = 0
    """In a row, before the model was open."""


class OnRay:
    """A Renderer on a cluster. A context manager: workers end, and the connection closes, when it does.

    Args:
        address: "auto", "HOST:PORT", "ray://HOST:PORT", or "local" for a cluster on this machine alone.
        opening: the model, as every node can open it.
        image_format: of the files.
        workers: at most so many; None: all that fit.

    Raises:
        BatchError: Ray is not installed, no cluster answers, or none of its nodes has room for a worker.
    """

    def __init__(self, address: str, opening: Opening, image_format: ImageFormat, workers: int | None = None) -> None:
        self._ray = _import_ray()
        self._connected = not self._ray.is_initialized()
        if self._connected:
            _connect(self._ray, address)
        self._format: ImageFormat = image_format
        share = share_out(self._ray.nodes(), opening.threads, workers)
        self._opening = opening.with_threads(share.cpus)
        self._actor = self._ray.remote(Painter).options(
            num_cpus=share.cpus, num_gpus=share.gpus, scheduling_strategy="SPREAD", max_restarts=0
        )
        self.workers = share.workers
        """How many there are."""
        self._places: dict[Any, _Place] = {}

    def render(self, backlog: Backlog) -> Iterator[list[Outcome]]:
        """Everything in the backlog, as groups come back."""
        for _ in range(self.workers):
            self._open(_Place())
        idle: list[_Place] = []
        while True:
            while idle and (group := backlog.take()) is not None:
                self._give(idle.pop(), group)
            if not any(place.group for place in self._places.values()) and (idle or not self._places):
                if not idle and (group := backlog.take()) is not None:
                    backlog.put_back(group)
                    raise BatchError(f"{MOST_OPENINGS} workers died one after another while they opened the model")
                return
            ready, _ = self._ray.wait(list(self._places), timeout=PATIENCE_S)
            if not ready and not any(place.group for place in self._places.values()):
                raise BatchError(f"no worker of the cluster was ready within {PATIENCE_S:.0f} seconds")
            for reference in ready:
                place = self._places.pop(reference)
                if outcomes := self._answered(place, reference, backlog, idle):
                    yield outcomes

    def _answered(self, place: _Place, reference: Any, backlog: Backlog, idle: list[_Place]) -> list[Outcome]:
        """What a worker has said, or that it died; it, or the one in its place, gets ready for more."""
        group, place.group = place.group, None
        try:
            answer = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            place.deaths += group is None
            if place.deaths < MOST_OPENINGS:
                self._open(place)
            return [] if group is None else [*backlog.lost(group, " ".join(str(error).split())[:200])]
        if group is None and answer is not None:
            raise EngineError(f"on a node of the cluster: {answer}")
        place.deaths = 0
        idle.append(place)
        if group is None:
            return []
        if isinstance(answer, Refusal):
            return [*backlog.failed(group, answer.error())]
        return [Done(task.job, painted) for task, painted in zip(group, answer, strict=True)]

    def _open(self, place: _Place) -> None:
        place.actor = self._actor.remote()
        self._places[place.actor.open.remote(self._opening)] = place

    def _give(self, place: _Place, group: Group) -> None:
        place.group = group
        requests = [task.request for task in group]
        self._places[place.actor.paint.remote(requests, self._format)] = place

    def __enter__(self) -> OnRay:
        return self

    def __exit__(self, *_: object) -> None:
        for place in self._places.values():
            with suppress(Exception):
                self._ray.kill(place.actor)
        self._places.clear()
        if self._connected:
            self._ray.shutdown()


def _import_ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray's own default is to report home
    try:
        import ray
    except ImportError as error:
        raise BatchError("--ray needs the ray extra; run: pip install 'handfirst[ray]'") from error
    return ray


def _connect(ray: Any, address: str) -> None:
    try:
        ray.init(address=address, logging_level="ERROR", log_to_driver=False, include_dashboard=False)
    except (ConnectionError, ValueError, TimeoutError) as error:
        said = " ".join(str(error).split())[:160]
        raise BatchError(f"no Ray cluster answers at '{address}' ({said}); start one: ray start --head") from error
