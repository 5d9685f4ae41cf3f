"""One NVIDIA GPU through cuda.core: memory, streams, events, graphs, and the step kernel.

Addresses and streams are plain integers here, so that they fit into what onnxruntime and TensorRT take. Arrays travel
through pinned memory: a copy is queued and the caller's array is free at once. Every call makes the device the calling
thread's own, as CUDA asks per thread. A driver is looked for in a process of its own first (driver.py): without one,
cuda.core fails late and may hang. Nothing here has run on a GPU.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import resources
from typing import Any

import numpy as np

from handfirst.engines.cuda.driver import nvidia_driver
from handfirst.engines.cuda.staging import Staging
from handfirst.engines.engine import Array
from handfirst.engines.errors import EngineError, one_line

BLOCK = 256
"""Threads of a block of the step kernel."""

BLOCKS = 1024
"""Most blocks per picture; more values than BLOCK x BLOCKS are strided over."""

BUILT = ((12, 0), (10, 0), (9, 0), (8, 9), (8, 6), (8, 0))
"""Compute capabilities that the step kernel is built for (scripts/cubins)."""


class CudaDevice:
    """`Cuda` over cuda.core.

    Args:
        index: which GPU, as CUDA counts them.

    Raises:
        EngineError: cuda-core is not installed, no driver answers, or it is too old for the step kernel.
    """

    def __init__(self, index: int = 0) -> None:
        if nvidia_driver(index) is None:  # asked before the library is imported
            what = "no NVIDIA driver answers here" if nvidia_driver() is None else f"there is no GPU {index} here"
            raise EngineError(f"{what}; use engine 'cpu'")
        try:
            from cuda import core
        except ImportError as error:
            raise EngineError("cuda-core is not installed; run: pip install 'handfirst[cuda]'") from error
        self._core: Any = core
        self._lock = threading.Lock()
        self._held: dict[int, Any] = {}  # blocks, streams, events and graphs by address or handle
        self._staging = Staging(core)
        with self._asking("Device"):
            self._device = core.Device(index)
            self._device.set_current()
        with self._asking("loading the step kernel"):
            self._kernel = _kernel(core, tuple(self._device.compute_capability))

    def current(self) -> None:
        """See Cuda."""
        with self._asking("set_current"):
            self._device.set_current()

    def allocate(self, size: int) -> int:
        """See Cuda."""
        with self._asking("allocate"):
            queue = self._device.default_stream
            block = self._device.allocate(max(size, 1), stream=queue)
            queue.sync()  # it is there in that stream's order, which others do not wait for
            return self._hold(block)

    def free(self, address: int) -> None:
        """See Cuda."""
        self._let_go(address)

    def stream(self) -> int:
        """See Cuda."""
        with self._asking("create_stream"):
            return self._hold(self._device.create_stream(options=self._core.StreamOptions(nonblocking=True)))

    def destroy(self, stream: int) -> None:
        """See Cuda."""
        self._let_go(stream)

    def upload(self, address: int, array: Array, stream: int) -> None:
        """See Cuda."""
        _check_contiguous(array)
        with self._asking("copy to the GPU"):
            queue = self._held[stream]
            with self._staging.block(array.nbytes, queue) as (buffer, memory):
                memory[:] = array.reshape(-1).view(np.uint8)
                self._part(address, array.nbytes).copy_from(self._first(buffer, array.nbytes), stream=queue)

    def download(self, array: Array, address: int, stream: int) -> None:
        """See Cuda."""
        _check_contiguous(array)
        with self._asking("copy from the GPU"):
            queue = self._held[stream]
            buffer, memory = self._staging.take(array.nbytes)
            self._part(address, array.nbytes).copy_to(self._first(buffer, array.nbytes), stream=queue)
            self._staging.arrives(stream, buffer, memory, array)

    def wait(self, stream: int) -> None:
        """See Cuda."""
        with self._asking("synchronize"):
            self._held[stream].sync()
            self._staging.arrived(stream)

    def memory(self) -> tuple[int, int]:
        """See Cuda."""
        from cuda.bindings import driver

        with self._asking("cuMemGetInfo"):
            status, free, total = driver.cuMemGetInfo()
            if int(status):
                raise RuntimeError(status.name)
        return int(free), int(total)

    def event(self) -> int:
        """See Cuda."""
        with self._asking("create_event"):
            options = self._core.EventOptions(timing_enabled=True, blocking_sync=True)
            return self._hold(self._device.create_event(options))

    def record(self, event: int, stream: int) -> None:
        """See Cuda."""
        with self._asking("record"):
            self._held[stream].record(self._held[event])

    def done(self, event: int) -> bool:
        """See Cuda."""
        with self._asking("ask for an event"):
            return bool(self._held[event].is_done)

    def elapsed(self, start: int, end: int) -> float:
        """See Cuda."""
        with self._asking("elapsed"):
            return float(self._held[end] - self._held[start]) / 1e3

    def forget(self, event: int) -> None:
        """See Cuda."""
        self._let_go(event)

    def step(self, loop: int, batch: int, values: int, stream: int) -> None:
        """See Cuda."""
        with self._asking("launch"):
            grid = (min(BLOCKS, -(-values // BLOCK)), batch)
            config = self._core.LaunchConfig(grid=grid, block=BLOCK)
            self._core.launch(self._held[stream], config, self._kernel, np.uint64(loop))

    def capture(self, work: Callable[[], None], stream: int) -> int:
        """See Cuda."""
        with self._asking("capture"):
            builder = self._held[stream].create_graph_builder()
            try:
                builder.begin_building("thread_local")
                work()
                return self._hold(builder.end_building().complete())
            finally:
                # A broken capture is ended by nothing else, and the stream takes no other work until it is.
                with suppress(Exception):
                    builder.close()

    def launch(self, graph: int, stream: int) -> None:
        """See Cuda."""
        with self._asking("launch a graph"):
            self._held[graph].launch(self._held[stream])

    def drop(self, graph: int) -> None:
        """See Cuda."""
        self._let_go(graph)

    def _hold(self, thing: Any) -> int:
        with self._lock:
            handle = int(thing.handle)
            self._held[handle] = thing
            return handle

    def _let_go(self, handle: int) -> None:
        with self._asking("close"):
            self._held.pop(handle).close()

    def _part(self, address: int, size: int) -> Any:
        """The first bytes of a block that is held."""
        return self._core.Buffer.from_handle(address, size, owner=self._held.get(address))

    def _first(self, buffer: Any, size: int) -> Any:
        """The first bytes of a pinned block, as the library copies between equal sizes alone."""
        return self._core.Buffer.from_handle(int(buffer.handle), size, owner=buffer)

    @contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        """The device is this thread's; whatever the library raises becomes one line with a remedy."""
        try:
            if hasattr(self, "_device"):
                self._device.set_current()
            yield
        except EngineError:
            raise
        except Exception as error:  # the library raises kinds of its own
            reason = one_line(error)[:200]
            raise EngineError(f"CUDA: {what} failed: {reason}{_remedy(reason)}") from error


