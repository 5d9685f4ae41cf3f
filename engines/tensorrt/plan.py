"""A TensorRT engine on the GPU for one set of shapes: its context, its buffers, and one run.

Computes in the memory, on the stream and under the lock of an arena. Has not run on a GPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext, suppress
from typing import Any

import numpy as np

from handfirst.engines.cuda.timing import StreamTimer
from handfirst.engines.engine import Array
from handfirst.engines.errors import BundleError, EngineError
from handfirst.engines.graph import Graph
from handfirst.engines.spec import Port, check_ports
from handfirst.engines.tensorrt.build import Shapes, dtype_name
from handfirst.engines.tensorrt.library import logger
from handfirst.engines.tensorrt.memory import Arena


class Context:
    """A deserialised engine over tensors in fixed places: `queue` runs it once.

    Args:
        trt: the library.
        engine: its ICudaEngine, weights inside.
        graph: what it was compiled from.
        shapes: of the inputs; the engine's profile holds them.
        arena: whose lock the caller holds during every call, this one too.

    Attributes:
        outputs: shape and dtype by name.

    Raises:
        BundleError: its tensors are not those of the graph's spec.
        EngineError: TensorRT or CUDA refuse.
    """

    def __init__(self, trt: Any, engine: Any, graph: Graph, shapes: Shapes, arena: Arena) -> None:
        self._trt, self._engine, self._arena, self._name = trt, engine, arena, graph.role
        _check_engine(trt, engine, graph)
        self._needs = int(engine.device_memory_size_v2)
        self._memory: tuple[int, int] | None = None
        arena.reserve(self._needs)
        self._context: Any = engine.create_execution_context(trt.ExecutionContextAllocationStrategy.USER_MANAGED)
        if self._context is None:
            raise self._refused("create_execution_context")
        for name, shape in shapes.items():
            if not self._context.set_input_shape(name, shape):
                raise self._refused(f"set_input_shape of {name} to {list(shape)}")
        self.outputs = {t.name: (self._shape(t.name), _numpy(t.dtype, self._name)) for t in graph.spec.outputs}

    def place(self, name: str, address: int) -> None:
        """Where an input is read or an output written."""
        if not self._context.set_tensor_address(name, address):
            raise self._refused(f"set_tensor_address of {name}")

    def prepare(self) -> tuple[int, int]:
        """Sees to the memory that it computes in, and tells which that is: what was captured with another is stale."""
        self._arena.reserve(self._needs)
        memory = (self._arena.address, self._arena.size)
        if memory != self._memory:
            self._context.set_device_memory(*memory)
            self._memory = memory
        return memory

    def queue(self) -> None:
        """One run, on the arena's stream."""
        self.prepare()
        if not self._context.execute_async_v3(self._arena.stream):
            raise self._refused("execute_async_v3")

    def close(self) -> None:
        """Frees it; the arena stays."""
        self._context = self._engine = None

    def _shape(self, name: str) -> tuple[int, ...]:
        shape = tuple(self._context.get_tensor_shape(name))
        if any(size < 0 for size in shape):
            raise BundleError(f"{self._name}: output {name} has a shape that depends on values, {list(shape)}")
        return shape

    def _refused(self, call: str) -> EngineError:
        return EngineError(f"{self._name}: TensorRT: {call} failed: {logger(self._trt).reason()}")


class Plan:
    """A context with buffers of its own, fed from arrays. Arguments and errors are those of Context."""

    def __init__(self, trt: Any, engine: Any, graph: Graph, shapes: Shapes, arena: Arena) -> None:
        self._arena = arena
        self._context = Context(trt, engine, graph, shapes, arena)
        self._outputs = self._context.outputs
        self._buffers: dict[str, int] = {}
        sizes = {t.name: _size(shapes[t.name], _numpy(t.dtype, graph.role)) for t in graph.spec.inputs}
        sizes |= {name: _size(shape, dtype) for name, (shape, dtype) in self._outputs.items()}
        try:
            for name, size in sizes.items():
                self._buffers[name] = arena.cuda.allocate(size)
                self._context.place(name, self._buffers[name])
        except EngineError:
            self.close()
            raise

    def run(self, inputs: Mapping[str, Array], timer: StreamTimer | None = None) -> dict[str, Array]:
        """All outputs by name, fresh arrays.

        Args:
            inputs: already checked, of the shapes that this plan was made for.
            timer: of the arena's stream; times the computing alone, without the copies.

        Raises:
            EngineError: TensorRT or CUDA failed.
        """
        arena, stream = self._arena, self._arena.stream
        self._context.prepare()
        outputs = {name: np.empty(shape, dtype) for name, (shape, dtype) in self._outputs.items()}
        try:
            for name, array in inputs.items():
                arena.cuda.upload(self._buffers[name], np.ascontiguousarray(array), stream)
            with timer.work() if timer else nullcontext():
                self._context.queue()
            for name, array in outputs.items():
                arena.cuda.download(array, self._buffers[name], stream)
        finally:
            arena.cuda.wait(stream)  # on errors too: copies that are under way write to the arrays above
        return outputs

    def close(self) -> None:
        """Frees its buffers; the arena stays."""
        self._context.close()
        buffers, self._buffers = self._buffers, {}
        for address in buffers.values():
            with suppress(EngineError):  # a lost GPU has nothing left to give back
                self._arena.cuda.free(address)


def _check_engine(trt: Any, engine: Any, graph: Graph) -> None:
    """A plan knows its shapes from the profile; names, dtypes and ranks are left to compare."""
    names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
    inputs: dict[str, Port] = {}
    outputs: dict[str, Port] = {}
    for name in names:
        port = Port(dtype_name(engine.get_tensor_dtype(name)), (None,) * len(engine.get_tensor_shape(name)))
        (inputs if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT else outputs)[name] = port
    source = graph.source or graph.role
    check_ports(graph.spec, inputs, outputs, source)
    if host := [name for name in names if engine.get_tensor_location(name) != trt.TensorLocation.DEVICE]:
        raise BundleError(f"{source}: TensorRT reads {', '.join(host)} as a shape, which no engine here can feed")


def _numpy(dtype: str, name: str) -> np.dtype[Any]:
    if dtype == "bfloat16":
        try:
            import ml_dtypes  # noqa: F401  teaches NumPy the name
        except ImportError as error:
            raise EngineError(f"{name}: arrays of bfloat16 need ml-dtypes; run: pip install ml-dtypes") from error
    return np.dtype(dtype)


def _size(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    return int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
