"""Does a graph take and give what its spec says? Compared before anything runs, in the words of no library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from handfirst.engines.errors import BundleError
from handfirst.engines.spec import EngineSpec, TensorSpec


@dataclass(frozen=True)
class Port:
    """An input or output as the library reads it from the graph; a free axis is a name, "?" or None."""

    dtype: str
    shape: tuple[int | str | None, ...]


def check_ports(spec: EngineSpec, inputs: Mapping[str, Port], outputs: Mapping[str, Port], source: str) -> None:
    """Same names, dtypes and ranks; an axis that is fixed in the graph has the same size in the spec.

    Raises:
        BundleError: one line with the first tensor that differs, what the manifest says and what the graph says.
    """
    _check("input", spec.inputs, inputs, source)
    _check("output", spec.outputs, outputs, source)


def _check(kind: str, tensors: Sequence[TensorSpec], ports: Mapping[str, Port], source: str) -> None:
    if sorted(ports) != sorted(tensor.name for tensor in tensors):
        raise BundleError(
            f"{source}: the manifest names {kind}s {', '.join(t.name for t in tensors)}, the graph has "
            f"{', '.join(ports)}; export the bundle again"
        )
    for tensor in tensors:
        port = ports[tensor.name]
        if not _fits(tensor, port):
            raise BundleError(
                f"{source}: {kind} {tensor.name} is {tensor.dtype} {list(tensor.shape)} in the manifest but "
                f"{port.dtype} {list(port.shape)} in the graph; export the bundle again"
            )


def _fits(tensor: TensorSpec, port: Port) -> bool:
    if port.dtype != tensor.dtype or len(port.shape) != len(tensor.shape):
        return False
    return all(axis == size for axis, size in zip(tensor.shape, port.shape, strict=True) if isinstance(size, int))
