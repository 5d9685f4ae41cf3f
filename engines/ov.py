"""OpenVINO as an engine on the CPU, in float32 or bfloat16 arithmetic. The library is imported on opening.

It is fastest on static shapes, so a graph is compiled for the very shapes that it is run with, and again for others;
what was compiled is kept in memory and in the cache of this machine.

OpenVINO fills in external tensors by itself, from the current folder where the graph came from memory. So the checked
bytes are always laid into a private folder (private.py) and read from there, and nothing else can reach a model. They
are mapped, and read when a shape is compiled; the folder goes as soon as they are, or, where mapped files cannot be
deleted, with the engine.
"""

from __future__ import annotations

import os
import platform
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from functools import cache as once
from pathlib import Path
from typing import Any, Literal

import numpy as np

from handfirst.engines.building import compiling
from handfirst.engines.cache import EngineCache, Key
from handfirst.engines.engine import Array, check_inputs, check_outputs, wanted_outputs
from handfirst.engines.errors import BundleError, EngineError, UserError, one_line
from handfirst.engines.graph import Graph
from handfirst.engines.installed import usable_cores
from handfirst.engines.private import Folder
from handfirst.engines.spec import EngineSpec, Port, TensorSpec, check_ports
from handfirst.engines.telemetry import without_openvinos

MOST_SHAPES = 4
"""Sets of shapes whose compiled graphs stay in memory; each holds its own copy of the weights."""

MOST_KEPT = 1 << 30
"""Bytes of a graph up to which its compiled forms are cached: they hold float32 weights, a copy per set of shapes."""

DTYPES = {"f32": "float32", "f16": "float16", "i64": "int64", "i32": "int32", "u8": "uint8", "boolean": "bool"}

Arithmetic = Literal["float32", "bfloat16"]
HINTS = {"float32": "f32", "bfloat16": "bf16"}

_Shapes = tuple[tuple[str, tuple[int, ...]], ...]


class OvEngine:
    """One ONNX graph in OpenVINO.

    Args:
        graph: its spec is checked against the graph itself.
        precision: the arithmetic of the heavy layers, whatever type the weights are stored in.
        threads: for one run; None: one per usable core.
        cache: where compiled graphs are kept; None keeps none. A graph without a digest is never kept.

    Raises:
        EngineError: OpenVINO is not installed, or this CPU does not compute in that precision.
        BundleError: not an ONNX graph, or one that does not match the spec.
    """

    def __init__(
        self,
        graph: Graph,
        precision: Arithmetic = "float32",
        threads: int | None = None,
        cache: EngineCache | Literal["default"] | None = "default",
    ) -> None:
        self.spec: EngineSpec = graph.spec
        self.name: str = graph.role
        core = _core()
        if precision not in HINTS:
            raise EngineError(f"precision must be one of {', '.join(HINTS)}, got {precision!r}")
        if precision == "bfloat16" and "BF16" not in _capabilities():
            raise EngineError("this CPU does not compute bfloat16; use engine openvino instead of openvino-bf16")
        self._config = {
            "INFERENCE_PRECISION_HINT": HINTS[precision],  # the library's own default is bf16 where the CPU has it
            "INFERENCE_NUM_THREADS": str(threads or usable_cores()),
            "PERFORMANCE_HINT": "LATENCY",
        }
        self._digest = graph.digest
        kept = EngineCache() if cache == "default" else cache
        self._cache = kept if graph.digest and graph.size <= MOST_KEPT else None
        self._folder = graph.folder if graph.folder is not None and graph.folder.private else Folder()
        source = graph.source or graph.role
        try:
            self._model: Any = _read(core, graph, self._folder.path)
            check_ports(self.spec, _inputs(self._model), _outputs(self._model, self.spec.outputs), source)
        except UserError:
            self._folder.close()
            raise
        if not graph.data or os.name == "posix":  # what is mapped stays; of a process that is killed nothing does
            self._folder.close()
        self._compiled: OrderedDict[_Shapes, _Compiled] = OrderedDict()
        self._lock = threading.Lock()

    def run(self, inputs: Mapping[str, Array], wanted: Collection[str] | None = None) -> dict[str, Array]:
        """See the Engine protocol; all outputs are computed, whatever is wanted. The first run with new shapes
        compiles."""
        if self._model is None:
            raise EngineError(f"{self.name}: the engine is closed")
        check_inputs(self.spec, inputs, self.name)
        feed = {key: np.asarray(value, order="C") for key, value in inputs.items()}
        try:
            outputs = self._for(feed).run(feed, wanted_outputs(self.spec, wanted, self.name))
        except RuntimeError as error:
            raise EngineError(f"{self.name}: OpenVINO failed: {_line(error, 300)}") from error
        check_outputs(self.spec, inputs, outputs, self.name)
        return outputs

    def close(self) -> None:
        """Frees the graph and everything that was compiled from it; runs under way end well."""
        with self._lock:
            self._model = None
            self._compiled.clear()
            self._folder.close()

    def _for(self, feed: Mapping[str, Array]) -> _Compiled:
        """What runs these shapes, compiled if need be; others wait, so that nothing is compiled twice."""
        shapes = tuple((tensor.name, feed[tensor.name].shape) for tensor in self.spec.inputs)
        with self._lock:
            if self._model is None:
                raise EngineError(f"{self.name}: the engine is closed")
            if shapes not in self._compiled:
                self._compiled[shapes] = _Compiled(self._load(shapes) or self._compile(shapes))
                if len(self._compiled) > MOST_SHAPES:
                    self._compiled.popitem(last=False)
            self._compiled.move_to_end(shapes)
            return self._compiled[shapes]

    def _load(self, shapes: _Shapes) -> Any:
        """From the cache; None if it is not there, or if the library refuses it."""
        blob = self._cache.load(self._key(shapes)) if self._cache else None
        try:
            return None if blob is None else _core().import_model(blob, "CPU", self._config)
        except RuntimeError:
            return None

    def _compile(self, shapes: _Shapes) -> Any:
        model = self._model.clone()
        model.reshape({name: list(shape) for name, shape in shapes})
        with compiling(self.name):  # the library does not say how far it is
            compiled = _core().compile_model(model, "CPU", self._config)
        if self._cache:
            self._cache.store(self._key(shapes), compiled.export_model().getvalue())
        return compiled

    def _key(self, shapes: _Shapes) -> Key:
        sizes = [f"{name}={'x'.join(map(str, shape))}" for name, shape in shapes]
        settings = " ".join(self._config.values()).lower()  # precision, threads, hint: in the order of __init__
        return Key("openvino", self._digest, f"openvino {_version()}", _device(), f"{settings} {' '.join(sizes)}")


