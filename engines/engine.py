"""The seam: what an engine is. Everything that runs a graph, whatever the library, looks like this to the runtime.

An engine that can keep tensors on its device is a DeviceEngine as well, and one whose device tells how long it computed
a TimedEngine; nobody must be either.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.errors import EngineError
from handfirst.engines.spec import EngineSpec, TensorSpec

if TYPE_CHECKING:
    from handfirst.engines.cuda.lane import Lane

Array = NDArray[Any]


class Engine(Protocol):
    """One opened graph. `run` may be called from many threads at once."""

    @property
    def name(self) -> str:
        """The role it plays, for messages."""
        ...

    @property
    def spec(self) -> EngineSpec:
        """What it takes and gives."""
        ...

    def run(self, inputs: Mapping[str, Array], wanted: Collection[str] | None = None) -> dict[str, Array]:
        """Outputs by name.

        Args:
            wanted: outputs that are needed, the only ones that come back; None: all of them.

        Raises:
            EngineError: an input does not match the spec, or there is no such output.
        """
        ...

    def close(self) -> None:
        """Frees what it holds; a later run raises EngineError."""
        ...


class DeviceArray(Protocol):
    """A tensor where an engine keeps it: a handle. What it holds never changes, whatever runs after."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its sizes."""
        ...

    @property
    def dtype(self) -> str:
        """As specs write it: "float32"."""
        ...

    @property
    def place(self) -> str:
        """The library and the device that it lies on; see DeviceEngine."""
        ...

    def numpy(self) -> Array:
        """A copy on the host."""
        ...


Tensor = Array | DeviceArray


@runtime_checkable
class DeviceEngine(Engine, Protocol):
    """An engine whose tensors can stay on its device between runs."""

    @property
    def place(self) -> str:
        """The library and the device: engines of equal places take each other's handles, others never do."""
        ...

    def upload(self, array: Array) -> DeviceArray:
        """A copy of the array on the device."""
        ...

    def run_resident(
        self, inputs: Mapping[str, Tensor], keep: Collection[str], wanted: Collection[str] | None = None
    ) -> dict[str, Tensor]:
        """As `run`, but outputs in `keep` are handles.

        Raises:
            EngineError: as `run`, or an input is a handle of another place.
        """
        ...


@runtime_checkable
class TimedEngine(Engine, Protocol):
    """An engine whose device tells how long it computed."""

    def run_timed(
        self, inputs: Mapping[str, Tensor], keep: Collection[str] = (), wanted: Collection[str] | None = None
    ) -> tuple[dict[str, Tensor], float | None]:
        """As `run`, and the seconds that the device computed by its own clock; None where it has none.

        Args:
            keep: outputs that stay on the device as handles; for a DeviceEngine alone.
        """
        ...


@runtime_checkable
class LayeredEngine(Engine, Protocol):
    """An engine whose library tells what it made of the graph."""

    def layers(self) -> dict[str, Any]:
        """What the library tells of everything that it compiled for this engine and holds now, by shapes of the inputs,
        in its own words; JSON can hold it.

        Raises:
            EngineError: a closed engine, or the library does not tell.
        """
        ...


@dataclass(frozen=True)
class Placed:
    """A tensor in memory of a device that somebody else holds."""

    address: int
    """Where it begins on the device."""
    shape: tuple[int, ...]
    """Its sizes, in C order."""
    dtype: str
    """As specs write it."""

    @property
    def nbytes(self) -> int:
        """Bytes from the address on."""
        return nbytes(self.shape, self.dtype)


def nbytes(shape: tuple[int, ...], dtype: str) -> int:
    """Bytes of a tensor in C order."""
    return prod(shape) * (2 if dtype == "bfloat16" else np.dtype(dtype).itemsize)  # NumPy alone lacks that name


@runtime_checkable
class StreamEngine(Engine, Protocol):
    """An engine that can work on a stream that others give work to as well, in memory that they share."""

    @property
    def lane(self) -> Lane | None:
        """The GPU and its stream: engines of one lane work after each other without a wait; None: not here."""
        ...

    @property
    def captured(self) -> bool:
        """Whether its work may be captured with that of others into one CUDA graph; else it captures by itself."""
        ...

    @property
    def computes_in(self) -> object:
        """The memory that runs use besides their tensors: once this differs, what was captured before is stale."""
        ...

    def bind(self, tensors: Mapping[str, Placed]) -> Callable[[], None]:
        """A call that queues one run on the lane's stream, reading and writing these tensors; it waits for nothing.

        Args:
            tensors: every input and output by name, in memory of the lane's GPU that outlives the call.

        Raises:
            EngineError: they do not match the spec, or the library refuses them.
        """
        ...


