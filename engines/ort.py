"""onnxruntime as an engine: CPU, and CUDA where its package is installed. The library is imported on opening.

The CUDA side has not run on a GPU; its decisions were tried with a stand-in for the library.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import redirect_stdout
from dataclasses import replace
from typing import Any

import numpy as np

from handfirst.engines.cuda.driver import nvidia_driver
from handfirst.engines.cuda.lane import Lane, process_lane
from handfirst.engines.cuda.timing import TimedSession
from handfirst.engines.engine import Array, Placed, Tensor, check_inputs, check_outputs, check_placed, wanted_outputs
from handfirst.engines.errors import BundleError, EngineError
from handfirst.engines.graph import Graph
from handfirst.engines.installed import distributed, usable_cores
from handfirst.engines.ort_binding import DTYPES, OrtArray, Place, bound_run, run_bound
from handfirst.engines.ort_cuda import NO_GRAPH, CudaGraphs, CudaOptions, cuda_settings, loop_options, warn
from handfirst.engines.ort_failures import no_cuda, opening_failed, reason, refuses_capture
from handfirst.engines.spec import Port, check_ports
from handfirst.engines.telemetry import switch_off

EXTERNAL = "session.model_external_initializers_file_folder_path"
"""The setting that says where the external weights of a model in memory lie."""
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OrtEngine:
    """One ONNX graph in an onnxruntime session: an Engine, a DeviceEngine and, on a GPU, a StreamEngine (engine.py).

    Args:
        graph: its spec is checked against the graph itself.
        provider: "cpu" or "cuda".
        threads: for one operator; None: one per usable core.
        cuda: what to ask of the CUDA provider; None: its defaults.

    Raises:
        EngineError: onnxruntime or the provider is not installed, or the provider does not start, or there is no such
            GPU.
        BundleError: not an ONNX graph, or one that does not match the spec.
    """

    def __init__(
        self, graph: Graph, provider: str = "cpu", threads: int | None = None, cuda: CudaOptions | None = None
    ) -> None:
        self.spec = graph.spec
        self.name = graph.role
        ort = import_onnxruntime()
        if provider not in PROVIDERS:
            raise EngineError(f"engine provider must be one of {', '.join(PROVIDERS)}, got {provider!r}")
        if PROVIDERS[provider] not in ort.get_available_providers():
            raise EngineError(
                f"onnxruntime here has no {provider} provider; run: pip uninstall -y onnxruntime && "
                f"pip install 'handfirst[{provider}]'"
            )
        threads = threads or usable_cores()
        self._graphs: CudaGraphs | None = None
        self._lane: Lane | None = None
        self._ort = ort
        if provider == "cpu":
            self._place = Place(ort, "cpu")
            self._session: Any = _session(ort, graph, threads, [PROVIDERS["cpu"]])
        else:
            _check_age(ort)
            options = cuda or CudaOptions()
            if nvidia_driver() is not None and nvidia_driver(options.device) is None:
                raise EngineError(f"{self.name}: there is no GPU {options.device} here; use engine 'cuda', or 'cpu'")
            self._place = Place(ort, "cuda", options.device)
            self._lane = _lane(options.device)
            with self._place.turn():
                self._session, captures = _session_on(ort, graph, threads, options, self._lane)
            if captures:
                self._graphs = CudaGraphs(
                    ort, self._session, self._place, [t.name for t in self.spec.outputs], self.name
                )
        ports = _ports(self._session.get_inputs()), _ports(self._session.get_outputs())
        check_ports(graph.spec, *ports, graph.source or graph.role)

    @property
    def place(self) -> str:
        """Where its handles lie; see DeviceEngine."""
        return str(self._place)

    def upload(self, array: Array) -> OrtArray:
        """A copy of the array on the device; see DeviceEngine."""
        return OrtArray(self._place.upload(array), self._place)

    def run(self, inputs: Mapping[str, Array], wanted: Collection[str] | None = None) -> dict[str, Array]:
        """See the Engine protocol."""
        found = self.run_resident(inputs, (), wanted)
        return {name: value for name, value in found.items() if isinstance(value, np.ndarray)}

    def run_resident(
        self, inputs: Mapping[str, Tensor], keep: Collection[str], wanted: Collection[str] | None = None
    ) -> dict[str, Tensor]:
        """See DeviceEngine. An output that is not wanted is not bound: no memory for it, no copy."""
        session, graphs = self._session, self._graphs
        if session is None:
            raise EngineError(f"{self.name}: the engine is closed")
        check_inputs(self.spec, inputs, self.name, self.place)
        names = [tensor.name for tensor in wanted_outputs(self.spec, wanted, self.name)]
        feed = {key: v if isinstance(v, OrtArray) else np.asarray(v, order="C") for key, v in inputs.items()}
        try:
            outputs: dict[str, Tensor]
            if graphs is not None:
                outputs = {**graphs.run(feed, names, keep)}
            else:
                with self._place.turn():
                    outputs = {**run_bound(session, self._place, feed, names, keep)}
        except Exception as error:
            raise EngineError(f"{self.name}: onnxruntime failed: {reason(error)}") from error
        check_outputs(self.spec, inputs, outputs, self.name)
        return outputs

    def run_timed(
        self, inputs: Mapping[str, Tensor], keep: Collection[str] = (), wanted: Collection[str] | None = None
    ) -> tuple[dict[str, Tensor], float | None]:
        """As `run_resident`; see TimedEngine. Only on a GPU, and with cuda-core installed, there are seconds."""
        with self._place.turn():
            session = self._session
            if not isinstance(session, TimedSession):
                return self.run_resident(inputs, keep, wanted), None
            session.timing = True
            try:
                return self.run_resident(inputs, keep, wanted), session.seconds
            finally:
                session.timing = False

    captured = False
    """See StreamEngine: the library captures by itself, and fails within a capture of others (error 900)."""

    computes_in = None
    """See StreamEngine: nothing of it is captured with others."""

    @property
    def lane(self) -> Lane | None:
        """See StreamEngine: None on a CPU, and where cuda-core is not installed."""
        return self._lane

    def bind(self, tensors: Mapping[str, Placed]) -> Callable[[], None]:
        """See StreamEngine. The first call captures a graph where the library can, and so does the first of every
        other thread, as it keeps graphs per thread; no more than ort_cuda.MOST_LOOPS of them."""
        if self._session is None:
            raise EngineError(f"{self.name}: the engine is closed")
        check_placed(self.spec, tensors, self.name)
        session = self._session.plain if isinstance(self._session, TimedSession) else self._session
        names = {tensor.name for tensor in self.spec.inputs}
        try:
            run = bound_run(session, self._place, tensors, names, self._loop_options())
        except Exception as error:
            raise EngineError(f"{self.name}: onnxruntime failed: {reason(error)}") from error

        def launch() -> None:
            if self._session is None:
                raise EngineError(f"{self.name}: the engine is closed")
            try:
                try:
                    run()
                except Exception as error:
                    if self._graphs is None or not self._graphs.give_up(error):
                        raise
                    run()
            except Exception as error:
                raise EngineError(f"{self.name}: onnxruntime failed: {reason(error)}") from error

        return launch

    def _loop_options(self) -> Callable[[], Any]:
        """What a loop's runs are given; see CudaGraphs.loop."""
        if self._graphs is not None:
            return self._graphs.loop()
        options = None if self._place.device[0] == "cpu" else loop_options(self._ort, NO_GRAPH)
        return lambda: options

    def close(self) -> None:
        """Frees the session; handles that it gave stay good."""
        with self._place.turn():  # giving memory back would break another thread's capture
            self._session = self._graphs = None


