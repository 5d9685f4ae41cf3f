"""What ran it: the stamp that goes with every measurement.

Asked of the operating system, the driver and the installed distributions; imports none of them.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from handfirst.engines.cuda.driver import nvidia_driver
from handfirst.engines.installed import distributed, usable_cores

LIBRARIES = ("handfirst", "numpy", "opencv-python-headless", "onnxruntime", "onnxruntime-gpu", "openvino", "tensorrt")
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")


def machine(libraries: Sequence[str] = LIBRARIES, cpuinfo: Path = Path("/proc/cpuinfo")) -> dict[str, Any]:
    """CPU, GPU and driver (None where there is none), memory, Python, and those libraries that are installed.

    "load" is how many programs wanted to run in the last minute: those that are not measured take their share.
    """
    found = _cpuinfo(cpuinfo)
    driver = nvidia_driver()
    return {
        "cpu": found.get("model name") or platform.processor() or platform.machine(),
        "cores": usable_cores(),
        "flags": [flag for flag in FLAGS if flag in found.get("flags", "").split()],
        "memory_bytes": _memory(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "gpu": None if driver is None else driver.gpu,
        "driver": None if driver is None else f"CUDA {driver.driver}",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "libraries": {name: metadata.version(name) for name in libraries if distributed(name)},
    }


def _cpuinfo(path: Path) -> dict[str, str]:
    """The last processor's lines; none where Linux is not."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines) if value}


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no such question
        return None
