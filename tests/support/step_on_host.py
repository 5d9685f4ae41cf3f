"""The step kernel's source compiled for the processor, in memory that NumPy owns: its loop, and its launch on a GPU.

The launch is what nvcc sees, over a grid whose threads run one after the other, each block's first one last: an order
that a GPU may choose, too, as a block's threads meet before its first one counts the block.
"""

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


GRID = """
struct Three { unsigned x, y; };
static Three gridDim, blockDim, blockIdx, threadIdx;
static void __syncthreads() {}
static unsigned atomicInc(unsigned* at, unsigned most) {
  unsigned old = *at;
  *at = old >= most ? 0 : old + 1;
  return old;
}
#define __CUDACC__
#define __host__
#define __device__
#define __forceinline__ inline
#define __global__
#define __launch_bounds__(threads)
#define step step_of_the_gpu
"""
"""What step.cu has from nvcc, before it; and another name, as C's library has a `step`, too."""

LAUNCH = """
extern "C" void launch(const Loop* loop, unsigned blocks, unsigned batch, unsigned threads) {
  gridDim = {blocks, batch};
  blockDim = {threads, 1};
  for (unsigned block = 0; block < blocks * batch; ++block)
    for (unsigned thread = threads; thread-- > 0;) {
      blockIdx = {block % blocks, block / blocks};
      threadIdx = {thread, 0};
      step(loop);
    }
}
"""
"""Behind it."""


@functools.cache
def compiled_step() -> Callable[[np.ndarray[Any, Any]], None]:
    """Runs one step of a LOOP; the test is skipped where there is no C++ compiler."""
    function = _compiled("", "").step
    function.argtypes, function.restype = [ctypes.c_void_p], None

    def run(loop: np.ndarray[Any, Any]) -> None:
        assert loop.dtype == LOOP
        function(loop.ctypes.data)

    return run


@functools.cache
def compiled_launch() -> Callable[[np.ndarray[Any, Any], int, int, int], None]:
    """Runs one step of a LOOP as a GPU would, over a grid of blocks x batch with so many threads each."""
    function = _compiled(GRID, LAUNCH).launch
    function.argtypes, function.restype = [ctypes.c_void_p, *[ctypes.c_uint] * 3], None

    def run(loop: np.ndarray[Any, Any], blocks: int, batch: int, threads: int) -> None:
        assert loop.dtype == LOOP
        function(loop.ctypes.data, blocks, batch, threads)

    return run


def _compiled(before: str, behind: str) -> ctypes.CDLL:
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    folder = Path(tempfile.mkdtemp(prefix="handfirst-step-"))
    source = folder / "step.cpp"
    source.write_text(before + (resources.files("handfirst.engines.cuda") / SOURCE).read_text() + behind)
    flags = ["-std=c++17", "-O2", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas"]
    subprocess.run([compiler, *flags, "-shared", "-fPIC", str(source), "-o", str(folder / "step.so")], check=True)
    return ctypes.CDLL(str(folder / "step.so"))


def loop_of(arrays: Mapping[str, np.ndarray[Any, Any]], **sizes: int) -> np.ndarray[Any, Any]:
    """A LOOP over arrays, which must outlive it; what is not named is not there."""
    loop = np.zeros(1, LOOP)
    for name, array in arrays.items():
        assert array.flags.c_contiguous
        loop[name] = array.ctypes.data
    for name, size in sizes.items():
        loop[name] = size
    return loop
