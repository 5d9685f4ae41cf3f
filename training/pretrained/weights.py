"""One file of weights -> tensors by name: .safetensors, the zip archives of torch 1.6 and later, and the plain pickles
before them. Nothing in a file is ever executed.

Numbers are mapped from the file, not copied, wherever they lie in one piece. Knows nothing about what the names mean.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, UntypedStorage

from handfirst.engines.errors import UserError
from handfirst.training.pretrained.file_kinds import Kind, kind_of, one_line
from handfirst.training.pretrained.inert import Described, HostileError, InertUnpickler, Storage

Weights = dict[str, Tensor]

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
"""What a file of torch.save before 1.6 begins with."""
LARGEST_PICKLE = 256 << 20
"""Bytes of the pickle in an archive, which may be packed; the numbers lie beside it."""
DEEPEST = 8
"""How many "state_dict" may lie in each other."""
ALIGNED = 64

Storages = Callable[[Storage], UntypedStorage]


def read_weights(file: Path) -> Weights:
    """All tensors of a .safetensors file, or of one that torch.save wrote; the first bytes say which it is.

    A "state_dict" inside (training checkpoints) is opened; what is no tensor is left out.

    Raises:
        UserError: no such file, another kind of file, a damaged one, or one that would call functions.
    """
    readers: dict[Kind, Callable[[Path], Weights]] = {
        "safetensors": load_file, "zip": read_archive, "pickle": read_legacy,
    }  # fmt: skip
    read = readers[kind_of(file)]
    with one_line(file, "damaged or not a checkpoint", "copy it again"):
        try:
            return dict(read(file))
        except HostileError as error:
            raise UserError(
                f"{file}: holds more than weights, and is not opened: it would call {error}; get it from its author "
                "as .safetensors, or convert it to that where you trust it"
            ) from error


def read_metadata(file: Path) -> dict[str, str]:
    """The words in the header of a .safetensors file; none for other kinds, or where there are none.

    Raises:
        UserError: as `read_weights`.
    """
    if kind_of(file) != "safetensors":
        return {}
    with (
        one_line(file, "damaged or not a checkpoint", "copy it again"),
        safe_open(file, framework="pt") as opened,
    ):
        return dict(opened.metadata() or {})


def without_prefix(weights: Weights, prefix: str) -> Weights:
    """The tensors whose names begin with `prefix`, under the rest of their names."""
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


def read_archive(file: Path) -> dict[str, Tensor]:
    """All tensors of a zip archive.

    Raises:
        ValueError: an archive of something else, or one that was packed anew.
        HostileError, and nearly anything else: from a damaged or hostile one; the caller makes one line of it.
    """
    with zipfile.ZipFile(file) as archive:
        members = {info.filename: info for info in archive.infolist()}
        root = next((name.removesuffix("data.pkl") for name in members if name.count("/") == 1
                     and name.endswith("/data.pkl")), None)  # fmt: skip
        if root is None:
            inside = next((n for n in members if n.lower().endswith((".ckpt", ".safetensors", ".pt", ".pth"))), None)
            raise ValueError(f"a zip archive with {inside} in it, unpack it first" if inside else "a zip archive")
        if f"{root}constants.pkl" in members:
            raise ValueError("a TorchScript program, which holds code")
        if members[f"{root}data.pkl"].file_size > LARGEST_PICKLE:
            raise ValueError("its pickle is absurdly large")
        if f"{root}byteorder" in members and archive.read(f"{root}byteorder")[:8] == b"big":
            raise ValueError("numbers with the most significant byte first")
        unpickler = InertUnpickler(io.BytesIO(archive.read(f"{root}data.pkl")))
        found = unpickler.load()
    mapped = _mapped(file)

    def storage(named: Storage) -> UntypedStorage:
        info = members[f"{root}data/{named.key}"]
        if info.compress_type != zipfile.ZIP_STORED:
            raise ValueError("its numbers are packed; save it with torch.save again")
        start = _start(file, info)
        if start + info.file_size > file.stat().st_size:
            raise ValueError("it is cut off")
        return _piece(mapped, start, info.file_size)

    return _tensors(found, storage)


def read_legacy(file: Path) -> dict[str, Tensor]:
    """All tensors of a file that torch.save wrote before 1.6.

    Raises:
        ValueError: another pickle than that.
        HostileError, and nearly anything else: as `read_archive`.
    """
    with file.open("rb") as stream:
        first = InertUnpickler(stream).load()
        if first != MAGIC or InertUnpickler(stream).load() != PROTOCOL:
            raise ValueError("a pickle that torch.save did not write; convert it to .safetensors")
        InertUnpickler(stream).load()  # about the machine that wrote it
        unpickler = InertUnpickler(stream)
        found = unpickler.load()
        places = _legacy_places(stream, InertUnpickler(stream).load(), unpickler.storages)
    mapped = _mapped(file)

    def storage(named: Storage) -> UntypedStorage:
        start = places[named.key]
        return _piece(mapped, start, named.numbers * named.dtype.itemsize)

    return _tensors(found, storage)


def _legacy_places(stream: IO[bytes], keys: Any, storages: dict[str, Storage]) -> dict[str, int]:
    """Where each storage's numbers begin: they follow each other, each behind its count."""
    places = {}
    for key in keys:
        named = storages[str(key)]
        count = int.from_bytes(stream.read(8), "little", signed=True)
        if count != named.numbers:
            raise ValueError("it is cut off, or its counts contradict each other")
        places[named.key] = stream.tell()
        stream.seek(count * named.dtype.itemsize, io.SEEK_CUR)
    return places


