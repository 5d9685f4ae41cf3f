"""Where the scripts about embedding and serving write: sections of a file in results, each with the machine's stamp."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any

from handfirst.engines.files import atomic_write_bytes

RESULTS = Path(__file__).parent / "results"


def add(section: str, report: dict[str, Any], name: str = "embedding.json") -> None:
    """Prints a section, and puts it in the place of what an earlier run wrote there."""
    print(json.dumps({section: report}, indent=1))
    file = RESULTS / name
    sections = json.loads(file.read_text()) if file.exists() else {}
    sections[section] = {**report, "machine": _machine()}
    atomic_write_bytes(file, (json.dumps(sections, indent=1) + "\n").encode())


def _machine() -> dict[str, Any]:
    cpu = platform.processor()
    if (info := Path("/proc/cpuinfo")).exists():
        lines = info.read_text().splitlines()
        cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), cpu)
    load = round(os.getloadavg()[0], 1)
    return {"cpu": cpu, "cores": os.cpu_count(), "python": platform.python_version(), "load": load}
