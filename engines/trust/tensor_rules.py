"""Tensors of a graph: as much data as their shapes and types need, inside the graph or inside a file of the bundle.

Knows nothing about operators, and nothing about the values of the data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sized
from math import prod

from handfirst.engines.errors import BundleError
from handfirst.engines.trust.onnx_file import EXTERNAL, OnnxGraph, Tensor

BITS: Mapping[int, int] = {
    1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 14: 64, 15: 128, 16: 16,
    17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4, 24: 8, 25: 2, 26: 2,
}  # fmt: skip
"""Bits of an element by onnx's number of its type; texts (8) are none of ours."""

STORES: Mapping[str, tuple[int, ...]] = {
    "float_data": (1, 14),
    "int32_data": (2, 3, 4, 5, 6, 9, 10, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26),
    "int64_data": (7,),
    "double_data": (11, 15),
    "uint64_data": (12, 13),
}
"""Which field holds which types where it is not raw_data."""

MAX_RANK = 16
EXPORT = "export the bundle again"


def check_tensors(main: OnnxGraph, data: Mapping[str, Sized], where: str) -> None:
    """Every tensor of a graph and its subgraphs.

    Args:
        main: the graph of the file.
        data: the files that its weights may lie in, by name; each must be used.
        where: what the graph is, for messages.

    Raises:
        BundleError: the first tensor whose shape, type and data do not agree, or that lies where it must not.
    """
    # libraries replace files by memory for these only; for others they would look on the disk
    allowed = {id(tensor) for tensor in main.initializers}
    used = set()
    for tensor in main.tensors():
        if tensor.location != EXTERNAL:
            _check_inline(tensor, where)
        elif id(tensor) in allowed:
            used.add(_check_place(tensor, data, where))
        else:
            raise BundleError(f"{where}: only weights may lie in other files, got one of an operator; {EXPORT}")
    if unused := sorted(data.keys() - used):
        raise BundleError(f"{where}: no weight lies in {names(unused)}, which the manifest lists for it; {EXPORT}")


def shown(text: str) -> str:
    """A name of the file for a message: quoted, short and on one line."""
    return repr(text[:60])


def names(several: Iterable[str]) -> str:
    """At most 100 characters of names; those of a graph may hold anything."""
    text = ", ".join(name if name.isprintable() else repr(name) for name in several)
    return text if len(text) <= 100 else text[:97] + "..."


def _check_inline(tensor: Tensor, where: str) -> None:
    needed = _size(tensor, where)
    if tensor.location != 0 or tensor.external or tensor.segment:
        raise BundleError(f"{where}: tensor {shown(tensor.name)} claims data in two places; {EXPORT}")
    if tensor.stored:
        (store, count), *more = tensor.stored.items()
        fits = not more and tensor.raw is None and tensor.data_type in STORES.get(store, ())
        # complex elements are two numbers; elements smaller than a byte are stored byte by byte
        bits = max(8, {14: 32, 15: 64}.get(tensor.data_type, BITS[tensor.data_type]))
        if fits and count * bits == needed * 8:
            return
        got = f"{count} numbers in {store}"
    else:
        if (tensor.raw or 0) == needed:
            return
        got = f"{tensor.raw or 0} bytes"
    raise BundleError(
        f"{where}: tensor {shown(tensor.name)} {_shape(tensor)} expected {needed} bytes of data, got {got}; {EXPORT}"
    )


def _check_place(tensor: Tensor, data: Mapping[str, Sized], where: str) -> str:
    """The file that an external tensor lies in, if all of it does."""
    name = f"weight {shown(tensor.name)} {_shape(tensor)}"
    needed = _size(tensor, where)
    place = dict(tensor.external)
    strange = sorted(place.keys() - {"location", "offset", "length", "checksum"})
    if strange or len(place) != len(tensor.external) or tensor.raw is not None or tensor.stored or tensor.segment:
        raise BundleError(f"{where}: {name} claims data in two places or in a way of its own; {EXPORT}")
    location = place.get("location", "")
    if location not in data:
        raise BundleError(
            f"{where}: {name} lies in {shown(location)}, expected {names(sorted(data)) or 'no other file'}; {EXPORT}"
        )
    offset, length = (_number(place.get(key, default)) for key, default in (("offset", "0"), ("length", "")))
    if offset is None or length != needed or offset + length > len(data[location]):
        raise BundleError(
            f"{where}: {name} expected {needed} bytes within the {len(data[location])} of {location}, got offset "
            f"{shown(place.get('offset', '0'))} and length {shown(place.get('length', ''))}; {EXPORT}"
        )
    return location


def _number(text: str) -> int | None:
    """Plain digits only: no sign, no blanks, no other scripts' digits."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


def _size(tensor: Tensor, where: str) -> int:
    """Bytes that the declared shape and type need."""
    bits = BITS.get(tensor.data_type)
    if bits is None:
        raise BundleError(f"{where}: tensor {shown(tensor.name)} has no numeric type; {EXPORT}")
    if len(tensor.dims) > MAX_RANK or any(not 0 <= dim < 1 << 40 for dim in tensor.dims):
        raise BundleError(f"{where}: tensor {shown(tensor.name)} cannot have the shape {_shape(tensor)}; {EXPORT}")
    return -(-prod(tensor.dims) * bits // 8)


def _shape(tensor: Tensor) -> str:
    return str(list(tensor.dims[:MAX_RANK]))[:100]
