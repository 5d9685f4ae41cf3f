"""Tables of jobs as spreadsheets and pandas write them: CSV and Parquet.

What a spreadsheet adds is read past: blank rows, columns without a name, an index, a mark at the beginning of the file,
";" or tabs between the cells. A table whose head is wrong has no row that is right; a spoilt row spoils no other.
Knows nothing about what a job may say, but for the names of its columns.
"""

from __future__ import annotations

import csv
import json
import re
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from handfirst.runtime.batch.records import BadRecord, Record, whole_lines
from handfirst.runtime.errors import BatchError
from handfirst.runtime.system import JobKind

SEPARATORS = ",;\t"
LONGEST_LINE = 4 << 20
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_NAMED_SEPARATOR = re.compile(r'"?sep=([,;\t|])"?\s*', re.IGNORECASE)
_NO_NAME = re.compile(r"(Unnamed: \d+(_level_\d+)?)?")
"""Nothing, or what pandas calls that when it reads it."""
_INDEX = re.compile(r"__index_level_\d+__")

_Column = str | None
"""The name of a column; None for an index, which is read past; "" has no name, and nothing may stand in it."""


def read_csv(kind: JobKind, path: Path) -> Iterator[Record | BadRecord]:
    """Rows of text, with the separator that makes the most names of columns out of the first one.

    Raises:
        BatchError: the first row that is not blank does not name columns of jobs.
    """
    with path.open("rb") as file:
        utf16 = file.read(2) in _UTF16
    errors = "strict" if utf16 else "surrogateescape"  # there it spoils a row only
    with path.open(encoding="utf-16" if utf16 else "utf-8-sig", errors=errors, newline="") as file:
        try:
            yield from _csv_rows(kind, path, whole_lines(file, LONGEST_LINE))
        except UnicodeDecodeError as error:
            raise BatchError(f"'{path}' is no whole text in UTF-16; save it again as CSV in UTF-8") from error


def _csv_rows(kind: JobKind, path: Path, text: Iterator[str]) -> Iterator[Record | BadRecord]:
    lines = _Lines(text)
    separator = _head(kind, lines)
    reader = csv.reader(lines, delimiter=separator, strict=True)
    names = _next(reader)
    if isinstance(names, str):
        raise BatchError(f"'{path}': its first row cannot be read as CSV ({names})")
    columns = _columns(kind, [name.strip() for name in names or []], path)
    while True:
        number = lines.begin()
        cells = _next(reader)
        if cells is None:
            return
        if lines.endless():
            yield BadRecord(number, f"expected at most {LONGEST_LINE >> 20} MB in a line, got more")
        elif isinstance(cells, str):
            lines.spoilt()
            yield BadRecord(number, f'not valid CSV ({cells}); every " needs its partner')
        elif record := _csv_row(number, columns, cells):
            yield record


class _Lines(Iterator[str]):
    """Lines, of which a spoilt row gets only its first: a quotation mark without its partner would take all of them."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._again: deque[str] = deque()
        self._row: list[str] = []
        self._over = 0

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._lines)
        self._row.append(line)
        return line

    def begin(self) -> int:
        """A row begins; its number, that of its first line, from 1."""
        self._over += len(self._row)
        self._row.clear()
        return self._over + 1

    def endless(self) -> bool:
        """Whether a line of the row was cut off."""
        return any(len(line) > LONGEST_LINE for line in self._row)

    def spoilt(self, kept: int = 1) -> None:
        """Gives the row's lines out again, but for the first `kept`."""
        self._again.extendleft(reversed(self._row[kept:]))
        del self._row[kept:]


def _head(kind: JobKind, lines: _Lines) -> str:
    """What separates cells, told from the first line that is not blank: it names the columns and is read next."""
    for line in lines:
        if said := _NAMED_SEPARATOR.fullmatch(line):
            return said[1]
        if line.strip(SEPARATORS + '" \r\n'):
            lines.spoilt(kept=0)
            break
        lines.begin()
    else:
        return SEPARATORS[0]
    known = {sign: sum(cell.strip('" \r\n') in kind.names for cell in line.split(sign)) for sign in SEPARATORS}
    return max(known, key=lambda sign: known[sign])


def _next(reader: Any) -> list[str] | str | None:
    """The next row's cells, or what is wrong with it; None at the end."""
    try:
        cells: list[str] | None = next(reader, None)
        return cells
    except csv.Error as error:
        return str(error)


