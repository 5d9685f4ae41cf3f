"""The most memory that was held: of this process, and of the GPU.

The GPU's figure is what all processes hold together when it is asked; inference libraries keep what they once took, so
asked after a job it is the high-water mark of a GPU that nobody else uses. That part has not run on a GPU.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from handfirst.engines.choice import ON_GPU, parse_engine
from handfirst.engines.cuda.lane import process_lane
from handfirst.engines.errors import EngineError

_PROCESS = Path("/proc/self")


def peak_bytes(process: Path = _PROCESS) -> int | None:
    """The most that this process has held since the start or the last `forget_peak`; None where nobody counts."""
    try:
        found = re.search(r"^VmHWM:\s*(\d+) kB", (process / "status").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        found = None
    if found:
        return int(found[1]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def forget_peak(process: Path = _PROCESS) -> bool:
    """Starts the high-water mark anew from what is held now; False where the system cannot."""
    try:
        (process / "clear_refs").write_text("5")
    except OSError:
        return False
    return True


def gpu_bytes(engine: str) -> int | None:
    """What the engine's GPU's memory holds now; None for engines that use none, or where CUDA does not say."""
    name = parse_engine(engine)
    if name.library not in ON_GPU:
        return None
    try:
        free, total = process_lane(name.gpu).cuda.memory()
    except EngineError:
        return None
    return total - free
