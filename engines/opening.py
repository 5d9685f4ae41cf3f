"""Opening graphs as engines: one with its library, or all of a bundle, two at a time where that is safe and quick.

Knows nothing about what the engines mean to each other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from handfirst.engines.cache import EngineCache
from handfirst.engines.choice import ON_CPU, parse_engine
from handfirst.engines.engine import Array, Engine, check_inputs
from handfirst.engines.graph import Graph
from handfirst.engines.spec import EngineSpec

if TYPE_CHECKING:
    from handfirst.engines.bundle import Bundle


HEAVY = 1 << 29
"""Bytes of a graph from which a CPU runs the rows of its batch one by one.

It computes them no faster together (four of a full-size UNet at 64 x 64 cells on two cores: 13.6 s in onnxruntime,
11.1 s row by row), and activations take their memory once. One row is also one shape, so that an engine that compiles
for shapes compiles once.
"""

TOGETHER = 1 << 29
"""Bytes of a bundle up to which onnxruntime opens two graphs at a time.

Opening the 38 MB of the embedded model so takes 0.55 of the time on two cores; more threads gain nothing. What opening
needs for a while on top is several times a graph's size: larger models are opened one by one, the largest first while
little else is loaded, which saves a third of the memory at full size.
"""


def open_engine(graph: Graph, engine: str, threads: int | None = None) -> Engine:
    """Opens a graph; on a CPU a heavy one runs the rows of its batch one by one.

    Args:
        engine: a name that `choice.parse_engine` takes; see `choose` for "auto".
        threads: CPU threads for one operator; None: one per usable core.

    Raises:
        BundleError: the engine cannot load this graph, or the graph does not match its spec.
        EngineError: the library, its extra or the hardware is missing.
    """
    opened = _open(graph, engine, threads)
    alone = graph.size > HEAVY and engine in ON_CPU and splits(graph.spec)
    return RowByRow(opened) if alone else opened


def _open(graph: Graph, engine: str, threads: int | None) -> Engine:
    name = parse_engine(engine)
    if name.library in ("cpu", "cuda"):
        from handfirst.engines.ort import OrtEngine
        from handfirst.engines.ort_cuda import CudaOptions

        return OrtEngine(graph, name.library, threads, CudaOptions(device=name.gpu, prefer_nhwc=name.nhwc))
    if name.library in ("openvino", "openvino-bf16"):
        from handfirst.engines.ov import OvEngine

        return OvEngine(graph, "bfloat16" if name.library == "openvino-bf16" else "float32", threads)
    from handfirst.engines.tensorrt.engine import TrtEngine

    return TrtEngine(graph, cache=EngineCache(), gpu=name.gpu)


def open_engines(bundle: Bundle, roles: Iterable[str], engine: str, threads: int | None) -> dict[str, Engine]:
    """An engine per role.

    Args:
        engine: one of choice.ENGINES.
        threads: for one operator; None: one per usable core.

    Raises:
        BundleError, EngineError: as `Bundle.engine`, of the largest graph that fails.
    """
    ordered = sorted(roles, key=bundle.size, reverse=True)
    small = sum(bundle.size(role) for role in ordered) <= TOGETHER
    with ThreadPoolExecutor(2 if engine == "cpu" and small else 1, "handfirst-open") as pool:
        return dict(zip(ordered, pool.map(lambda role: bundle.engine(role, engine, threads), ordered), strict=True))


class RowByRow:
    """Wraps an engine whose inputs and outputs all begin with the same free axis (see `splits`)."""

    def __init__(self, engine: Engine) -> None:
        self.name = engine.name
        self.spec = engine.spec
        self._engine = engine

    def run(self, inputs: Mapping[str, Array], wanted: Collection[str] | None = None) -> dict[str, Array]:
        """As the engine would answer for the whole batch; see the Engine protocol."""
        check_inputs(self.spec, inputs, self.name)
        count = len(next(iter(inputs.values())))
        pieces = ({name: value[i : i + 1] for name, value in inputs.items()} for i in range(count))
        rows = [self._engine.run(piece, wanted) for piece in pieces]
        return rows[0] if count == 1 else {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}

    def close(self) -> None:
        """Closes the engine."""
        self._engine.close()


def splits(spec: EngineSpec) -> bool:
    """Whether rows of a batch are independent as far as the spec can tell: one free axis comes first everywhere."""
    firsts = {tensor.shape[0] if tensor.shape else None for tensor in (*spec.inputs, *spec.outputs)}
    return len(firsts) == 1 and isinstance(next(iter(firsts)), str)