def _csv_row(number: int, columns: Sequence[_Column], cells: list[str]) -> Record | BadRecord | None:
    if all(_blank(cell) for cell in cells):
        return None
    if any("\udc80" <= sign <= "\udcff" for cell in cells for sign in cell):
        return BadRecord(number, "expected text in UTF-8, got other bytes; save the table as CSV in UTF-8")
    needed = len(columns) - next((i for i, name in enumerate(reversed(columns)) if name), 0)
    if len(cells) < needed or not all(_blank(cell) for cell in cells[len(columns) :]):
        advice = "is one missing?" if len(cells) < needed else "text that holds a separator goes in quotes"
        return BadRecord(number, f"expected {len(columns)} cells, got {len(cells)}; {advice}")
    return _record(number, columns, cells)


def read_parquet(kind: JobKind, path: Path) -> Iterator[Record | BadRecord]:
    """Rows of a Parquet file.

    Raises:
        BatchError: it is none, its columns are not those of jobs, or its library is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise BatchError("Parquet needs the batch extra; run: pip install 'handfirst[batch]'") from error
    try:
        file = pyarrow.parquet.ParquetFile(path)
        schema = file.schema_arrow
        index = _pandas_index(schema.metadata)
        batches = file.iter_batches(1024)
    except Exception as error:
        raise _no_parquet(path, error) from error
    with file:
        columns = _columns(kind, schema.names, path, index)
        number = 0
        while True:
            try:
                batch = next(batches, None)
                rows = [] if batch is None else [_said(cells) for cells in zip(*_cells(batch), strict=True)]
            except Exception as error:
                raise _no_parquet(path, error) from error
            if batch is None:
                return
            for cells in rows:
                number += 1
                if record := _record(number, columns, cells):
                    yield record


def _cells(batch: Any) -> list[list[Any]]:
    """By column, as two columns may have the same name."""
    return [column.to_pylist() for column in batch.columns]


def _said(value: Any) -> Any:
    """A value without the fields that are null: in Parquet all structs of a column have the same, said or not."""
    if isinstance(value, dict):
        return {name: _said(given) for name, given in value.items() if given is not None}
    return [_said(given) for given in value] if isinstance(value, list | tuple) else value


def _pandas_index(metadata: dict[bytes, bytes] | None) -> set[str]:
    """The columns that pandas has written as its index."""
    try:
        described = json.loads((metadata or {}).get(b"pandas", b"{}"))
        return {name for name in described.get("index_columns", ()) if isinstance(name, str)}
    except (ValueError, AttributeError, TypeError, RecursionError):  # it is a remark of the writer's, no more
        return set()


def _no_parquet(path: Path, error: Exception) -> Exception:
    """What is wrong with the file; the library says it with errors of many kinds."""
    if isinstance(error, OSError) and error.errno is not None:
        return error
    return BatchError(f"'{path}' cannot be read as Parquet ({' '.join(str(error).split())[:120]})")


def _columns(kind: JobKind, names: Sequence[str], path: Path, index: Collection[str] = ()) -> list[_Column]:
    """What the columns of a table are.

    Args:
        index: columns that are an index, unless they are what a job says.
    """
    columns: list[_Column] = []
    for name in names:
        if name in kind.names:
            columns.append(name)
        elif name in index or _INDEX.fullmatch(name):
            columns.append(None)
        elif _NO_NAME.fullmatch(name):
            columns.append("" if any(columns) else None)  # an index comes first
        else:
            raise BatchError(f"'{path}': unknown column {ascii(name)[:60]}; a job has {', '.join(kind.names)}")
    named = [name for name in columns if name]
    if len(set(named)) < len(named):
        raise BatchError(f"'{path}': expected every column once, got {', '.join(named)}")
    if missing := [name for name in kind.required if name not in named]:
        raise BatchError(f"'{path}': expected a column '{missing[0]}', got {', '.join(named) or 'none'}")
    return columns


def _record(number: int, columns: Sequence[_Column], cells: Sequence[Any]) -> Record | BadRecord | None:
    """What a row says; None where it is blank."""
    values: dict[str, Any] = {}
    for place, (name, cell) in enumerate(zip(columns, cells, strict=False), 1):
        if name is None or _blank(cell):
            continue
        if not name:
            return BadRecord(number, f"expected nothing in column {place}, which has no name, got {cell!a:.60}")
        values[name] = cell
    return Record(number, values) if values else None


def _blank(cell: Any) -> bool:
    """Nothing, white space, or the NaN that stands for nothing in a column of numbers."""
    return cell is None or (isinstance(cell, str) and not cell.strip()) or (isinstance(cell, float) and cell != cell)