def _session(ort: Any, graph: Graph, threads: int, providers: list[Any]) -> Any:
    options = session_options(ort, graph, threads)
    try:
        return ort.InferenceSession(graph.model, options, providers=providers, enable_fallback=False)
    except Exception as error:  # the library raises many kinds, none of them documented as the full list
        raise opening_failed(graph, error) from error


def preload(ort: Any) -> None:
    """CUDA and cuDNN may have come as wheels, where no loader looks."""
    if hasattr(ort, "preload_dlls"):
        with redirect_stdout(io.StringIO()):  # it prints what it misses where --json is to be read
            ort.preload_dlls()


def _lane(device: int) -> Lane | None:
    """The process's stream on a GPU; None where there is none: the library then has one of its own, and the sampling
    loop goes by way of the host."""
    try:
        return process_lane(device)
    except EngineError as error:
        if distributed("cuda-core") and nvidia_driver() is not None:
            warnings.warn(f"the sampling loop runs on the host: {error}", RuntimeWarning, stacklevel=2)
        return None


def _session_on(ort: Any, graph: Graph, threads: int, options: CudaOptions, lane: Lane | None) -> tuple[Any, bool]:
    """As `_cuda_session`, on the lane's stream."""
    if lane is None:
        return _cuda_session(ort, graph, threads, options)
    session, captures = _cuda_session(ort, graph, threads, replace(options, stream=lane.stream))
    return TimedSession(session, lane), captures


