"""How many workers a cluster has room for, how much of it each gets, how each opens the model. Knows nothing of Ray."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from handfirst.engines.errors import BundleError
from handfirst.runtime import systems
from handfirst.runtime.errors import BatchError
from handfirst.runtime.system import Resident, System


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
        return Share(min(sum(gpus), workers or sum(gpus)), min(threads or least, least), 1)
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
