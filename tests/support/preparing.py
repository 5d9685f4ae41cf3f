"""Runs of `prepare` on the painted data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support.painted import Painted

from handfirst.training.data.prepare.prepare import prepare
from handfirst.training.data.prepare.settings import Origin, PrepareSettings

COUNT = 60


def settings(**changes: Any) -> PrepareSettings:
    """Crops of 64 pixels, ten pictures a shard."""
    defaults = {"stage": "hand", "origins": (Origin(kind="folder", path="x"),), "size": 64, "val": 6, "shard": 10}
    return PrepareSettings(**{**defaults, **changes})


def run(out: Path, source: Painted | None = None, workers: int = 1, ray: str | None = None, **changes: Any) -> Any:
    """The report."""
    return prepare(out, settings(**changes), lambda: [source or Painted(COUNT)], workers, ray, show=False)


def contents(out: Path) -> dict[str, bytes]:
    """Every file's bytes."""
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}
