"""A long comparison as a plan of steps, each with the file that it leaves: what is left, and what can be done here.

The same line goes on wherever it was stopped. A step names the package that it needs: what this environment cannot do
is left to one that can. Knows nothing about what is compared.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from handfirst.engines.files import atomic_write_bytes


class Step(NamedTuple):
    """One step.

    Attributes:
        name: for people.
        needs: a package; where it is not installed the step is not done.
        done: what is there when it has been done, and not before.
        work: does it; goes on with what it left half done.
    """

    name: str
    needs: str
    done: Path
    work: Callable[[], object]


def left_of(steps: Iterable[Step]) -> list[Step]:
    """What has not been done yet, told line by line; the whole of a dry run."""
    left = [step for step in steps if not step.done.exists()]
    for step in left:
        print(f"left: {step.name} ({step.needs})")
    return left


def pin(work: Path, budget: Mapping[str, Any]) -> None:
    """What is in a folder was made with one budget; leaves with a line if it was begun with another."""
    file = work / "budget.json"
    if not file.exists():
        work.mkdir(parents=True, exist_ok=True)
        atomic_write_bytes(file, json.dumps(budget).encode())
    if (begun := json.loads(file.read_text())) != budget:
        sys.exit(f"{work} was begun with {begun}; give the same, or another --work")


def carry_out(steps: Iterable[Step]) -> None:
    """Does what can be done here, in order; leaves with a line if a step was stopped."""
    for step in steps:
        if find_spec(step.needs) is None:
            line = f"not here: {step.name}; it needs {step.needs}, run the same line where that is installed"
            print(line, file=sys.stderr)
            continue
        started = time.time()
        step.work()
        if not step.done.exists():
            sys.exit(f"stopped in: {step.name}; the same line goes on")
        print(f"done: {step.name} in {(time.time() - started) / 60:.1f} min", flush=True)
