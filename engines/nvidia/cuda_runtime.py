"""The few calls of the CUDA runtime that an engine needs, through `cuda-bindings`; every status is checked.

Addresses and streams are plain integers here. Always the first GPU, the one that driver.py tells about. Host
memory is ordinary (pageable), so a copy costs one more pass over the bytes than from pinned memory; nothing here has
run on a GPU.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from handfirst.engines.engine import Array
from handfirst.engines.errors import EngineError


class Cuda(Protocol):
    """What the TensorRT engine asks of CUDA. Every method raises EngineError, naming the call that failed."""

    def allocate(self, size: int) -> int:
        """The address of `size` bytes on the GPU, aligned to 256."""
        ...

    def free(self, address: int) -> None:
        """Gives them back."""
        ...

    def stream(self) -> int:
        """A new stream that does not wait for the default one."""
        ...

    def destroy(self, stream: int) -> None:
        """Gives a stream back."""
        ...

    def upload(self, address: int, array: Array, stream: int) -> None:
        """Copies a contiguous array to the GPU; it must live until the stream has been waited for."""
        ...

    def download(self, array: Array, address: int, stream: int) -> None:
        """Copies from the GPU into a contiguous array, which is complete once the stream has been waited for."""
        ...

    def wait(self, stream: int) -> None:
        """Until all that the stream was given is done."""
        ...

    def memory(self) -> tuple[int, int]:
        """Bytes of the GPU that are free, and all of them."""
        ...

    def event(self) -> int:
        """A new event that can be timed."""
        ...

    def record(self, event: int, stream: int) -> None:
        """The event happens when all that the stream was given so far is done."""
        ...

    def elapsed(self, start: int, end: int) -> float:
        """Seconds of the GPU between two events that have happened; resolution half a microsecond."""
        ...

    def forget(self, event: int) -> None:
        """Gives an event back."""
        ...


class CudaRuntime:
    """`Cuda` over `cuda.bindings.runtime`.

    Raises:
        EngineError: cuda-bindings is not installed.
    """

    def __init__(self) -> None:
        try:
            from cuda.bindings import runtime
        except ImportError as error:
            raise EngineError("cuda-bindings is not installed; run: pip install 'handfirst[tensorrt]'") from error
        self._cuda: Any = runtime

    def allocate(self, size: int) -> int:
        """See Cuda."""
        return int(self._call("cudaMalloc", max(size, 1)))

    def free(self, address: int) -> None:
        """See Cuda."""
        self._call("cudaFree", address)

    def stream(self) -> int:
        """See Cuda."""
        return int(self._call("cudaStreamCreateWithFlags", self._cuda.cudaStreamNonBlocking))

    def destroy(self, stream: int) -> None:
        """See Cuda."""
        self._call("cudaStreamDestroy", stream)

    def upload(self, address: int, array: Array, stream: int) -> None:
        """See Cuda."""
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call("cudaMemcpyAsync", address, _address(array), array.nbytes, kind, stream)

    def download(self, array: Array, address: int, stream: int) -> None:
        """See Cuda."""
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call("cudaMemcpyAsync", _address(array), address, array.nbytes, kind, stream)

    def wait(self, stream: int) -> None:
        """See Cuda."""
        self._call("cudaStreamSynchronize", stream)

    def memory(self) -> tuple[int, int]:
        """See Cuda."""
        free, total = self._call("cudaMemGetInfo")
        return int(free), int(total)

    def event(self) -> int:
        """See Cuda."""
        return int(self._call("cudaEventCreate"))

    def record(self, event: int, stream: int) -> None:
        """See Cuda."""
        self._call("cudaEventRecord", event, stream)

    def elapsed(self, start: int, end: int) -> float:
        """See Cuda."""
        return float(self._call("cudaEventElapsedTime", start, end)) / 1e3

    def forget(self, event: int) -> None:
        """See Cuda."""
        self._call("cudaEventDestroy", event)

    def _call(self, name: str, *arguments: Any) -> Any:
        """The call's result, if it has one; several as a tuple."""
        status, *results = getattr(self._cuda, name)(*arguments)
        if int(status):
            raise EngineError(f"CUDA: {name} failed: {getattr(status, 'name', status)}{_remedy(int(status))}")
        return results[0] if len(results) == 1 else tuple(results) or None


def _address(array: Array) -> int:
    if not array.flags.c_contiguous:
        raise ValueError("expected a contiguous array")
    return int(np.asarray(array).ctypes.data)


def _remedy(status: int) -> str:
    """What to do about the failures that a user can mend."""
    if status == 2:  # cudaErrorMemoryAllocation
        return "; the GPU's memory is full: close what else runs on it, or ask for smaller pictures or batches"
    if status in (35, 100):  # cudaErrorInsufficientDriver, cudaErrorNoDevice
        return "; no NVIDIA driver, or one that is too old, for the installed cuda-bindings: update the driver"
    return ""
