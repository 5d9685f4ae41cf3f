"""A server in a process of its own, for the scripts that measure it: `handfirst serve` with the embedded model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from handfirst.runtime.pose.write import encode_pose
from handfirst.runtime.systems.two_stage.job import demo_pose

FILE = "serve.json"
"""Of all that is measured."""
POSE = json.loads(encode_pose(demo_pose(), "coco"))
"""The example's, as a client sends it."""


class Server:
    """`handfirst serve` with the embedded model, and the memory of its processes."""

    def __init__(self, url: str, process: subprocess.Popen[str]) -> None:
        self.url, self.pid = url, process.pid

    def cpu(self) -> float:
        """Seconds of the processors that all of its processes have taken."""
        fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in self.pids()]
        return sum(int(each[11]) + int(each[12]) for each in fields) / os.sysconf("SC_CLK_TCK")

    def pids(self) -> list[int]:
        """Of the process that answers, and of those that paint."""
        return [self.pid, *_children(self.pid)]

    def memory(self) -> dict[str, float]:
        """MB: of the process that answers, and of those that paint together."""
        paint = sum(_rss(pid) for pid in self.pids()[1:])
        return {"answers": _rss(self.pid), "paint": paint}


@contextmanager
def served(*arguments: str, limits: dict[str, int] | None = None) -> Iterator[Server]:
    """A server that can paint."""
    more = [word for name, value in (limits or {}).items() for word in ("--limit", f"{name}={value}")]
    command = [sys.executable, "-m", "handfirst.runtime.cli.main", "serve", "--port", "0", *arguments, *more]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        if " on http" not in line:
            raise SystemExit(line)
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield Server(line.rpartition(" on ")[2].strip(), process)
        process.terminate()
        if (code := process.wait(60)) != 0:
            raise SystemExit(f"the server ended with {code}")


def _rss(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1000
    return 0.0


def _children(parent: int) -> list[int]:
    tasks = Path(f"/proc/{parent}/task").glob("*/children")
    found = [int(pid) for task in tasks for pid in task.read_text().split()]
    return [pid for pid in found if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()]
