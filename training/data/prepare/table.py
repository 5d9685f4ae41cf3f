"""Captions that people wrote for whole sequences: a CSV file whose lines say whose hands they are.

The form of the file stands in captions.csv, which is shipped as a template. Knows nothing about pictures.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import resources
from pathlib import Path

from handfirst.engines.errors import UserError
from handfirst.engines.files import atomic_path, sha256
from handfirst.training.data.prepare.settings import CaptionTable
from handfirst.training.data.record import Record

TEMPLATE = "captions.csv"
WRITTEN = "written"
"""The attribute of a record that what the table says about its hands is put into."""
ATTRIBUTES = {"capture": "capture", "subject": "user", "sequence": "sequence"}
"""Columns that name pictures, beside `source`, and the attributes that they are compared with."""
NAMES = ("source", *ATTRIBUTES)
WORDS = ("gender", "skin", "look", "caption")
ANY = ("", "*")


@dataclass(frozen=True)
class Line:
    """One line: which pictures (nothing stands for any), and what is said about them."""

    names: tuple[str, ...]
    words: tuple[str, ...]

    @property
    def named(self) -> int:
        """How much it names; the more, the more it counts."""
        return sum(name not in ANY for name in self.names)

    def fits(self, names: tuple[str, ...]) -> bool:
        return all(mine in ANY or mine == name for mine, name in zip(self.names, names, strict=True))

    @property
    def caption(self) -> str:
        return self.words[3]

    @property
    def look(self) -> str:
        """ "of a woman, light skin, long red nails"; nothing where nothing is said."""
        gender, skin, look, _ = self.words
        owner = "" if not gender else f"of an {gender}" if gender[0] in "aeiou" else f"of a {gender}"
        tone = "" if not skin else skin if "skin" in skin.split() else f"{skin} skin"
        said = ", ".join(word for word in (tone, look) if word)
        return f"{owner}, {said}" if owner and said else owner or (f"with {said}" if said else "")


def read_lines(text: str, where: str) -> list[Line]:
    """The lines of a table that say something.

    Raises:
        UserError: other columns; a line that is too long or too short.
    """
    rows = csv.reader(line for line in io.StringIO(text) if line.strip() and not line.startswith("#"))
    head = [name.strip() for name in next(rows, [])]
    if missing := [name for name in (*NAMES, *WORDS) if name not in head]:
        raise UserError(f"{where}: expected the columns {', '.join((*NAMES, *WORDS))}, found no {missing[0]}")
    lines = []
    for number, row in enumerate(rows, 2):
        if len(row) != len(head):
            raise UserError(
                f"{where}: line {number} below the head has {len(row)} columns, expected {len(head)}; "
                'a text with commas stands in quotes: "..."'
            )
        value = dict(zip(head, (" ".join(cell.split()) for cell in row), strict=True))
        lines.append(Line(tuple(value[name] for name in NAMES), tuple(value[word] for word in WORDS)))
    return [line for line in lines if any(line.words)]


def named_table(path: Path) -> CaptionTable:
    """A table as settings name it: what it says counts, not where it lies.

    Raises:
        UserError: it cannot be read, is no such table, or says nothing.
    """
    text = _text(path)
    if not read_lines(text, str(path)):
        raise UserError(f"{path}: no line says anything yet; fill in gender, skin, look or caption")
    return CaptionTable(path=str(path), sha256=sha256(text.encode()))


def described(record: Record, table: CaptionTable) -> Record:
    """The record with what the table says about it; as it is where that is nothing, or where it has a caption."""
    if record.caption is not None:
        return record
    names = (record.source, *(record.attributes.get(name, "") for name in ATTRIBUTES.values()))
    line = _found(table, names)
    if line is None:
        return record
    if line.caption:
        return replace(record, caption=line.caption)
    return replace(record, attributes={**record.attributes, WRITTEN: line.look})


@lru_cache(maxsize=4096)
def _found(table: CaptionTable, names: tuple[str, ...]) -> Line | None:
    fitting = [line for line in _lines(table) if line.fits(names)]
    return max(fitting, key=lambda line: line.named, default=None)


@lru_cache(maxsize=2)
def _lines(table: CaptionTable) -> list[Line]:
    text = _text(Path(table.path))
    if sha256(text.encode()) != table.sha256:
        raise UserError(f"{table.path}: was changed meanwhile; run the same command again")
    return read_lines(text, table.path)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: expected a CSV file in UTF-8 ({error})") from error


def write_template(path: Path, records: Iterable[Record]) -> tuple[int, int]:
    """A table with a line for every sequence of these records that is not in it yet; what is in it stays.

    Returns:
        How many lines there are, and how many of them are new.

    Raises:
        UserError: `path` is a file that is no such table.
    """
    text = _text(path) if path.exists() else _template()
    read_lines(text, str(path))
    have = {tuple(row[:4]) for row in csv.reader(text.splitlines()) if row and not row[0].startswith("#")}
    found: Counter[tuple[str, ...]] = Counter()
    for record in records:
        found[(record.source, *(_name(record.attributes, column) for column in ATTRIBUTES.values()))] += 1
    new = sorted(names for names in found if names not in have)
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([*names, *("" for _ in WORDS)] for names in new)
    with atomic_path(path) as temporary:
        temporary.write_text(text + ("" if text.endswith("\n") else "\n") + out.getvalue(), encoding="utf-8")
    return len(found), len(new)


def _name(attributes: Mapping[str, str], attribute: str) -> str:
    return attributes.get(attribute) or "*"


def _template() -> str:
    return (resources.files("handfirst.training.data.prepare") / TEMPLATE).read_text(encoding="utf-8")
