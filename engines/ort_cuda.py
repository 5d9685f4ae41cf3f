"""onnxruntime on a GPU: what is asked of its CUDA provider, and CUDA graphs over a session.

A CUDA graph makes of a run of one set of shapes one launch that reads and writes fixed buffers. A set of shapes runs
twice as it is, which shows the sizes of its outputs and spares the capture to what runs once; the third run captures,
all later ones replay. Outputs are copied out of the fixed buffers before anyone gets them. Where the library refuses,
everything runs without, with one warning.

The options are onnxruntime's documented ones, each with the reason why it is not left at its default. Tried with a
stand-in for the library; nothing here has run on a GPU.
"""

from __future__ import annotations

import itertools
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from handfirst.engines.engine import Array
from handfirst.engines.errors import lacks_memory
from handfirst.engines.graph import Precision
from handfirst.engines.ort_binding import OrtArray, Place, run_binding, run_bound
from handfirst.engines.ort_failures import reason


@dataclass(frozen=True)
class CudaOptions:
    """What may be chosen about the CUDA provider.

    Attributes:
        device: which GPU, as CUDA counts them.
        conv_search: how cuDNN's algorithm is found for a convolution: "EXHAUSTIVE" tries all on the first run with new
            shapes, which pays where a network runs many times; "HEURISTIC" starts at once.
        prefer_nhwc: convolutions with channels last, as tensor cores want them, at the price of transposes.
        graphs: capture runs of one set of shapes as a CUDA graph, where the library can.
        stream: a CUDA stream to compute on, which lives as long as the engine; 0: one of the library's own.
    """

    device: int = 0
    conv_search: Literal["EXHAUSTIVE", "HEURISTIC", "DEFAULT"] = "EXHAUSTIVE"
    prefer_nhwc: bool = False
    graphs: bool = True
    stream: int = 0


def cuda_settings(options: CudaOptions, precision: Precision, graphs: bool) -> dict[str, str]:
    """The provider's own names and values."""
    stream = {"user_compute_stream": str(options.stream)} if options.stream else {}
    return stream | {
        "device_id": str(options.device),
        "arena_extend_strategy": "kSameAsRequested",  # the default doubles: gigabytes of a GPU that others share
        "cudnn_conv_algo_search": options.conv_search,
        "use_tf32": "0" if precision == "float32" else "1",  # 10 bits of mantissa would not be float32
        "prefer_nhwc": str(int(options.prefer_nhwc)),
        "enable_cuda_graph": str(int(graphs)),
    }


RUNS_BEFORE = 2
"""Runs of a set of shapes before it is captured."""

MOST_GRAPHS = 4
"""Sets of shapes that are captured; each holds buffers, and the library frees no graph before its session."""

MOST_LOOPS = 16
"""Graphs of sampling loops per session, one for each loop and thread: what comes later runs without, as the library
keeps a graph until its session, or the thread that captured it, ends."""

NO_GRAPH = -1
"""The library's id for a run that is neither captured nor replayed."""

_Shapes = tuple[tuple[str, tuple[int, ...]], ...]