def _kernel(core: Any, capability: tuple[int, ...]) -> Any:
    """The step kernel as it was built for the GPU; for one that is newer than any of them the driver compiles it."""
    if capability < (8, 0):
        raise RuntimeError(f"compute capability {capability[0]}.{capability[1]} is older than 8.0; use engine 'cpu'")
    name = cubin_of((capability[0], capability[1]))
    code = (resources.files("handfirst.engines.cuda") / "built" / name).read_bytes()
    load = core.ObjectCode.from_ptx if name.endswith(".ptx") else core.ObjectCode.from_cubin
    return load(code, name="step").get_kernel("step")


def cubin_of(capability: tuple[int, int]) -> str:
    """The file of built/ for a GPU: a cubin runs on later minor versions of its major one, PTX on all later ones."""
    fits = [c for c in BUILT if c[0] == capability[0] and c[1] <= capability[1]]
    return f"step_{fits[0][0]}{fits[0][1]}.cubin" if fits else "step.ptx"


def _check_contiguous(array: Array) -> None:
    if not array.flags.c_contiguous:
        raise ValueError("expected a contiguous array")


def _remedy(reason: str) -> str:
    """What to do about the failures that a user can mend."""
    if "OUT_OF_MEMORY" in reason or "MemoryAllocation" in reason:
        return "; the GPU's memory is full: close what else runs on it, or ask for smaller pictures or batches"
    if "INSUFFICIENT_DRIVER" in reason or "NO_DEVICE" in reason or "NOT_FOUND" in reason:
        return "; no NVIDIA driver, or one that is too old, for the installed cuda-bindings: update the driver"
    return ""
