"""An ONNX graph -> a TensorRT plan for one GPU and one profile of shapes.

Networks are strongly typed: the arithmetic is what the graph's own dtypes say, and float32 is float32, never TF32.

A plan for one set of shapes runs fastest, so that is the rule. Where a spec leaves the picture's size free within
limits, a plan for every size would take minutes and a copy of the weights each: there one plan serves all of them.
Plans hold what `layers` of engine.py tells of them: every layer's kernel, precision and shapes.

TensorRT for RTX parses and builds with this code without a GPU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sized
from dataclasses import dataclass
from typing import Any

import numpy as np

from handfirst.engines.building import Tell
from handfirst.engines.errors import BundleError, EngineError, one_line
from handfirst.engines.graph import Graph
from handfirst.engines.spec import EngineSpec, Port, TensorSpec, check_ports
from handfirst.engines.tensorrt.library import DTYPES, logger
from handfirst.engines.tensorrt.progress import monitor
from handfirst.engines.trust.onnx_file import EXTERNAL, Tensor, read_onnx

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]
"""Of every input, by name."""

Profile = Mapping[str, tuple[Shape, Shape, Shape]]
"""Of every input the smallest shape, the one to tune for, and the largest."""


WORKSPACE = 4 << 30
"""Bytes of the GPU that a layer may take for itself while it computes, at most; see `workspace`."""


def workspace(free: int) -> int:
    """The limit of a plan that is built while so many bytes of the GPU are free: WORKSPACE, or half of them where that
    is less. TensorRT's own limit is all of the GPU's memory, and a plan may then need what other networks' weights
    have taken by the time that it runs."""
    return min(WORKSPACE, free // 2)


def profile_of(spec: EngineSpec, shapes: Shapes) -> Profile:
    """The profile of the plan that runs `shapes`, which fit the spec."""
    if not ranged(spec):
        return {name: (shape, shape, shape) for name, shape in shapes.items()}
    return {t.name: (_sized(t, spec, "least"), _sized(t, spec, "usual"), _sized(t, spec, "most")) for t in spec.inputs}


def ranged(spec: EngineSpec) -> bool:
    """Whether one plan serves all shapes: every free axis has limits, and one beside the batch is truly free."""
    axes = {axis for tensor in spec.inputs for axis in tensor.shape if isinstance(axis, str)}
    maps = {axis for tensor in spec.inputs for axis in tensor.shape[1:] if isinstance(axis, str)}
    return axes <= spec.limits.keys() and any(spec.limits[a].least < spec.limits[a].most for a in maps)


def written(profile: Profile) -> str:
    """sample=2x4x64x64 timestep=2, or sample=1x4x32x32..2x4x64x64..16x4x128x128: equal profiles, equal words."""
    return " ".join(f"{name}={'..'.join(_sizes(shapes))}" for name, shapes in sorted(profile.items()))


def _sizes(shapes: tuple[Shape, ...]) -> list[str]:
    different = shapes if len(set(shapes)) > 1 else shapes[:1]
    return ["x".join(map(str, shape)) or "scalar" for shape in different]


def _sized(tensor: TensorSpec, spec: EngineSpec, which: str) -> Shape:
    return tuple(axis if isinstance(axis, int) else int(getattr(spec.limits[axis], which)) for axis in tensor.shape)


@dataclass(frozen=True)
class External:
    """The bytes of one tensor: a slice of one of Graph.data."""

    location: str
    offset: int
    size: int


@dataclass(frozen=True)
class Built:
    """A plan, and what the builder learned about this GPU's kernels, for the next build; b"" if nothing."""

    plan: bytes
    timings: bytes


def external_weights(graph: Graph) -> Mapping[str, External]:
    """Where the bytes of every tensor lie that is not in `graph.model` itself, by its name.

    Raises:
        BundleError: not an ONNX graph, or external tensors whose bytes the graph does not come with.
    """
    source = graph.source or graph.role
    file = read_onnx(graph.model, source)
    if file.graph is None:
        raise BundleError(f"{source}: expected an ONNX graph, got a file without one; export the bundle again")
    own = [tensor for tensor in file.graph.initializers if tensor.location == EXTERNAL]
    if len(own) != sum(tensor.location == EXTERNAL for tensor in file.tensors()):
        # a parser would look for these on the disk by itself
        raise BundleError(f"{source}: only weights may lie in other files, got one of an operator; export it again")
    return {tensor.name: _external(tensor, graph.data, source) for tensor in own}