class _Compiled:
    """A graph for one set of shapes; as many requests as threads have run it at once, each with its own buffers."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._idle: list[Any] = []

    def run(self, feed: Mapping[str, Array], outputs: Iterable[TensorSpec]) -> dict[str, Array]:
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._model.create_infer_request()
        request.infer(dict(feed), share_outputs=True)
        result = {t.name: np.array(request.get_tensor(t.name).data, np.dtype(t.dtype)) for t in outputs}
        self._idle.append(request)
        return result


def import_openvino() -> Any:
    """The library, reporting nothing home, or an EngineError that says how to get it."""
    try:
        with without_openvinos():
            import openvino
    except ImportError as error:
        raise EngineError("OpenVINO is not installed; run: pip install 'handfirst[openvino]'") from error
    return openvino


@once
def _core() -> Any:
    """One for the whole process: it holds the plugin, no model."""
    core = import_openvino().Core()
    core.set_property({"ENABLE_MMAP": "YES" if os.name == "posix" else "NO"})  # what is mapped cannot be deleted there
    return core


def _version() -> str:
    return str(import_openvino().get_version())


def _capabilities() -> list[str]:
    return sorted(_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))


def _device() -> str:
    name = str(_core().get_property("CPU", "FULL_DEVICE_NAME"))
    return f"{name} ({platform.system()} {platform.machine()}; {' '.join(_capabilities())})"


def _read(core: Any, graph: Graph, folder: Path) -> Any:
    """The graph, by way of a private folder."""
    source = graph.source or graph.role
    name = next(n for n in ("model.onnx", "graph.onnx") if n not in graph.data)
    files = {name: graph.model, **graph.data}
    for file in files:
        if file in ("", ".", "..") or Path(file).name != file:
            raise BundleError(f"{source}: external data '{file}' is no flat file name; export the bundle again")
    try:
        for file, data in files.items():
            if not (folder / file).exists():
                (folder / file).write_bytes(data)
        return core.read_model(str(folder / name))
    except OSError as error:
        room = f"{graph.size / 1e6:.0f} MB in {tempfile.gettempdir()}"
        raise EngineError(f"{source}: OpenVINO needs {room} ({error.strerror}); free some, or set TMPDIR") from error
    except RuntimeError as error:
        raise BundleError(f"{source}: not a graph that OpenVINO can load ({_line(error, 200)})") from error


def _inputs(model: Any) -> dict[str, Port]:
    return {port.get_any_name(): _port(port) for port in model.inputs}


def _outputs(model: Any, tensors: Iterable[TensorSpec]) -> dict[str, Port]:
    """By the spec's names, as a port may have several; sizes that the library worked out where the spec leaves them
    free are no contradiction."""
    ports: dict[str, Port] = {}
    for port in model.outputs:
        tensor = next((t for t in tensors if t.name in port.get_names()), None)
        found = _port(port)
        if tensor is None:
            ports[port.get_any_name()] = found
            continue
        free = [isinstance(axis, str) for axis in tensor.shape] + [False] * len(found.shape)
        ports[tensor.name] = Port(found.dtype, tuple(None if f else a for a, f in zip(found.shape, free, strict=False)))
    return ports


def _port(port: Any) -> Port:
    kind = port.get_element_type().get_type_name()
    shape = port.get_partial_shape()
    sizes = () if shape.rank.is_dynamic else tuple(axis.get_length() if axis.is_static else None for axis in shape)
    return Port(DTYPES.get(kind, kind), sizes)


def _line(error: Exception, length: int) -> str:
    """The last part of a message, where the library says what was wrong."""
    return one_line(error)[-length:]