class CudaGraphs:
    """Runs one session that was opened with `enable_cuda_graph`.

    Args:
        ort: the library.
        session: its session.
        place: its GPU.
        outputs: all of its outputs. A graph writes each of them; those that are not wanted are not copied out of it.
        name: for the warning.
    """

    def __init__(self, ort: Any, session: Any, place: Place, outputs: Sequence[str], name: str) -> None:
        self._ort = ort
        self._session = session
        self._place = place
        self._outputs = outputs
        self._name = name
        self._runs: Counter[_Shapes] = Counter()
        self._sizes: dict[_Shapes, dict[str, tuple[tuple[int, ...], str]]] = {}
        self._captured: dict[_Shapes, _Captured] = {}
        self._refused = False
        self._loops: set[tuple[int, int]] = set()

    def loop(self) -> Callable[[], Any]:
        """RunOptions for a loop over memory of its own, to be asked for before each run: they name a graph of the loop,
        which the library captures once for every thread, or none where MOST_LOOPS are there already."""
        graph = next(_loops)
        captured, plain = loop_options(self._ort, graph), loop_options(self._ort, NO_GRAPH)

        def options() -> Any:
            mine = graph, threading.get_ident()
            if self._refused or (mine not in self._loops and len(self._loops) >= MOST_LOOPS):
                return plain
            self._loops.add(mine)
            return captured

        return options

    def run(
        self, inputs: Mapping[str, Array | OrtArray], wanted: Sequence[str], keep: Collection[str]
    ) -> dict[str, Array | OrtArray]:
        """As `run_bound`."""
        shapes = tuple(sorted((name, tuple(value.shape)) for name, value in inputs.items()))
        with self._place.turn():
            if self._wants_graph(shapes):
                try:
                    return self._replay(shapes, inputs, wanted, keep)
                except Exception as error:  # the library raises many kinds
                    if not self.give_up(error):
                        raise
            return self._plain(shapes, inputs, wanted, keep)

    def give_up(self, error: Exception) -> bool:
        """Runs go on without graphs, after one warning; False where that would not help: they do already, or memory
        ran out."""
        if self._refused or lacks_memory(error):
            return False
        self._refused = True
        self._captured.clear()
        warn(self._name, error)
        return True

    def _wants_graph(self, shapes: _Shapes) -> bool:
        if self._refused or self._runs[shapes] < RUNS_BEFORE:
            return False
        return shapes in self._captured or len(self._captured) < MOST_GRAPHS

    def _plain(
        self, shapes: _Shapes, inputs: Mapping[str, Array | OrtArray], wanted: Sequence[str], keep: Collection[str]
    ) -> dict[str, Array | OrtArray]:
        """A run without a graph. What is kept lies in the session's own memory, where every replay writes what its
        capture had there for a while: it moves out as soon as anything has been captured, and stays while nothing has,
        as memory that somebody holds is not given to a later capture."""
        stay = {*self._outputs} - ({*wanted} - {*keep})
        found = run_bound(self._session, self._place, inputs, self._outputs, stay, run_options(self._ort, NO_GRAPH))
        self._sizes[shapes] = {name: (tuple(value.shape), str(value.dtype)) for name, value in found.items()}
        self._runs[shapes] += 1
        outputs = {name: found[name] for name in wanted}
        if not (self._captured or self._loops):
            return outputs
        return {name: copied(self._place, v.value) if isinstance(v, OrtArray) else v for name, v in outputs.items()}

    def _replay(
        self, shapes: _Shapes, inputs: Mapping[str, Array | OrtArray], wanted: Sequence[str], keep: Collection[str]
    ) -> dict[str, Array | OrtArray]:
        if shapes not in self._captured:
            options = run_options(self._ort, len(self._captured) + 1)
            self._captured[shapes] = _Captured(self._session, self._place, inputs, self._sizes[shapes], options)
        buffers = self._captured[shapes].run(inputs)
        return {
            name: copied(self._place, buffers[name]) if name in keep else np.array(buffers[name].numpy())
            for name in wanted
        }


class _Captured:
    """Fixed buffers for one set of shapes, bound once; the id in `options` names the graph over them."""

    def __init__(
        self,
        session: Any,
        place: Place,
        inputs: Mapping[str, Array | OrtArray],
        outputs: Mapping[str, tuple[tuple[int, ...], str]],
        options: Any,
    ) -> None:
        self._session = session
        self._options = options
        self._binding = session.io_binding()
        self._inputs = {name: place.empty(tuple(value.shape), str(value.dtype)) for name, value in inputs.items()}
        self._outputs = {name: place.empty(*size) for name, size in outputs.items()}
        for name, value in self._inputs.items():
            self._binding.bind_ortvalue_input(name, value)
        for name, value in self._outputs.items():
            self._binding.bind_ortvalue_output(name, value)

    def run(self, inputs: Mapping[str, Array | OrtArray]) -> dict[str, Any]:
        """The output buffers; the next run overwrites them."""
        for name, value in inputs.items():
            self._inputs[name].update_inplace(value.value if isinstance(value, OrtArray) else value)
        run_binding(self._session, self._binding, self._options)
        return self._outputs


def run_options(ort: Any, graph: int) -> Any:
    """RunOptions that name the graph to capture or to replay."""
    options = ort.RunOptions()
    options.add_run_config_entry("gpu_graph_id", str(graph))
    return options


_loops = itertools.count(MOST_GRAPHS + 1)


def loop_options(ort: Any, graph: int) -> Any:
    """RunOptions of a run that nobody waits for."""
    options = run_options(ort, graph)
    options.add_run_config_entry("disable_synchronize_execution_providers", "1")
    return options


def copied(place: Place, value: Any) -> OrtArray:
    """A copy of an OrtValue on the device."""
    old = OrtArray(value, place)
    new = place.empty(old.shape, old.dtype)
    new.update_inplace(value)
    return OrtArray(new, place)


def warn(name: str, error: Exception) -> None:
    """One line: it goes on, a little slower."""
    warnings.warn(
        f"{name}: runs without a CUDA graph, as onnxruntime refused ({reason(error)})", RuntimeWarning, stacklevel=2
    )
