"""What a file or folder says, record by record: JSON lines, a JSON list, or a folder of poses x a file of prompts.

Tables are in tables.py. Knows nothing about what a job may say. A spoilt record spoils no other; only what cannot be
read at all is an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, AnyStr

from handfirst.runtime.errors import BatchError
from handfirst.runtime.pose.content import each_name_once
from handfirst.runtime.pose.formats import FILES, PHOTOS, pose_files
from handfirst.runtime.system import JobKind

LONGEST_LINE = 16 << 20
LARGEST_LIST = 256 << 20
LARGEST_PROMPTS = 64 << 20
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Record:
    """One that could be read: what it says, without what it leaves empty."""

    line: int
    """In the file, from 1; in a list or in Parquet its number, in a folder that of the combination."""
    values: dict[str, Any]


@dataclass(frozen=True)
class BadRecord:
    """One that could not, and why."""

    line: int
    reason: str


def read_json_lines(path: Path) -> Iterator[Record | BadRecord]:
    """An object a line; empty lines are nothing."""
    with path.open("rb") as file:
        for number, line in enumerate(whole_lines(file, LONGEST_LINE), 1):
            data = line.removeprefix(_BOM) if number == 1 else line
            if len(data) > LONGEST_LINE:
                yield BadRecord(number, f"expected at most {LONGEST_LINE >> 20} MB in a line, got more")
            elif data.strip():
                yield _line(number, data)


def whole_lines(file: IO[AnyStr], longest: int) -> Iterator[AnyStr]:
    """Lines, cut off (and told by their length) where they are absurdly long."""
    while line := file.readline(longest + 1):
        rest = line
        while len(rest) > longest and rest[-1:] not in (b"\n", "\n"):
            rest = file.readline(longest + 1)
        yield line


def _line(number: int, data: bytes) -> Record | BadRecord:
    try:
        return _record(number, strict_json(data))
    except ValueError as error:
        return BadRecord(number, str(error))


def strict_json(data: bytes) -> object:
    """JSON in UTF-8 without NaN, and without an object in which a name stands twice.

    Raises:
        ValueError: it is something else; what, in one line.
    """
    try:
        return json.loads(data.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=each_name_once)
    except UnicodeDecodeError:
        raise ValueError("expected text in UTF-8, got other bytes") from None
    except RecursionError:
        raise ValueError("nested too deeply to be a job") from None
    except ValueError as error:
        raise ValueError(f"not valid JSON ({_brief(error)})") from None


def _record(number: int, value: object) -> Record | BadRecord:
    if isinstance(value, list):
        return BadRecord(number, "expected a JSON object, got list; a list of jobs goes into a file that ends in .json")
    if not isinstance(value, dict):
        return BadRecord(number, f"expected a JSON object, got {type(value).__name__}")
    return Record(number, {name: given for name, given in value.items() if given is not None})


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no number of JSON")


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:120]


def read_json(path: Path) -> Iterator[Record | BadRecord]:
    """A list of objects, {"jobs": [...]}, a single object, or lines after all.

    Raises:
        BatchError: it is none of these.
    """
    with path.open("rb") as file:
        data = file.read(LARGEST_LIST + 1)
    if len(data) > LARGEST_LIST:
        raise BatchError(f"'{path}' is larger than {LARGEST_LIST >> 20} MB; write it as JSON lines (.jsonl)")
    if not data.strip():
        return
    try:
        found = json.loads(data.decode("utf-8-sig"), object_pairs_hook=each_name_once)
    except UnicodeDecodeError as error:
        raise BatchError(f"'{path}': expected text in UTF-8, got other bytes") from error
    except RecursionError as error:
        raise BatchError(f"'{path}' is nested too deeply to be a list of jobs") from error
    except ValueError as error:
        if getattr(error, "msg", "") != "Extra data":  # something whole, and more after it
            raise BatchError(f"'{path}' is not valid JSON ({_brief(error)})") from error
        yield from read_json_lines(path)
        return
    for number, value in enumerate(_listed(found, path), 1):
        try:
            json.dumps(value, allow_nan=False)
        except ValueError:
            yield BadRecord(number, "not valid JSON (NaN and Infinity are no numbers of JSON)")
        else:
            yield _record(number, value)


def _listed(found: object, path: Path) -> list[object]:
    """The jobs of a file that was read whole."""
    if isinstance(found, dict) and found.keys() == {"jobs"}:
        found = found["jobs"]
    if isinstance(found, list):
        return found
    if isinstance(found, dict) and found and all(isinstance(value, dict) for value in found.values()):
        raise BatchError(f"'{path}' is written by columns; expected a list of jobs: to_json(..., orient='records')")
    if isinstance(found, dict):
        return [found]
    raise BatchError(f"'{path}': expected a list of jobs, got {type(found).__name__}")


def read_folder(kind: JobKind, folder: Path, prompts: Path) -> Iterator[Record | BadRecord]:
    """Every pose with every prompt: all prompts of the first pose, then those of the second.

    Raises:
        BatchError: there are no poses or no prompts.
    """
    if len(kind.files) != 1 or "prompt" not in kind.names:
        raise BatchError(
            f"'{folder}' is a folder, but a job of this model is no pose and a prompt; give a list of jobs"
        )
    poses, _ = pose_files(folder)
    if not poses:
        raise BatchError(f"'{folder}': expected pose files that end in {', '.join((*FILES, *PHOTOS))}, found none")
    with prompts.open("rb") as file:
        data = file.read(LARGEST_PROMPTS + 1)
    try:
        lines = re.split(r"\r\n?|\n", data.decode("utf-8-sig"))  # splitlines() also cuts at form feeds and the like
        words = [line.strip() for line in lines if line.strip()]
    except UnicodeDecodeError as error:
        raise BatchError(f"'{prompts}' is not a text file; expected a prompt on every line, in UTF-8") from error
    if not words or len(data) > LARGEST_PROMPTS:
        found = "none" if not words else f"more than {LARGEST_PROMPTS >> 20} MB"
        raise BatchError(f"'{prompts}': expected a prompt on every line, found {found}")
    for number, (pose, prompt) in enumerate(((pose, prompt) for pose in poses for prompt in words), 1):
        yield Record(number, {kind.files[0]: pose.name, "prompt": prompt})
