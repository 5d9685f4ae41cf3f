"""The step kernel's source compiled for the processor, in memory that NumPy owns."""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handfirst.engines.cuda.layout import LOOP

SOURCE = "step.cu"


@functools.cache
def compiled_step() -> Callable[[np.ndarray[Any, Any]], None]:
    """Runs one step of a LOOP; the test is skipped where there is no C++ compiler."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    folder = Path(tempfile.mkdtemp(prefix="handfirst-step-"))
    source = folder / "step.cpp"
    source.write_text((resources.files("handfirst.engines.cuda") / SOURCE).read_text())
    flags = ["-std=c++17", "-O2", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas"]
    subprocess.run([compiler, *flags, "-shared", "-fPIC", str(source), "-o", str(folder / "step.so")], check=True)
    function = ctypes.CDLL(str(folder / "step.so")).step
    function.argtypes, function.restype = [ctypes.c_void_p], None

    def run(loop: np.ndarray[Any, Any]) -> None:
        assert loop.dtype == LOOP
        function(loop.ctypes.data)

    return run


def loop_of(arrays: Mapping[str, np.ndarray[Any, Any]], **sizes: int) -> np.ndarray[Any, Any]:
    """A LOOP over arrays, which must outlive it; what is not named is not there."""
    loop = np.zeros(1, LOOP)
    for name, array in arrays.items():
        assert array.flags.c_contiguous
        loop[name] = array.ctypes.data
    for name, size in sizes.items():
        loop[name] = size
    return loop