def check_placed(spec: EngineSpec, tensors: Mapping[str, Placed], name: str) -> None:
    """Inputs and outputs that are to be bound, as `check_inputs` and `check_outputs`.

    Raises:
        EngineError: one line with the tensor, what was expected and what came.
    """
    stands = {key: _Shape(placed.shape, placed.dtype) for key, placed in tensors.items()}
    given = {tensor.name for tensor in spec.outputs}
    inputs: dict[str, Any] = {key: value for key, value in stands.items() if key not in given}
    check_inputs(spec, inputs, name)
    if missing := sorted(given - stands.keys()):
        raise EngineError(f"{name}: no memory was given for output {', '.join(missing)}")
    check_outputs(spec, inputs, {key: value for key, value in stands.items() if key in given}, name)


@dataclass(frozen=True)
class _Shape:
    shape: tuple[int, ...]
    dtype: str


def check_inputs(spec: EngineSpec, inputs: Mapping[str, Tensor], name: str, place: str | None = None) -> None:
    """Names, dtypes and shapes against the spec; an axis name stands for one size throughout, within its limits.

    Args:
        place: where handles among the inputs must lie; None: there must be none.

    Raises:
        EngineError: one line with the engine, the input, what was expected and what came.
    """
    wanted = {tensor.name: tensor for tensor in spec.inputs}
    if missing := sorted(wanted.keys() - inputs.keys()):
        raise EngineError(f"{name}: missing input {', '.join(missing)}; it takes {', '.join(wanted)}")
    if extra := sorted(inputs.keys() - wanted.keys()):
        raise EngineError(f"{name}: unknown input {', '.join(extra)}; it takes {', '.join(wanted)}")
    sizes: dict[str, int] = {}
    for key, tensor in wanted.items():
        _check_place(key, inputs[key], name, place)
        _check_one(tensor, inputs[key], sizes, name)
    for axis, limits in spec.limits.items():
        if axis in sizes and sizes[axis] not in limits:
            raise EngineError(
                f"{name}: expected {axis} {limits}, got {sizes[axis]}; export the bundle with other limits"
            )


def wanted_outputs(spec: EngineSpec, wanted: Collection[str] | None, name: str) -> tuple[TensorSpec, ...]:
    """The outputs that are asked for, in the order of the spec; see Engine.run.

    Raises:
        EngineError: one line with the outputs that there are not.
    """
    if wanted is None:
        return spec.outputs
    if unknown := sorted(set(wanted) - {tensor.name for tensor in spec.outputs}):
        there = ", ".join(tensor.name for tensor in spec.outputs)
        raise EngineError(f"{name}: unknown output {', '.join(unknown)}; it gives {there}")
    return tuple(tensor for tensor in spec.outputs if tensor.name in wanted)


def check_outputs(spec: EngineSpec, inputs: Mapping[str, Tensor], outputs: Mapping[str, Any], name: str) -> None:
    """What a graph gave against the spec; axes have the sizes that they have in the inputs.

    Args:
        inputs: that were checked.
        outputs: those that were wanted.

    Raises:
        EngineError: one line with the output, what was expected and what came: the graph is not what it says.
    """
    sizes = {axis: n for t in spec.inputs for axis, n in zip(t.shape, inputs[t.name].shape, strict=True)}
    known = {axis: n for axis, n in sizes.items() if isinstance(axis, str)}
    for tensor in wanted_outputs(spec, outputs.keys(), name):
        output = outputs[tensor.name]
        fits = str(output.dtype) == tensor.dtype and len(output.shape) == len(tensor.shape)
        if not fits or any(
            n != (axis if isinstance(axis, int) else known.setdefault(axis, n))
            for axis, n in zip(tensor.shape, output.shape, strict=True)
        ):
            wanted = [known.get(axis, axis) if isinstance(axis, str) else axis for axis in tensor.shape]
            raise EngineError(
                f"{name}: output '{tensor.name}' expected {tensor.dtype} {wanted} as in the manifest, got "
                f"{output.dtype} {list(output.shape)}; export the bundle again"
            )


def _check_place(key: str, array: Tensor, name: str, place: str | None) -> None:
    found = getattr(array, "place", None)
    if found is not None and found != place:
        takes = "an array" if place is None else f"an array or a handle on {place}"
        raise EngineError(f"{name}: input '{key}' expected {takes}, got a handle on {found}; give its numpy()")


def _check_one(tensor: TensorSpec, array: Tensor, sizes: dict[str, int], name: str) -> None:
    fits = str(array.dtype) == tensor.dtype and len(array.shape) == len(tensor.shape)
    if fits:
        for axis, size in zip(tensor.shape, array.shape, strict=True):
            fits = fits and (size == axis if isinstance(axis, int) else sizes.setdefault(axis, size) == size > 0)
    if not fits:
        axes = ", ".join(f"{a}={sizes[a]}" if isinstance(a, str) and a in sizes else str(a) for a in tensor.shape)
        raise EngineError(
            f"{name}: input '{tensor.name}' expected {tensor.dtype} [{axes}], got {array.dtype} "
            f"[{', '.join(map(str, array.shape))}]"
        )
