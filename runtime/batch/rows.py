"""Files of jobs as rows: JSON lines, CSV, Parquet, or a folder of poses x a file of prompts.

Knows nothing about what a job may say. A spoilt row spoils no other; only what cannot be read at all is an error.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from handfirst.runtime.errors import BatchError
from handfirst.runtime.pose.formats import FILES, PHOTOS, pose_files
from handfirst.runtime.system import JobKind

LONGEST_LINE = 16 << 20
READERS = (".jsonl", ".ndjson", ".csv", ".parquet")
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Row:
    """One row that could be read: what it says, without what it leaves empty."""

    line: int
    """In the file, from 1; for Parquet the row, for a folder the combination."""
    values: dict[str, Any]


@dataclass(frozen=True)
class BadRow:
    """One that could not, and why."""

    line: int
    reason: str


def read_rows(kind: JobKind, path: Path, prompts: Path | None = None) -> Iterator[Row | BadRow]:
    """The rows of `path`, in their order.

    Args:
        kind: what a job may say: a table's columns are checked against it.
        path: a file that ends in one of READERS, or a folder of pose files.
        prompts: for a folder: a text file with a prompt on every line.

    Raises:
        BatchError: it cannot be read, is of another kind, or has no rows.
    """
    if path.is_dir() != (prompts is not None):
        raise BatchError(
            f"'{path}' is a folder of poses; add --prompts FILE with a prompt on every line"
            if prompts is None
            else f"--prompts goes with a folder of poses, but '{path}' is none; jobs in a file have their own prompts"
        )
    if not path.is_dir() and path.suffix.lower() not in READERS:
        raise BatchError(f"expected a folder or a file that ends in {', '.join(READERS)}, got '{path}'")
    rows = _rows(kind, path, prompts)
    try:
        first = next(rows, None)
        if first is None:
            raise BatchError(f"'{path}': expected jobs, found none")
        yield first
        yield from rows
    except OSError as error:
        raise BatchError(f"'{error.filename or path}' cannot be read ({error.strerror or error})") from error


def _rows(kind: JobKind, path: Path, prompts: Path | None) -> Iterator[Row | BadRow]:
    if prompts is not None:
        return _product(kind, path, prompts)
    table = {".csv": _csv, ".parquet": _parquet}.get(path.suffix.lower())
    return _json_lines(path) if table is None else table(kind, path)


def _json_lines(path: Path) -> Iterator[Row | BadRow]:
    with path.open("rb") as file:
        for number, line in enumerate(_lines(file), 1):
            data = line.removeprefix(_BOM) if number == 1 else line
            if len(data) > LONGEST_LINE:
                yield BadRow(number, f"expected at most {LONGEST_LINE >> 20} MB in a line, got more")
            elif data.strip():
                yield _json_row(number, data)


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Lines, cut off (and told by their length) where they are absurdly long."""
    while line := file.readline(LONGEST_LINE + 1):
        rest = line
        while len(rest) > LONGEST_LINE and not rest.endswith(b"\n"):
            rest = file.readline(LONGEST_LINE + 1)
        yield line


def _json_row(number: int, data: bytes) -> Row | BadRow:
    try:
        value = json.loads(data.decode("utf-8"), parse_constant=_no_constant)
    except UnicodeDecodeError:
        return BadRow(number, "expected text in UTF-8, got other bytes")
    except RecursionError:
        return BadRow(number, "nested too deeply to be a job")
    except ValueError as error:
        return BadRow(number, f"not valid JSON ({' '.join(str(error).split())[:120]})")
    if not isinstance(value, dict):
        return BadRow(number, f"expected a JSON object, got {type(value).__name__}")
    return Row(number, {name: given for name, given in value.items() if given is not None})


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no number of JSON")


def _csv(kind: JobKind, path: Path) -> Iterator[Row | BadRow]:
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file)
        names = _next(reader)
        if isinstance(names, str):
            raise BatchError(f"'{path}': its first line cannot be read as CSV ({names})")
        columns = _columns(kind, [name.strip() for name in names or []], path)
        while (cells := _next(reader)) is not None:
            if cells:
                yield _csv_row(reader.line_num, columns, cells)


def _next(reader: Any) -> list[str] | str | None:
    """The next line's cells, or what is wrong with it; None at the end."""
    try:
        cells: list[str] | None = next(reader, None)
        return cells
    except csv.Error as error:
        return str(error)


def _csv_row(number: int, columns: list[str], cells: list[str] | str) -> Row | BadRow:
    if isinstance(cells, str):
        return BadRow(number, f"not valid CSV ({cells})")
    if len(cells) != len(columns):
        return BadRow(number, f"expected {len(columns)} cells, got {len(cells)}")
    if any("\udc80" <= sign <= "\udcff" for cell in cells for sign in cell):
        return BadRow(number, "expected text in UTF-8, got other bytes")
    return Row(number, {name: cell for name, cell in zip(columns, cells, strict=True) if cell.strip()})


def _parquet(kind: JobKind, path: Path) -> Iterator[Row | BadRow]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise BatchError("Parquet needs the batch extra; run: pip install 'handfirst[batch]'") from error
    try:
        file = pyarrow.parquet.ParquetFile(path)
        names = file.schema_arrow.names
        batches = file.iter_batches(1024)
    except Exception as error:
        raise _no_parquet(path, error) from error
    with file:
        _columns(kind, names, path)
        number = 0
        while True:
            try:
                batch = next(batches, None)
                table = [] if batch is None else batch.to_pylist()
            except Exception as error:
                raise _no_parquet(path, error) from error
            if batch is None:
                return
            for values in table:
                number += 1
                yield Row(number, {name: value for name, value in values.items() if value is not None})


def _no_parquet(path: Path, error: Exception) -> Exception:
    """What is wrong with the file; the library says it with errors of many kinds."""
    if isinstance(error, OSError) and error.errno is not None:
        return error
    return BatchError(f"'{path}' cannot be read as Parquet ({' '.join(str(error).split())[:120]})")


def _columns(kind: JobKind, names: list[str], path: Path) -> list[str]:
    """The names of a table's columns: a table whose head is wrong has no row that is right."""
    if unknown := sorted(set(names) - set(kind.names)):
        raise BatchError(f"'{path}': unknown column {ascii(unknown[0])[:60]}; a job has {', '.join(kind.names)}")
    if len(set(names)) < len(names):
        raise BatchError(f"'{path}': expected every column once, got {', '.join(names)}")
    if missing := [name for name in kind.required if name not in names]:
        raise BatchError(f"'{path}': expected a column '{missing[0]}', got {', '.join(names) or 'none'}")
    return names


def _product(kind: JobKind, folder: Path, prompts: Path) -> Iterator[Row | BadRow]:
    """Every pose with every prompt: all prompts of the first pose, then those of the second."""
    if len(kind.files) != 1 or "prompt" not in kind.names:
        raise BatchError(
            f"'{folder}' is a folder, but a job of this model is no pose and a prompt; give a list of jobs"
        )
    poses, _ = pose_files(folder)
    if not poses:
        raise BatchError(f"'{folder}': expected pose files that end in {', '.join((*FILES, *PHOTOS))}, found none")
    try:
        words = [line.strip() for line in prompts.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise BatchError(f"'{prompts}' is not a text file; expected a prompt on every line, in UTF-8") from error
    if not words:
        raise BatchError(f"'{prompts}': expected a prompt on every line, found none")
    number = 0
    for pose in poses:
        for prompt in words:
            number += 1
            yield Row(number, {kind.files[0]: pose.name, "prompt": prompt})