def _cuda_session(ort: Any, graph: Graph, threads: int, options: CudaOptions) -> tuple[Any, bool]:
    """A session on the GPU, and whether it can capture graphs."""
    preload(ort)

    def opened(graphs: bool) -> Any:
        provider = PROVIDERS["cuda"], cuda_settings(options, graph.precision, graphs)
        session = _session(ort, graph, threads, [provider])
        if PROVIDERS["cuda"] not in session.get_providers():  # the library goes on without, and says nothing
            raise no_cuda(ort)
        return session

    if not options.graphs:
        return opened(False), False
    try:
        return opened(True), True
    except BundleError as error:
        if not refuses_capture(error):
            raise
        warn(graph.role, error.__cause__ if isinstance(error.__cause__, Exception) else error)
        return opened(False), False


def import_onnxruntime() -> Any:
    """The library, reporting nothing home, or an EngineError that says how to get it."""
    installed = [name for name in ("onnxruntime", "onnxruntime-gpu") if distributed(name)]
    if len(installed) == 2:
        raise EngineError(
            "onnxruntime and onnxruntime-gpu are both installed and overwrite each other; run: "
            "pip uninstall -y onnxruntime onnxruntime-gpu, then pip install 'handfirst[cpu]' or 'handfirst[cuda]'"
        )
    switch_off()
    try:
        import onnxruntime
    except ImportError as error:
        raise EngineError(
            "onnxruntime is not installed; run: pip install 'handfirst[cpu]', or 'handfirst[cuda]' for an NVIDIA GPU"
        ) from error
    return onnxruntime


OLDEST_ON_GPU = (1, 26)
"""Copies tensors on the device by itself, and resizes there as the exported graphs ask."""


def _check_age(ort: Any) -> None:
    version = str(getattr(ort, "__version__", ""))
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers and (int(numbers[1]), int(numbers[2])) < OLDEST_ON_GPU:
        raise EngineError(
            f"onnxruntime-gpu {version} is too old for engine 'cuda', 1.26 or newer is needed; run: "
            "pip install --upgrade 'handfirst[cuda]'"
        )


def _ports(nodes: Iterable[Any]) -> dict[str, Port]:
    return {node.name: Port(DTYPES.get(node.type, node.type), tuple(node.shape)) for node in nodes}


def session_options(ort: Any, graph: Graph, threads: int) -> Any:
    """A fresh SessionOptions. The graph's external weights are read from its folder; if it has none, they are handed
    over in memory, which takes three times their size until the session is open."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    # The arena saves nothing that can be measured, and keeps what the largest run took: of a batch that was too large
    # even single pictures then failed, and a full-size UNet's activations are 2 GB.
    options.enable_cpu_mem_arena = False
    options.add_session_config_entry("session.load_model_format", "ONNX")  # never guessed from the bytes
    # threads that wait for work while spinning take half of the processors' time and, on a busy machine, the work's own
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if graph.folder is not None:  # read tensor by tensor: nothing is in memory twice
        options.add_session_config_entry(EXTERNAL, str(graph.folder.path))
    elif graph.data:
        names, buffers = list(graph.data), list(graph.data.values())
        options.add_external_initializers_from_files_in_memory(names, buffers, [len(b) for b in buffers])
    return options