def _start(file: Path, info: zipfile.ZipInfo) -> int:
    """Where a member's bytes begin: behind its own header, whose padding the archive's directory does not know."""
    with file.open("rb") as stream:
        stream.seek(info.header_offset)
        header = stream.read(30)
    if len(header) < 30 or header[:4] != b"PK\x03\x04":
        raise ValueError("it is cut off")
    return info.header_offset + 30 + int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")


def _mapped(file: Path) -> UntypedStorage:
    """The whole file; what is written to it in memory does not reach the disk."""
    mapped = UntypedStorage.from_file(str(file), False, file.stat().st_size)
    assert isinstance(mapped, UntypedStorage)
    return mapped


def _piece(mapped: UntypedStorage, start: int, length: int) -> UntypedStorage:
    """Bytes of the file as a storage, copied where the processor could not read numbers from their place."""
    if start < 0 or length < 0 or start + length > len(mapped):
        raise ValueError("it is cut off")
    piece: UntypedStorage = mapped[start : start + length]
    return piece if start % ALIGNED == 0 else piece.clone()  # type: ignore[no-untyped-call]


def _tensors(found: Any, storages: Storages) -> dict[str, Tensor]:
    """The tensors of a dict, or of the "state_dict" in it."""
    for _ in range(DEEPEST):
        if not isinstance(found, dict) or not isinstance(found.get("state_dict"), dict):
            break
        found = found["state_dict"]
    if not isinstance(found, dict):
        raise ValueError("expected a dict of weights, got another object")
    opened: dict[str, UntypedStorage] = {}
    weights = {}
    for name, value in found.items():
        if isinstance(value, Described):
            if value.storage.key not in opened:
                opened[value.storage.key] = storages(value.storage)
            weights[str(name)] = _tensor(str(name), value, opened[value.storage.key])
    return weights


def _tensor(name: str, described: Described, storage: UntypedStorage) -> Tensor:
    """The tensor as described, unless that makes no sense.

    Raises:
        ValueError: a shape that its storage does not fill.
    """
    _, offset, shape, stride, dtype = described
    numbers = [offset, *shape, *stride]
    if not isinstance(dtype, torch.dtype) or len(shape) != len(stride) or len(shape) > 8:
        raise ValueError(f"{name} is no plain tensor")
    if not all(type(number) is int and 0 <= number < 1 << 48 for number in numbers):
        raise ValueError(f"{name} has an impossible shape {shape!s:.60}")
    last = offset + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
    has = storage.nbytes() // dtype.itemsize
    if math.prod(shape) > has or (math.prod(shape) and last >= has):
        raise ValueError(f"{name} has shape {tuple(shape)!s:.60}, but the file holds {has} numbers for it")
    if not math.prod(shape):
        return torch.empty(tuple(shape), dtype=dtype)
    return torch.empty(0, dtype=dtype).set_(storage, offset, tuple(shape), tuple(stride))
