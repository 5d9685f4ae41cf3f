"""Protobuf messages without protobuf: walks the bytes by a table of fields and leaves large values where they lie.

Stricter than protobuf itself, so that no other parser can read the same bytes differently: a field that the table does
not have, a single field that stands twice, a wrong wire type and an overlong number are errors. Knows nothing about
what the messages mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from handfirst.engines.errors import BundleError

MAX_BYTES = (2 << 30) - 1
"""Protobuf's own limit for a message."""
MAX_DEPTH = 64
MAX_FIELDS = 1_000_000
"""Values outside packed lists: seconds of work at most. An operator with its names and attributes has about ten."""
MAX_TEXT = 1 << 16
MAX_SMALL = 1 << 12

VARINT, FIXED64, SIZED, FIXED32 = 0, 1, 2, 5
_CHUNK = 1 << 22


class Field(NamedTuple):
    """One line of a message's table.

    Attributes:
        name: as in the .proto file.
        kind: how it is read: "int" (a signed number); "text" (a str); "blob" (bytes that stay where they are: the
            length); "span" (the same: the range of their places); "bytes" (a copy of at most MAX_SMALL, None for
            more); "floats", "doubles", "varints" (only counted); "float" (skipped); else the name of a message.
        many: whether it repeats: a list of ints, texts and messages, the number of blobs.
    """

    name: str
    kind: str
    many: bool = False


Tables = Mapping[str, Mapping[int, Field]]
Message = dict[str, Any]
"""The fields that are there, by name."""

_ITEM = {"int": VARINT, "varints": VARINT, "float": FIXED32, "floats": FIXED32, "doubles": FIXED64}


def read_message(data: bytes, tables: Tables, message: str, where: str) -> Message:
    """Walks one message and all messages in it.

    Args:
        data: exactly one message.
        tables: fields by number, by message.
        message: the outermost one.
        where: what the bytes are, for messages of errors.

    Raises:
        BundleError: anything but such a message, more than 64 levels deep, or of 2 GiB or more.
    """
    return _Walk(data, tables, where).message(message, 0, len(data), 1)


class _Walk:
    def __init__(self, data: bytes, tables: Tables, where: str) -> None:
        self._data = data
        self._tables = tables
        self._where = where
        self._left = MAX_FIELDS
        if len(data) > MAX_BYTES:
            raise self._error("2 GiB or more in one file", 0)

    def message(self, name: str, at: int, end: int, depth: int) -> Message:
        if depth > MAX_DEPTH:
            raise self._error(f"nested deeper than {MAX_DEPTH} levels", at)
        table, found = self._tables[name], Message()
        while at < end:
            self._left -= 1
            if self._left < 0:
                raise self._error(f"more than {MAX_FIELDS} values", at)
            tag, begin = self._varint(at, end)
            field = table.get(tag >> 3)
            if field is None:
                raise self._error(f"unknown field {tag >> 3} of a {name}", at)
            if not field.many and field.name in found:
                raise self._error(f"{name}.{field.name} stands twice", at)
            at = self._value(field, tag & 7, begin, end, found, depth)
        return found

    def _value(self, field: Field, wire: int, at: int, end: int, found: Message, depth: int) -> int:
        """Reads one value into `found`; returns where the next field begins."""
        item = _ITEM.get(field.kind, SIZED)
        if wire == SIZED and (item == SIZED or field.many):
            size, begin = self._varint(at, end)
            if size > end - begin:
                raise self._error(f"{field.name} is longer than what is left", at)
            value = self._sized(field, begin, begin + size, depth)
            at = begin + size
        elif wire == item:
            value, at = self._item(field, item, at, end)
        else:
            raise self._error(f"{field.name} has the wrong type", at)
        _keep(field, value, found)
        return at

    def _sized(self, field: Field, at: int, end: int, depth: int) -> Any:
        if field.kind == "text":
            return self._text(at, end)
        if field.kind == "blob":
            return 1 if field.many else end - at
        if field.kind == "span":
            return range(at, end)
        if field.kind == "bytes":
            return self._data[at:end] if end - at <= MAX_SMALL else None
        if field.kind == "int":
            return self._ints(at, end)
        if field.kind == "varints":
            return self._count_varints(at, end)
        if field.kind in _ITEM:
            width = 8 if field.kind == "doubles" else 4
            if (end - at) % width:
                raise self._error(f"{field.name} ends within a number", at)
            return (end - at) // width
        return self.message(field.kind, at, end, depth + 1)

    def _item(self, field: Field, wire: int, at: int, end: int) -> tuple[Any, int]:
        """One number outside a packed list."""
        if wire == VARINT:
            number, at = self._varint(at, end)
            value = number - (1 << 64) if number >> 63 else number
            return ([value] if field.many else value) if field.kind == "int" else 1, at
        stop = at + (8 if wire == FIXED64 else 4)
        if stop > end:
            raise self._error(f"{field.name} ends within a number", at)
        return 1, stop

    def _ints(self, at: int, end: int) -> list[int]:
        values = []
        while at < end:
            self._left -= 1
            if self._left < 0:
                raise self._error(f"more than {MAX_FIELDS} values", at)
            number, at = self._varint(at, end)
            values.append(number - (1 << 64) if number >> 63 else number)
        return values

    def _count_varints(self, at: int, end: int) -> int:
        """As many as there are bytes without the continuation bit."""
        if at < end and self._data[end - 1] > 127:
            raise self._error("a number is cut off", end - 1)
        view = np.frombuffer(self._data, np.uint8, end - at, at) if at < end else np.empty(0, np.uint8)
        return sum(int(np.count_nonzero(view[i : i + _CHUNK] < 128)) for i in range(0, len(view), _CHUNK))

    def _text(self, at: int, end: int) -> str:
        if end - at > MAX_TEXT:
            raise self._error(f"a name of {end - at} bytes", at)
        try:
            return self._data[at:end].decode("utf-8")
        except UnicodeDecodeError as error:
            raise self._error("a name that is not UTF-8", at) from error

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        """An unsigned number of at most 64 bits, and where it ends."""
        value = 0
        for shift in range(0, 70, 7):
            if at >= end:
                raise self._error("a number is cut off", at)
            byte = self._data[at]
            at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                if value >> 64:
                    break
                return value, at
        raise self._error("a number of more than 64 bits", at)

    def _error(self, reason: str, at: int) -> BundleError:
        return BundleError(
            f"{self._where}: expected an ONNX graph, got bytes that are none ({reason}, at byte {at}); "
            "export the bundle again"
        )


def _keep(field: Field, value: Any, found: Message) -> None:
    if not field.many:
        found[field.name] = value
    elif isinstance(value, list):
        found.setdefault(field.name, []).extend(value)
    elif isinstance(value, int):
        found[field.name] = found.get(field.name, 0) + value
    else:
        found.setdefault(field.name, []).append(value)
