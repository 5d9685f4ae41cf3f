"""Running an onnxruntime session through IO binding: inputs and outputs where they lie, host or device.

A handle (OrtArray) holds an OrtValue of its own, so that nothing that runs later changes it. Knows nothing about
specs; ort.py checks. The CPU provider goes the same way, and there it is tested; on a GPU it has not run.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from handfirst.engines.cuda.lane import TURNS
from handfirst.engines.engine import Array, Placed

DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(bfloat16)": "bfloat16",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(uint8)": "uint8",
    "tensor(bool)": "bool",
}


class Place:
    """A device as onnxruntime names it.

    Args:
        ort: the library.
        provider: "cpu" or "cuda".
        index: which of them.
    """

    def __init__(self, ort: Any, provider: str, index: int = 0) -> None:
        self.device = (provider, index)
        self._ort = ort

    def __str__(self) -> str:
        return f"onnxruntime {self.device[0]}:{self.device[1]}"

    def turn(self) -> AbstractContextManager[Any]:
        """To hold while the device works; may be taken again by the thread that holds it."""
        return nullcontext() if self.device[0] == "cpu" else TURNS

    def wrap(self, array: Array) -> Any:
        """An OrtValue on the host over the array's own memory."""
        return self._ort.OrtValue.ortvalue_from_numpy(array)

    def upload(self, array: Array) -> Any:
        """A new OrtValue on the device; what happens to the array afterwards does not reach it."""
        own = np.array(array, order="C") if self.device[0] == "cpu" else np.asarray(array, order="C")
        with self.turn():
            return self._ort.OrtValue.ortvalue_from_numpy(own, *self.device)

    def empty(self, shape: tuple[int, ...], dtype: str) -> Any:
        """A new OrtValue on the device that holds anything."""
        return self._ort.OrtValue.ortvalue_from_shape_and_type(list(shape), np.dtype(dtype).type, *self.device)


class OrtArray:
    """A DeviceArray (see engine.py) that is an OrtValue."""

    def __init__(self, value: Any, place: Place) -> None:
        self.value = value
        self._place = place

    @property
    def shape(self) -> tuple[int, ...]:
        """Its sizes."""
        return tuple(self.value.shape())

    @property
    def dtype(self) -> str:
        """As specs write it."""
        kind = str(self.value.data_type())
        return DTYPES.get(kind, kind)

    @property
    def place(self) -> str:
        """Where it lies."""
        return str(self._place)

    def numpy(self) -> Array:
        """A copy on the host."""
        with self._place.turn():
            return np.array(self.value.numpy())  # the CPU's is a view that would write through

    def __repr__(self) -> str:
        return f"OrtArray({self.dtype} {list(self.shape)} on {self._place})"


def run_bound(
    session: Any,
    place: Place,
    inputs: Mapping[str, Array | OrtArray],
    outputs: Sequence[str],
    keep: Collection[str] = (),
    options: Any = None,
) -> dict[str, Array | OrtArray]:
    """One run in a binding of its own, so that threads do not meet.

    Args:
        inputs: arrays in C order, or handles on `place`.
        keep: outputs that stay on the device; the others come to the host.
        options: RunOptions.

    Returns:
        a handle per output in `keep`, and an array per other one; nobody else holds them.
    """
    binding = session.io_binding()
    for name, value in inputs.items():
        binding.bind_ortvalue_input(name, value.value if isinstance(value, OrtArray) else place.wrap(value))
    for name in outputs:
        binding.bind_output(name, *(place.device if name in keep else ("cpu", 0)))
    run_binding(session, binding, options)
    values = zip(outputs, binding.get_outputs(), strict=True)
    return {name: OrtArray(value, place) if name in keep else value.numpy() for name, value in values}


def bound_run(
    session: Any, place: Place, tensors: Mapping[str, Placed], inputs: Collection[str], options: Callable[[], Any]
) -> Callable[[], None]:
    """A call that runs the session over memory that somebody else holds on `place`, and waits for nothing.

    Args:
        tensors: every input and output.
        inputs: which of them are inputs.
        options: asked for RunOptions before each run.
    """
    binding = session.io_binding()
    for name, placed in tensors.items():
        bind = binding.bind_input if name in inputs else binding.bind_output
        bind(name, *place.device, _element(placed.dtype), list(placed.shape), placed.address)

    def run() -> None:
        with place.turn():
            session.run_with_iobinding(binding, options())

    return run


def _element(dtype: str) -> Any:
    """NumPy's type; bfloat16, which NumPy alone lacks, as ONNX numbers it."""
    return 16 if dtype == "bfloat16" else np.dtype(dtype).type


def run_binding(session: Any, binding: Any, options: Any) -> None:
    """Runs and waits until the outputs are there."""
    binding.synchronize_inputs()
    session.run_with_iobinding(binding, options)
    binding.synchronize_outputs()
