"""What this machine has, asked without importing any of it: libraries, cores, and what the CPU computes."""

from __future__ import annotations

import os
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_BFLOAT16 = {"avx512_bf16", "amx_bf16"}


def importable(module: str) -> bool:
    """Whether there is such a top-level module."""
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # a module that was put in place by hand, or taken away (tests do both)
        return False


def distributed(distribution: str) -> bool:
    """Whether a distribution of that name is installed."""
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


def computes_bfloat16(cpuinfo: Path = _CPUINFO) -> bool:
    """Whether the CPU multiplies bfloat16 by itself; False where Linux does not say so."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return not _BFLOAT16.isdisjoint(flags.split())


def usable_cores() -> int:
    """Cores that this process may use; a container or `taskset` may leave it fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
