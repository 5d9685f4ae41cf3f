"""Rendering groups on a Ray cluster: an actor per GPU, or per share of the CPUs, each with the model opened once.

The caller keeps the ledger and writes the files: pictures come back as bytes, so nothing needs to be shared between the
machines but the model. A worker that dies with its group is replaced, and the group given out again (groups.py).
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from handfirst.engines.errors import BundleError, EngineError, UserError
from handfirst.engines.telemetry import switch_off
from handfirst.runtime import systems
from handfirst.runtime.batch.groups import Group, GroupQueue, describe
from handfirst.runtime.batch.job import Done, Outcome, Painted
from handfirst.runtime.batch.run import paintings
from handfirst.runtime.errors import BatchError
from handfirst.runtime.pictures import ImageFormat
from handfirst.runtime.system import Request, Resident, System

PATIENCE_S = 120.0
"""Without any work done, until a cluster on which no worker starts is given up."""
ANSWER_S = 10.0
"""Until a cluster at a given address has to accept a connection."""
MOST_OPENINGS = 3
"""Deaths of workers in a row, in one place, before they have opened the model."""


@dataclass(frozen=True)
class Opening:
    """A model, as another process or machine can open it."""

    bundle: Path | None
    """Folder, the same on every machine; None: the embedded one."""
    digest: str
    """What it must be there."""
    engine: str = "auto"
    threads: int | None = None
    resident: Resident = "all"

    def with_threads(self, threads: int) -> Opening:
        """The same with so many CPU threads."""
        return replace(self, threads=threads)

    def open(self) -> System:
        """The model.

        Raises:
            UserError: it cannot be opened here, or is another one.
        """
        system: System = systems.open(self.bundle, self.engine, self.threads, self.resident)
        if system.bundle.digest != self.digest:
            system.close()
            raise BundleError(f"{system.bundle.path}: another model than the caller's; copy the caller's bundle here")
        return system


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

    def paint(self, requests: Sequence[Request], image_format: ImageFormat, metadata: bool) -> list[Painted] | str:
        """A group; or what went wrong, in words, as errors themselves do not always travel."""
        try:
            told = self._system.bundle if metadata else None
            return paintings(self._system.render_batch(requests), image_format, told)
        except Exception as error:
            return describe(error)


@dataclass
class _Place:
    """Where one worker is at a time."""

    actor: Any = None
    group: Group | None = None
    """What it paints; None: it opens the model, or is idle."""
    deaths: int = 0
    """In a row, before the model was open."""


class OnRay:
    """A Renderer on a cluster. A context manager: workers end, and the connection closes, when it does.

    Args:
        address: "auto", "HOST:PORT", "ray://HOST:PORT", or "local" for a cluster on this machine alone.
        opening: the model, as every node can open it.
        image_format: of the files.
        workers: at most so many; None: all that fit.
        metadata: whether the files say how they were made (metadata.py).

    Raises:
        BatchError: Ray is not installed, no cluster answers, or none of its nodes has room for a worker.
    """

    def __init__(
        self,
        address: str,
        opening: Opening,
        image_format: ImageFormat,
        workers: int | None = None,
        metadata: bool = False,
    ) -> None:
        self._ray = _import_ray()
        self._format: ImageFormat = image_format
        self._metadata = metadata
        self._actors: list[Any] = []
        self._busy: dict[Any, _Place] = {}  # by the reference to its answer
        self._idle: list[_Place] = []
        self._connected = not self._ray.is_initialized()
        if self._connected:
            _connect(self._ray, address)
        try:
            share = share_out(self._ray.nodes(), opening.threads, workers)
        except BatchError:
            self.close()
            raise
        self.workers = share.workers
        """How many there are."""
        self._opening = opening.with_threads(share.cpus)
        self._actor = self._ray.remote(Painter).options(
            num_cpus=share.cpus, num_gpus=share.gpus, scheduling_strategy="SPREAD", max_restarts=0
        )
        for _ in range(self.workers):
            self._open(_Place())

    @property
    def waiting(self) -> int:
        """Workers that have opened the model and have nothing to do."""
        return len(self._idle)

    def render(self, queue: GroupQueue) -> Iterator[list[Outcome]]:
        """Everything in the queue, as groups come back."""
        while self._hand_out(queue):
            for reference in self._wait():
                outcomes = self._answered(self._busy.pop(reference), reference, queue)
                if outcomes:
                    yield outcomes

    def _hand_out(self, queue: GroupQueue) -> bool:
        """Gives every idle worker a group; False once all is over."""
        while self._idle and (group := queue.take()) is not None:
            place = self._idle.pop()
            place.group = group
            requests = [task.request for task in group]
            self._busy[place.actor.paint.remote(requests, self._format, self._metadata)] = place
        if self._busy and not (self._idle and not self._painting()):
            return True
        if not self._idle and queue.take() is not None:
            raise BatchError(f"workers died {MOST_OPENINGS} times in a row while they opened the model; see Ray's logs")
        return False

    def _painting(self) -> bool:
        return any(place.group is not None for place in self._busy.values())

    def _wait(self) -> list[Any]:
        """References to what is ready; none if nothing was for long, though a group is being painted."""
        try:
            ready: list[Any] = self._ray.wait(list(self._busy), timeout=PATIENCE_S)[0]
        except (self._ray.exceptions.RayError, ConnectionError) as error:
            raise BatchError(f"the Ray cluster is gone ({_line(error)}); run the same command on another") from error
        if not ready and not self._painting():
            raise BatchError(f"no worker was ready within {PATIENCE_S:.0f} seconds; does the cluster have room?")
        return ready

    def _answered(self, place: _Place, reference: Any, queue: GroupQueue) -> list[Outcome]:
        """What a worker has said, or that it died; it, or the one in its place, gets ready for more."""
        group, place.group = place.group, None
        try:
            answer = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            place.deaths = place.deaths + 1 if group is None else 0
            if place.deaths < MOST_OPENINGS:
                self._open(place)
            return [] if group is None else [*queue.lost(group, _line(error))]
        if group is None and answer is not None:
            raise EngineError(f"on a node of the cluster: {answer}")
        place.deaths = 0
        self._idle.append(place)
        if group is None:
            return []
        if isinstance(answer, str):
            return [*queue.failed(group, EngineError(answer))]
        return [Done(task.job, painted) for task, painted in zip(group, answer, strict=True)]

    def _open(self, place: _Place) -> None:
        place.actor = self._actor.remote()
        self._actors.append(place.actor)
        self._busy[place.actor.open.remote(self._opening)] = place

    def __enter__(self) -> OnRay:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the workers, and the connection if it was made here."""
        for actor in self._actors:
            with suppress(Exception):
                self._ray.kill(actor)
        if self._connected:
            self._ray.shutdown()


