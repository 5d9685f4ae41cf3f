"""How a job ended. Knows nothing about how it was rendered, or where its picture goes."""

from __future__ import annotations

from dataclasses import dataclass

from handfirst.runtime.batch.job import BadJob, Job


@dataclass(frozen=True, eq=False)
class Painted:
    """A finished picture, ready for the disk; plain enough to travel between machines."""

    data: bytes
    """The file."""
    seed: int
    seconds: dict[str, float]
    """Wall time by stage, of the batch that it was painted in."""
    batch: int
    """Pictures in that batch."""
    warnings: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Done:
    """A job with its picture."""

    job: Job
    painted: Painted


@dataclass(frozen=True, eq=False)
class Failed:
    """A job without, and why, in one line."""

    job: Job | BadJob
    reason: str


Outcome = Done | Failed