def build(
    trt: Any,
    graph: Graph,
    external: Mapping[str, External],
    profile: Profile,
    timings: bytes | None = None,
    memory: int = WORKSPACE,
    tell: Tell = lambda share: None,
) -> Built:
    """Parses and compiles; seconds for a small graph, minutes for a large one.

    Args:
        trt: the library.
        external: where the graph's external tensors are (`external_weights`).
        profile: what the plan shall run (`profile_of`).
        timings: what an earlier build on the same GPU, driver and library learned.
        memory: bytes that a layer may take for itself (`workspace`).
        tell: called with the share that is done, from threads of the library too. What it raises ends the build, and so
            does Ctrl-C.

    Raises:
        BundleError: TensorRT cannot read the graph, or it does not match its spec.
        EngineError: it can, but cannot compile it.
    """
    builder = trt.Builder(logger(trt))
    typed = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)  # implied where it is gone
    network = builder.create_network(0 if typed is None else 1 << int(typed))
    parse(trt, network, graph, external)
    config = _config(trt, builder, graph, memory)
    watch = monitor(trt, tell)
    config.progress_monitor = watch
    timed = _use_timings(config, timings)
    sizes = builder.create_optimization_profile()
    for name, (least, usual, most) in profile.items():
        sizes.set_shape(name, least, usual, most)
    config.add_optimization_profile(sizes)
    plan = builder.build_serialized_network(network, config)
    if watch.stopped is not None:
        raise watch.stopped
    if plan is None:
        raise EngineError(f"{graph.role}: TensorRT could not compile the graph: {logger(trt).reason()}")
    return Built(bytes(plan), bytes(config.get_timing_cache().serialize()) if timed else b"")


def parse(trt: Any, network: Any, graph: Graph, external: Mapping[str, External]) -> None:
    """Fills a network from the graph's checked bytes.

    Raises:
        BundleError: all of the parser's complaints in one line, or what does not match the spec.
    """
    source = graph.source or graph.role
    parser = trt.OnnxParser(network, logger(trt))
    if not external:
        read = parser.parse(graph.model)
    else:
        read = parser.load_model_proto(graph.model) and _lend(parser, graph, external) and parser.parse_model_proto()
    if not read:
        raise BundleError(f"{source}: not a graph that TensorRT can load ({_complaints(trt, parser)})")
    inputs = [network.get_input(i) for i in range(network.num_inputs)]
    outputs = [network.get_output(i) for i in range(network.num_outputs)]
    ports = {
        t.name: Port(dtype_name(t.dtype), (None,) * len(t.shape)) for t in outputs
    }  # it may infer more than is said
    check_ports(graph.spec, _ports(inputs), ports, source)


def _external(tensor: Tensor, data: Mapping[str, Sized], source: str) -> External:
    said = dict(tensor.external)
    location = said.get("location", "")
    try:
        offset, length = int(said.get("offset") or 0), int(said.get("length") or 0)
        size = length or len(data[location]) - offset
        if offset >= 0 and size >= 0 and offset + size <= len(data[location]):
            return External(location, offset, size)
    except (KeyError, ValueError):
        pass
    raise BundleError(
        f"{source}: the data of tensor {tensor.name[:60]!r} should lie in {location[:60]!r}, and are not there; "
        "export the bundle again"
    )


def _config(trt: Any, builder: Any, graph: Graph, memory: int) -> Any:
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, memory)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if graph.precision == "float32":
        config.clear_flag(trt.BuilderFlag.TF32)  # on by default: rounds the inputs of products to 10 bits
    return config


def _use_timings(config: Any, timings: bytes | None) -> bool:
    """Whether the builder took a timing cache: the old one, or else an empty one."""
    for blob in (timings, b""):
        if blob is not None:
            cache = config.create_timing_cache(blob)
            if cache is not None and config.set_timing_cache(cache, False):  # False: never one of another GPU
                return True
    return False


def _lend(parser: Any, graph: Graph, external: Mapping[str, External]) -> bool:
    """Shows the parser where the external tensors are in memory; `graph` must outlive its work."""
    addresses = {name: int(np.frombuffer(data, np.uint8).ctypes.data) for name, data in graph.data.items() if data}
    return all(
        parser.load_initializer(name, addresses.get(slice_.location, 0) + slice_.offset, slice_.size)
        for name, slice_ in external.items()
    )


def _complaints(trt: Any, parser: Any) -> str:
    said = "; ".join(one_line(parser.get_error(i))[:200] for i in range(min(parser.num_errors, 5)))
    logged = logger(trt).reason()  # asked in any case: what is left there must not explain a later failure
    return said or logged


def _ports(tensors: list[Any]) -> dict[str, Port]:
    """A size of -1 is a free axis."""
    return {t.name: Port(dtype_name(t.dtype), tuple(None if n < 0 else int(n) for n in t.shape)) for t in tensors}


def dtype_name(dtype: Any) -> str:
    """A tensorrt.DataType as a spec writes it."""
    return DTYPES.get(dtype.name, str(dtype.name).lower())
