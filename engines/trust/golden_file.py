"""Reference tensors out of an .npz: every array's header is compared with the engines before its data is unpacked.

numpy's own reader allocates whatever a header claims; this one does not. Knows nothing about what the tensors mean.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from math import prod
from typing import IO

import numpy as np

from handfirst.engines.engine import Array
from handfirst.engines.errors import BundleError
from handfirst.engines.spec import EngineSpec, TensorSpec

MAX_UNPACKED = 1 << 30
"""Bytes of all arrays together; those of the largest models are a tenth of it."""

DTYPES = ("float16", "float32", "float64", "int32", "int64", "uint8", "bool")
"""Golden tensors may be stored smaller than the engine's own dtype."""


def read_golden(data: bytes, specs: Mapping[str, EngineSpec], where: str) -> dict[str, Array]:
    """The arrays of an .npz, "{role}.in.{tensor}" and "{role}.out.{tensor}".

    Args:
        data: the file's bytes.
        specs: every engine's spec by role; each array must be one of their tensors.
        where: what the file is, for messages.

    Raises:
        BundleError: not an .npz, a name of no tensor, a shape or dtype that does not fit, or more than it says.
    """
    tensors = {
        f"{role}.{side}.{tensor.name}.npy": tensor
        for role, spec in specs.items()
        for side, several in (("in", spec.inputs), ("out", spec.outputs))
        for tensor in several
    }
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            _check_members(members, tensors, where)
            return {
                member.filename.removesuffix(".npy"): _read(archive, member, tensors[member.filename], where)
                for member in members
            }
    except BundleError:
        raise
    except Exception as error:  # zipfile, zlib and numpy raise a dozen kinds on broken files
        raise BundleError(f"{where} is not an .npz of plain arrays; export the bundle again") from error


def _check_members(members: list[zipfile.ZipInfo], tensors: Mapping[str, TensorSpec], where: str) -> None:
    names = [member.filename for member in members]
    if len(set(names)) != len(names):
        raise BundleError(f"{where} holds a tensor twice; export the bundle again")
    if unknown := sorted(set(names) - tensors.keys()):
        raise BundleError(f"{where} holds {unknown[0][:60]!r}, which no engine takes or gives; export the bundle again")
    total = sum(member.file_size for member in members)
    if total > MAX_UNPACKED:
        raise BundleError(
            f"{where} would unpack to {total} bytes, expected at most {MAX_UNPACKED}; export the bundle again"
        )


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo, tensor: TensorSpec, where: str) -> Array:
    with archive.open(member) as file:
        shape, fortran, dtype = _header(file)
        size = prod(shape) * dtype.itemsize
        fits = dtype.name in DTYPES and len(shape) == len(tensor.shape)
        fits = fits and all(a == b for a, b in zip(tensor.shape, shape, strict=False) if isinstance(a, int))
        if not fits or size > member.file_size:
            got = f"{dtype.name[:20]} {str(list(shape))[:60]} in {member.file_size} bytes"
            raise BundleError(
                f"{where}: {member.filename[:80]} expected {list(tensor.shape)} as in the graph's spec, got {got}; "
                "export the bundle again"
            )
        content = file.read(size + 1)
    if len(content) != size:
        raise ValueError("more or less data than the header says")
    array: Array = np.frombuffer(bytearray(content), dtype).reshape(shape, order="F" if fortran else "C")
    return array


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[np.generic]]:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(file)
    raise ValueError("a newer .npy format")
