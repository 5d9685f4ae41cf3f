"""What this machine computes at best through an engine: a chain of large matrix products, timed.

The engine, its arithmetic and its threads are those of the model, so that a part's achieved FLOP/s has a yardstick of
its own kind. On a GPU the matrices lie in its memory, and its own events tell how long it computed. Convolutions may
come out above it where an engine computes them with fewer operations than they are counted with (Winograd). Knows
nothing about models. Nothing here has run on a GPU.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from handfirst.engines.choice import ON_CPU, arithmetic
from handfirst.engines.cuda.lane import Lane
from handfirst.engines.cuda.timing import StreamTimer
from handfirst.engines.engine import DeviceEngine, Engine, Placed, StreamEngine, nbytes
from handfirst.engines.errors import EngineError
from handfirst.engines.files import sha256
from handfirst.engines.graph import Graph, Precision
from handfirst.engines.opening import open_engine
from handfirst.engines.spec import EngineSpec, TensorSpec

ON_A_CPU, ON_A_GPU = (1024, 4), (8192, 32)
"""Side of the matrices, and how many products follow on each other: so many that copies do not count."""

ATTEMPTS = 12
_DTYPES: dict[Precision, int] = {"float32": 1, "float16": 10, "bfloat16": 16}  # TensorProto.DataType
_OPSET, _IR = 21, 10


@dataclass(frozen=True)
class Peak:
    """The best of some runs.

    Attributes:
        flops_per_second: two operations for every multiply-add.
        how: what was run.
    """

    flops_per_second: float
    how: str


def measure_peak(engine: str, precision: Precision, threads: int | None = None, side: int | None = None) -> Peak:
    """Opens an engine, runs it and closes it: about a second on a CPU, seconds on a GPU in float32.

    Args:
        engine: one of choice.ENGINES.
        precision: of the graphs that the peak is for.
        threads: as for the model's engines.
        side: of the matrices; None: as large as is usual for such an engine.

    Raises:
        EngineError: the engine cannot be opened.
    """
    size, times = ON_A_CPU if engine in ON_CPU else ON_A_GPU
    size = size if side is None else side
    opened = open_engine(product_graph(size, times, precision), engine, threads)
    random = np.random.default_rng(0)
    x, w = (random.standard_normal((size, size), np.float32) / np.float32(size**0.5) for _ in range(2))
    try:
        best = min(_run(opened, {"x": x, "w": w}))
    finally:
        opened.close()
    computed = arithmetic(engine, precision)
    how = f"{times} products of {size} x {size} in {computed} on engine {engine}, best of {ATTEMPTS}"
    return Peak(2 * size**3 * times / best, how)


def _run(engine: Engine, inputs: dict[str, Any]) -> list[float]:
    """Seconds of every run but the first; where tensors can stay on the device, they do."""
    if isinstance(engine, StreamEngine) and engine.lane is not None:
        return _run_on(engine.lane, engine, inputs)
    seconds = []
    resident = {k: engine.upload(v) for k, v in inputs.items()} if isinstance(engine, DeviceEngine) else inputs
    for _ in range(ATTEMPTS + 1):
        start = time.perf_counter()
        if isinstance(engine, DeviceEngine):
            engine.run_resident(resident, ("y",))
        else:
            engine.run(inputs)
        seconds.append(time.perf_counter() - start)
    return seconds[1:]


def _run_on(lane: Lane, engine: StreamEngine, inputs: dict[str, Any]) -> list[float]:
    """As `_run`, by events before and behind each launch; nothing is copied between them."""
    cuda, stream = lane.cuda, lane.stream
    seconds: list[float] = []
    tensors: dict[str, Placed] = {}
    timer = StreamTimer(cuda, stream)
    try:
        with lane.lock:
            for tensor in (*engine.spec.inputs, *engine.spec.outputs):
                shape = tuple(map(int, tensor.shape))
                tensors[tensor.name] = Placed(cuda.allocate(nbytes(shape, tensor.dtype)), shape, tensor.dtype)
            for name, array in inputs.items():
                cuda.upload(tensors[name].address, array, stream)
        launch = engine.bind(tensors)  # may compile, which others need not wait for
        with lane.lock:
            for _ in range(ATTEMPTS + 1):
                with timer.work():
                    launch()
                cuda.wait(stream)
                seconds.append(timer.seconds())
    finally:
        timer.close()
        with lane.lock, suppress(EngineError):  # a lost GPU has nothing left to give back
            cuda.wait(stream)
            for placed in tensors.values():
                cuda.free(placed.address)
    return seconds[1:]


def product_graph(size: int, times: int, precision: Precision) -> Graph:
    """y = x w w ... w with `times` products; all of them [size, size], float32 outside and `precision` inside."""
    kind = _DTYPES[precision]
    nodes = [_node("Cast", ["x"], "x0", kind), _node("Cast", ["w"], "w0", kind)]
    nodes += [_node("MatMul", [f"x{i}", "w0"], f"x{i + 1}") for i in range(times)]
    nodes.append(_node("Cast", [f"x{times}"], "y", 1))
    graph = b"".join(_field(1, node) for node in nodes) + _field(2, "product")
    graph += _field(11, _value("x", size)) + _field(11, _value("w", size)) + _field(12, _value("y", size))
    model = _field(1, _IR) + _field(7, graph) + _field(8, _field(2, _OPSET))
    x, w, y = (TensorSpec(name=name, dtype="float32", shape=(size, size)) for name in "xwy")
    spec = EngineSpec(inputs=(x, w), outputs=(y,))
    return Graph("peak", spec, model, precision=precision, digest=sha256(model))


# Numbers of fields in onnx.proto; seven kinds of message are no reason to need the onnx library.


def _node(kind: str, inputs: list[str], output: str, to: int | None = None) -> bytes:
    attribute = b"" if to is None else _field(5, _field(1, "to") + _field(3, to) + _field(20, 2))
    return b"".join(_field(1, name) for name in inputs) + _field(2, output) + _field(4, kind) + attribute


def _value(name: str, size: int) -> bytes:
    shape = _field(1, _field(1, size)) * 2
    return _field(1, name) + _field(2, _field(1, _field(1, 1) + _field(2, shape)))


def _field(number: int, value: int | str | bytes) -> bytes:
    """One field of a protobuf message: a number, or something with a length."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(number: int) -> bytes:
    """Seven bits to a byte, the lowest first."""
    low, rest = number & 127, number >> 7
    return bytes([low | 128]) + _varint(rest) if rest else bytes([low])
