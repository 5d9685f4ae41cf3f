"""A verification in a process of its own, with limits of time and memory: for bundles that one did not make.

Whatever a graph or a tokenizer does to the libraries that open it, the caller gets a line. Memory is limited as POSIX
can (the address space, of which libraries reserve more than they use); elsewhere time alone is.
"""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from handfirst.engines.bundle import Bundle
from handfirst.engines.child import answer as tell
from handfirst.engines.child import ask, command
from handfirst.engines.errors import BundleError, UserError
from handfirst.engines.verify import Check, verify

SECONDS = 600.0
MEMORY = 16 << 30
"""Bytes. Graphs of full size take 10 GB while they are verified."""

_COMMAND = command("handfirst.runtime.isolated")


def verify_isolated(
    path: Path, engine: str, threads: int | None = None, seconds: float = SECONDS, memory: int = MEMORY
) -> list[Check]:
    """All checks of `verify`, which run every engine, and whether the bundle's system takes it; in a child process.

    Args:
        path: the bundle's folder.
        engine: "auto" or one of choice.ENGINES.
        threads: for one operator; None: one per usable core.
        seconds: after which the child is ended.
        memory: bytes that the child may take.

    Raises:
        BundleError: the child crashed, took too long or too much, or said why it cannot go on.
    """
    asked = {"path": str(path), "engine": engine, "threads": threads, "memory": memory}
    reply = ask(_COMMAND, asked, seconds)
    if reply is None:
        raise BundleError(
            f"{path}: took longer than {seconds:g} seconds and was ended; do not use it, or give it more with --seconds"
        )
    answer = reply.answer
    if answer is None or not answer.keys() & {"checks", "error"}:
        raise BundleError(
            f"{path}: the process that opened it {reply.ending} (it had {memory >> 20} MB of memory); "
            "do not use it, or give it more with --memory"
        )
    if "error" in answer:
        raise BundleError(str(answer["error"]))
    return [Check(**each) for each in answer["checks"]]


def child() -> None:
    """What the child does: reads what to verify from its input, writes one line of JSON to its output."""
    tell(_answer)


def _answer(asked: dict[str, Any]) -> dict[str, Any]:
    _limit(asked.pop("memory"))
    try:
        return {"checks": [asdict(check) for check in _checks(**asked)]}
    except UserError as error:
        return {"error": str(error)}
    except MemoryError:
        return {"error": f"{asked['path']}: took all the memory that it was given; give it more with --memory"}


def _limit(memory: int) -> None:
    if os.name != "posix":
        return
    import resource

    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    most = memory if hard == resource.RLIM_INFINITY else min(memory, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _checks(path: str, engine: str, threads: int | None) -> list[Check]:
    checks = list(verify(Bundle.open(path, verify=False), engine, threads))
    return [*checks, _system(path, engine, threads)] if all(check.ok for check in checks) else checks


def _system(path: str, engine: str, threads: int | None) -> Check:
    """Opening it reads the settings and all other files as well."""
    from handfirst.runtime.systems import open as open_system

    try:
        open_system(path, engine=engine, threads=threads).close()
    except UserError as error:
        return Check("system", False, str(error))
    return Check("system", True, "takes its settings, its graphs and its other files")
