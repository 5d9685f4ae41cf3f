"""What engines and loops ask of a GPU, and the stream that they share.

Addresses, streams, events and graphs are plain integers here, so that they fit into what onnxruntime and TensorRT take.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from handfirst.engines.engine import Array, Placed


class Cuda(Protocol):
    """What engines and loops ask of a GPU. Every method raises EngineError, naming the call that failed."""

    def current(self) -> None:
        """Makes the GPU the calling thread's own, for libraries that look there."""
        ...

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
        """Queues a copy of a contiguous array to the GPU; the array may change as soon as this returns."""
        ...

    def download(self, array: Array, address: int, stream: int) -> None:
        """Queues a copy from the GPU into a contiguous array, which is complete once the stream has been waited for."""
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

    def done(self, event: int) -> bool:
        """Whether the event has happened; waits for nothing."""
        ...

    def elapsed(self, start: int, end: int) -> float:
        """Seconds of the GPU between two events that have happened; resolution half a microsecond."""
        ...

    def forget(self, event: int) -> None:
        """Gives an event back."""
        ...

    def step(self, loop: int, batch: int, values: int, stream: int) -> None:
        """Queues the step kernel (step.cu).

        Args:
            loop: address of a LOOP (layout.py) on the GPU.
            batch, values: its own sizes; they choose the grid.
        """
        ...

    def capture(self, work: Callable[[], None], stream: int) -> int:
        """A graph of what `work` queues on the stream, none of which runs now."""
        ...

    def launch(self, graph: int, stream: int) -> None:
        """Queues all of a graph at once."""
        ...

    def drop(self, graph: int) -> None:
        """Gives a graph back."""
        ...


TURNS = threading.RLock()
"""Of this process's threads at its GPUs: while one captures a graph, CUDA forbids most calls of all others."""


@dataclass(frozen=True, eq=False)
class Lane:
    """A GPU, and the stream on it that engines and loops share: what is queued later runs later.

    Attributes:
        lock: held by whoever gives work to the stream, or waits for it: another thread may be capturing.
    """

    cuda: Cuda
    stream: int
    lock: AbstractContextManager[Any] = field(default_factory=threading.RLock)

    def bring(self, *tensors: Placed) -> list[Array]:
        """Arrays of their values once all that was queued is done."""
        arrays = [np.empty(placed.shape, placed.dtype) for placed in tensors]
        with self.lock:
            for array, placed in zip(arrays, tensors, strict=True):
                self.cuda.download(array, placed.address, self.stream)
            self.cuda.wait(self.stream)
        return arrays


@functools.cache
def process_lane(index: int = 0) -> Lane:
    """The one that all onnxruntime sessions of this process compute on.

    Args:
        index: which GPU, as CUDA counts them.

    Raises:
        EngineError: as CudaDevice.
    """
    from handfirst.engines.cuda.device import CudaDevice

    cuda = CudaDevice(index)
    return Lane(cuda, cuda.stream(), TURNS)
