"""TensorRT as an engine: plans for the shapes that it runs (build.py), compiled once on this machine and kept in
its engine cache.

A plan is executable code. One is loaded only from the cache that this installation wrote, never from a bundle; a bundle
brings ONNX. Written against the API of TensorRT 10.13 to 11.1; it has not run on a GPU: building was tried with
TensorRT for RTX, everything else with a stand-in for the library.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from handfirst.engines.building import compiling
from handfirst.engines.cache import EngineCache, Key
from handfirst.engines.cuda.driver import nvidia_driver
from handfirst.engines.cuda.lane import Lane
from handfirst.engines.cuda.timing import StreamTimer
from handfirst.engines.engine import Array, Placed, Tensor, check_inputs, check_outputs, check_placed, wanted_outputs
from handfirst.engines.errors import EngineError, one_line
from handfirst.engines.graph import Graph
from handfirst.engines.tensorrt.build import Profile, Shapes, build, external_weights, profile_of, workspace, written
from handfirst.engines.tensorrt.library import check_library, import_tensorrt, logger
from handfirst.engines.tensorrt.memory import Arena, process_arena
from handfirst.engines.tensorrt.plan import Context, Plan

_BUILDING = threading.Lock()
"""One build at a time: it times kernels on the GPU, and takes gigabytes of the host. Whoever takes it, holds no arena's
lock: engines that are built go on meanwhile."""

KEPT = 4
"""Plans that stay on the GPU, each with weights of its own; the least recently used one makes room for a fifth."""


class TrtEngine:
    """One ONNX graph in TensorRT. See the Engine protocol; calls from many threads wait for each other.

    Where every axis of the graph is fixed the plan is made on opening; else on the first run with new shapes, or on
    the first run of all where one plan serves all shapes. That run then takes seconds to minutes.

    Args:
        graph: its dtypes are the arithmetic.
        cache: where plans are kept; None: the default one.
        library: the tensorrt module; None: the installed one.
        arena: what it computes in; None: the one that all engines of this process share.
        gpu: which one, as CUDA counts them.

    Raises:
        EngineError: no GPU, TensorRT or cuda-bindings are not installed, or the graph cannot be compiled.
        BundleError: not an ONNX graph, or one that does not match its spec.
    """

    def __init__(
        self,
        graph: Graph,
        cache: EngineCache | None = None,
        library: Any = None,
        arena: Arena | None = None,
        gpu: int = 0,
    ) -> None:
        self.name = graph.role
        self.spec = graph.spec
        driver = nvidia_driver(gpu)
        if driver is None:  # asked first: without a driver the library's Runtime ends the process
            what = "no driver answers here" if nvidia_driver() is None else f"there is no GPU {gpu} here"
            raise EngineError(f"{self.name}: TensorRT needs an NVIDIA GPU, and {what}; use engine 'cpu'")
        self._trt = import_tensorrt() if library is None else check_library(library)
        self._external = external_weights(graph)
        self._graph = graph
        self._cache = EngineCache() if cache is None else cache
        self._device = str(driver)
        self._plans: OrderedDict[str, Plan] = OrderedDict()
        self._runtime: Any = None
        self._loaded: OrderedDict[str, Any] = OrderedDict()  # the library's engines by profile, weights inside
        self._arena: Arena | None = process_arena(gpu) if arena is None else arena
        self._lock = self._arena.lock
        self._arena.join()
        try:
            if all(isinstance(axis, int) for tensor in graph.spec.inputs for axis in tensor.shape):
                self.prepare({t.name: tuple(map(int, t.shape)) for t in graph.spec.inputs})
        except BaseException:
            self.close()
            raise

    def run(self, inputs: Mapping[str, Array], wanted: Collection[str] | None = None) -> dict[str, Array]:
        """Fresh arrays; see the Engine protocol. It computes all outputs whatever is wanted.

        Raises:
            EngineError: inputs that do not match the spec, a closed engine, or TensorRT or CUDA failed.
            BundleError: the first run with these shapes, and TensorRT cannot load the graph.
        """
        return self._run(inputs, None, wanted)

    def run_timed(
        self, inputs: Mapping[str, Tensor], keep: Collection[str] = (), wanted: Collection[str] | None = None
    ) -> tuple[dict[str, Tensor], float | None]:
        """As `run`; see TimedEngine. Compiling, copies and waiting for other engines are not counted."""
        with self._lock:
            arena = self._open_arena()
            timer = StreamTimer(arena.cuda, arena.stream)
        try:
            outputs = self._run(inputs, timer, wanted)
            with self._lock:
                return {**outputs}, timer.seconds()
        finally:
            timer.close()

    captured = True
    """See StreamEngine."""

    @property
    def lane(self) -> Lane | None:
        """See StreamEngine: the arena's stream."""
        return None if self._arena is None else self._arena.lane

    @property
    def computes_in(self) -> object:
        """See StreamEngine: the arena's memory."""
        arena = self._open_arena()
        return arena.address, arena.size

    def bind(self, tensors: Mapping[str, Placed]) -> Callable[[], None]:
        """See StreamEngine. Compiles where there is no plan for these shapes yet."""
        check_placed(self.spec, tensors, self.name)
        shapes = {t.name: tensors[t.name].shape for t in self.spec.inputs}
        engine = self._engine(shapes)
        with self._lock:
            context = Context(self._trt, engine, self._graph, shapes, self._open_arena())
            for name, placed in tensors.items():
                context.place(name, placed.address)

        def launch() -> None:
            with self._lock:
                self._open_arena()
                context.queue()

        return launch

    def prepare(self, shapes: Shapes) -> None:
        """Makes the plan for these shapes, one per input, so that the first run is as fast as all others.

        Raises:
            EngineError, BundleError: as for `run`.
        """
        engine = self._engine(shapes)
        with self._lock:
            self._plan(shapes, engine)

    def layers(self) -> dict[str, Any]:
        """See LayeredEngine: TensorRT's inspector, of plans from this machine's own cache; lists of layers with their
        kernels, precisions and shapes."""
        with self._lock:
            self._open_arena()
            return {name: _layers(self._trt, engine) for name, engine in self._loaded.items()}

    def close(self) -> None:
        """Frees its plans, and the arena if nobody else uses it."""
        with self._lock:
            arena, self._arena = self._arena, None
            while self._plans:
                self._plans.popitem()[1].close()
            self._loaded.clear()
            self._runtime = None
            if arena is not None:
                arena.leave()

    def _run(
        self, inputs: Mapping[str, Tensor], timer: StreamTimer | None, wanted: Collection[str] | None
    ) -> dict[str, Array]:
        self._open_arena()
        check_inputs(self.spec, inputs, self.name)
        names = [tensor.name for tensor in wanted_outputs(self.spec, wanted, self.name)]
        arrays = {name: value for name, value in inputs.items() if isinstance(value, np.ndarray)}
        shapes = {t.name: tuple(inputs[t.name].shape) for t in self.spec.inputs}
        engine = self._engine(shapes)
        with self._lock:
            outputs = self._plan(shapes, engine).run(arrays, names, timer)
        check_outputs(self.spec, inputs, outputs, self.name)
        return outputs

    def _open_arena(self) -> Arena:
        if self._arena is None:
            raise EngineError(f"{self.name}: the engine is closed")
        self._arena.cuda.current()
        return self._arena

    def _plan(self, shapes: Shapes, engine: Any) -> Plan:
        """Buffers for these shapes; the arena's lock is held."""
        arena, key = self._open_arena(), written({name: (shape, shape, shape) for name, shape in shapes.items()})
        if key not in self._plans:
            while len(self._plans) >= KEPT:
                self._plans.popitem(last=False)[1].close()
            self._plans[key] = Plan(self._trt, engine, self._graph, shapes, arena)
        self._plans.move_to_end(key)
        return self._plans[key]

    def _engine(self, shapes: Shapes) -> Any:
        """An ICudaEngine that runs these shapes: loaded already, or from the cache, or compiled.

        The arena's lock must not be held: compiling takes minutes, and every engine would wait.
        """
        profile = profile_of(self.spec, shapes)
        name, key = written(profile), self._key(profile)
        found = self._known(name) or self._load(name, self._cache.load(key))
        if found is not None:
            return found
        with _BUILDING:  # another thread may have built it meanwhile, or another process
            found = self._known(name) or self._load(name, self._cache.load(key))
            found = found or self._load(name, self._build(key, profile))
        if found is None:
            raise EngineError(f"{self.name}: TensorRT cannot load its own plan: {logger(self._trt).reason()}")
        return found

    def _known(self, name: str) -> Any:
        """The ICudaEngine of a profile that is loaded, used just now; None if it is not."""
        with self._lock:
            self._open_arena()
            if name in self._loaded:
                self._loaded.move_to_end(name)
            return self._loaded.get(name)

    def _load(self, name: str, plan: bytes | None) -> Any:
        """Loads a plan, if there is one; None if the library does not take it."""
        with self._lock:
            self._open_arena()
            engine = self._deserialise(plan) if plan else None
            if engine is not None:
                while len(self._loaded) >= KEPT:
                    self._loaded.popitem(last=False)
                self._loaded[name] = engine
            return engine

    def _deserialise(self, plan: bytes) -> Any:
        if self._runtime is None:
            self._runtime = self._trt.Runtime(logger(self._trt))
        return self._runtime.deserialize_cuda_engine(plan)

    def _build(self, key: Key, profile: Profile) -> bytes:
        logger(self._trt).reason()  # complaints about a plan of another version must not explain a later failure
        timing_key = Key("tensorrt timings", "", key.library, key.device, "")
        timings = self._cache.load(timing_key)
        with self._lock:
            free, _ = self._open_arena().cuda.memory()
        with compiling(self.name) as tell:
            built = build(self._trt, self._graph, self._external, profile, timings, workspace(free), tell)
        if built.timings and built.timings != timings:
            self._cache.store(timing_key, built.timings)
        self._cache.store(key, built.plan)
        return built.plan

    def _key(self, profile: Profile) -> Key:
        return Key(
            engine="tensorrt",
            graph=self._graph.digest,
            library=f"tensorrt {self._trt.__version__}",
            device=self._device,
            options=f"{written(profile)} {self._graph.precision}",
        )


def _layers(trt: Any, engine: Any) -> Any:
    """The inspector's JSON: an object with lists of "Layers" and of inputs and outputs."""
    told = engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON)
    try:
        return json.loads(told)
    except ValueError as error:
        raise EngineError(f"TensorRT's inspector gave no JSON ({one_line(told)[:100]})") from error
