"""Which NVIDIA GPU is here, asked of the driver itself (libcuda): nothing to install.

The question is put in a process of its own: a broken driver then crashes or hangs that process and not this one. GPUs
are counted as CUDA counts them (CUDA_VISIBLE_DEVICES decides). A program that was frozen
into one executable has no Python to ask with, and is told that there is no GPU. Has not run on a machine with a GPU.
"""

from __future__ import annotations

import ctypes
import functools
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

TIMEOUT = 60.0
"""Seconds; a cold machine with many GPUs needs several for the first question."""

_LIBRARIES = ("nvcuda.dll",) if sys.platform == "win32" else ("libcuda.so.1", "libcuda.so")
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR


@dataclass(frozen=True)
class Driver:
    """A GPU and its driver.

    Attributes:
        gpu: its name: "NVIDIA H200".
        driver: the newest CUDA that the driver can serve: "13.0".
        capability: compute capability: (9, 0).
    """

    gpu: str
    driver: str
    capability: tuple[int, int]

    def __str__(self) -> str:
        return f"{self.gpu}, compute capability {self.capability[0]}.{self.capability[1]}, CUDA {self.driver}"


@functools.cache
def nvidia_driver(index: int = 0) -> Driver | None:
    """A GPU as CUDA counts them; None where there is none, or no driver that answers. Asked once per process."""
    if getattr(sys, "frozen", False):  # sys.executable is then the program itself and would be started again
        return None
    # By path: the package need not be importable there. -P: the files beside this one are no library modules.
    return ask([sys.executable, "-P", __file__, str(index)])


def ask(command: Sequence[str], timeout: float | None = None) -> Driver | None:
    """Runs a command that prints a driver's JSON; None if it fails, crashes, says something else or takes too long."""
    try:
        answer = subprocess.run(
            command, capture_output=True, stdin=subprocess.DEVNULL, timeout=TIMEOUT if timeout is None else timeout
        )
        fields = json.loads(answer.stdout) if answer.returncode == 0 else None
        if not fields:
            return None
        major, minor = fields["capability"]
        return Driver(str(fields["gpu"]), str(fields["driver"]), (int(major), int(minor)))
    except (OSError, ValueError, KeyError, TypeError, subprocess.TimeoutExpired):
        return None


def query(index: int = 0) -> dict[str, Any] | None:
    """The fields of Driver, asked of libcuda in this very process; None if any question fails."""
    cuda = _libcuda()
    if cuda is None or cuda.cuInit(0):
        return None
    count, device, version = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    major, minor = ctypes.c_int(), ctypes.c_int()
    name = ctypes.create_string_buffer(256)
    if cuda.cuDeviceGetCount(ctypes.byref(count)) or count.value <= index:
        return None
    failed = (
        cuda.cuDeviceGet(ctypes.byref(device), index)
        or cuda.cuDeviceGetName(name, len(name), device)
        or cuda.cuDriverGetVersion(ctypes.byref(version))
        or cuda.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, device)
        or cuda.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, device)
    )
    if failed:
        return None
    return {
        "gpu": name.value.decode("utf-8", "replace"),
        "driver": f"{version.value // 1000}.{version.value % 1000 // 10}",
        "capability": [major.value, minor.value],
    }


def _libcuda() -> Any:
    loader = getattr(ctypes, "WinDLL", ctypes.CDLL)  # the calling convention of Windows' system libraries
    for library in _LIBRARIES:
        try:
            return loader(library)
        except OSError:
            continue
    return None


if __name__ == "__main__":
    found = json.dumps(query(*map(int, sys.argv[1:])))
    sys.stdout.write(found)
    sys.stdout.flush()
    os._exit(0)  # the driver's own clean-up at exit is none of the question
