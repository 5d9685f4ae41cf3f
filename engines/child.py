"""A question to a process of its own: JSON in, one line of JSON out, whatever libraries print or do there.

Knows nothing about what is asked.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from handfirst.engines.errors import one_line


def command(module: str) -> tuple[str, ...]:
    """What starts a process that runs the function `child` of a module."""
    return sys.executable, "-P", "-c", f"from {module} import child; child()"


@dataclass(frozen=True)
class Reply:
    """What came of the question.

    Attributes:
        answer: the last line of its output, if that was an object in JSON and the process ended well.
        ending: how it ended: "ended with code 3", "was ended by SIGSEGV".
        said: the last line of its errors, its end if that is long; "" where there is none.
    """

    answer: Mapping[str, Any] | None
    ending: str
    said: str


def ask(
    command: Sequence[str], question: Mapping[str, Any], seconds: float, env: Mapping[str, str] | None = None
) -> Reply | None:
    """Starts the command, which reads the question (`answer`); None if it took longer, and was ended.

    Args:
        env: more of the environment than this process has.
    """
    try:
        done = subprocess.run(
            command,
            input=json.dumps(question).encode(),
            capture_output=True,
            timeout=seconds,
            env={**os.environ, **(env or {})},
        )
    except subprocess.TimeoutExpired:
        return None
    said = next((line for line in reversed(done.stderr.decode(errors="replace").split("\n")) if line.strip()), "")
    return Reply(_last(done.stdout) if done.returncode == 0 else None, ending(done.returncode), one_line(said)[-300:])


def answer(work: Callable[[dict[str, Any]], Mapping[str, Any]]) -> None:
    """What the process does: reads the question, writes what `work` makes of it, and is gone."""
    print("\n" + json.dumps(work(json.loads(sys.stdin.read()))), flush=True)
    os._exit(0)  # what libraries do at exit is none of the question


def ending(code: int) -> str:
    """How a process ended, by what `subprocess` says: "ended with code 3", "was ended by SIGSEGV"."""
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


def _last(output: bytes) -> dict[str, Any] | None:
    """The last line, if it is an object; libraries may print in front of it."""
    try:
        found = json.loads(output.splitlines()[-1])
    except (ValueError, IndexError):
        return None
    return found if isinstance(found, dict) else None
