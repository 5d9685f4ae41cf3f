"""An item of gpu_proof.py in a process of its own: what it tells is heard at once, and its silence ends it.

A library that hangs, crashes, or compiles for an hour then costs one row. The item tells in lines of JSON, in a file:
{"begin": heading} before each piece of work that may take long, {"row": row} for what came out, anything else as a sign
of life.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handfirst.engines.child import ending

LOOK = 0.2
"""Seconds between two looks at what an item tells."""

CUT_OFF = "cut off"
"""How the words begin with which a row says so."""

Hear = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class End:
    """How an item ended.

    Attributes:
        failed: what became of the process, in words; None: it ended by itself and well, or the command's time was up.
        begun: heading of the work that was under way then; None: of nothing.
        late: whether the command's time was up, which says nothing about the item.
    """

    failed: str | None = None
    begun: dict[str, Any] | None = None
    late: bool = False


def watched(command: Sequence[str], patience: float, until: float, hear: Hear) -> End:
    """Runs an item, which gets `--tell FILE` behind its own arguments.

    Args:
        patience: seconds without a word after which it is ended, it and all that it started.
        until: time.monotonic() at which it is ended in any case.
        hear: called with every row.
    """
    with tempfile.TemporaryDirectory(prefix="handfirst-proof-", ignore_cleanup_errors=True) as folder:
        told = Path(folder) / "told"
        told.touch()
        process = subprocess.Popen([*command, "--tell", str(told)], start_new_session=True)
        try:
            return _listen(process, told, patience, until, hear)
        finally:
            _end(process)


def _listen(process: subprocess.Popen[bytes], told: Path, patience: float, until: float, hear: Hear) -> End:
    begun: dict[str, Any] | None = None
    heard, last = 0, time.monotonic()
    while True:
        code = process.poll()  # before the file is read: what it wrote last must not be missed
        lines = told.read_bytes().split(b"\n")[:-1]
        for line in lines[heard:]:
            message = json.loads(line)
            begun = message.get("begin", begun)
            if "row" in message:
                hear(message["row"])
        last = time.monotonic() if len(lines) > heard else last
        heard = len(lines)
        now = time.monotonic()
        if code is not None:
            return End() if code == 0 else End(f"its process {ending(code)}", begun)
        if now >= until:
            return End(begun=begun, late=True)
        if now - last >= patience:
            return End(f"{CUT_OFF} after {patience:g} seconds without a word", begun)
        time.sleep(LOOK)


def _end(process: subprocess.Popen[bytes]) -> None:
    """It and the compilers that it started; one that not even the kernel can end is left behind."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        process.wait(10)


def teller(path: Path) -> Callable[[dict[str, Any]], None]:
    """What an item tells with."""

    def tell(message: dict[str, Any]) -> None:
        with path.open("a") as file:
            file.write(json.dumps(message) + "\n")

    return tell