@dataclass(frozen=True)
class Share:
    """What the cluster is cut into."""

    workers: int
    cpus: int
    """Of each worker."""
    gpus: int
    """Of each worker: 1 or 0."""


def share_out(nodes: Sequence[Mapping[str, Any]], threads: int | None, workers: int | None) -> Share:
    """A worker per GPU, where there are any; else per `threads` CPUs, which by default are those of the smallest node.

    Args:
        nodes: as ray.nodes() lists them.
        threads: CPUs of each worker.
        workers: at most so many; without `threads` they share the CPUs.

    Raises:
        BatchError: there is no room for one.
    """
    alive = [node.get("Resources", {}) for node in nodes if node.get("Alive")]
    gpus = [int(resources.get("GPU", 0)) for resources in alive]
    cpus = [int(resources.get("CPU", 0)) for resources in alive]
    if any(gpus):
        least = min(c // g for c, g in zip(cpus, gpus, strict=True) if g)
        if least < (threads or 1):
            raise BatchError(f"a GPU's worker would have {least} CPUs, expected {threads or 1}; give fewer --threads")
        return Share(min(sum(gpus), workers or sum(gpus)), threads or least, 1)
    each = threads or _each([count for count in cpus if count], workers)
    room = sum(count // each for count in cpus) if each else 0
    if not room:
        raise BatchError(f"no node of the cluster has {each or 1} CPUs for a worker; give fewer --threads")
    return Share(min(room, workers or room), each, 0)


def _each(cpus: Sequence[int], workers: int | None) -> int:
    """CPUs of a worker, so that as many as were asked for find room, or one per node."""
    if not cpus or workers is None:
        return min(cpus, default=0)
    sizes = range(max(cpus), 0, -1)
    return next((size for size in sizes if sum(count // size for count in cpus) >= workers), 1)


def _import_ray() -> Any:
    switch_off()
    try:
        import ray
    except ImportError as error:
        raise BatchError("--ray needs the ray extra; run: pip install 'handfirst[ray]'") from error
    return ray


def _connect(ray: Any, address: str) -> None:
    try:
        host, _, port = address.rpartition("://")[2].rpartition(":")
        if host and port.isdecimal():
            socket.create_connection((host, int(port)), ANSWER_S).close()  # Ray itself would try for minutes
        ray.init(address=address, logging_level="ERROR", log_to_driver=False, include_dashboard=False)
    except (OSError, ValueError, OverflowError) as error:
        raise BatchError(
            f"no Ray cluster answers at '{address}' ({_line(error)}); start one: ray start --head"
        ) from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
