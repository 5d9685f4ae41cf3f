"""One table for all systems: a row per system, bundle, set, judge and metric, beside the true renders' own figure.

The file is JSON: what was judged under "judged", by digest, and "rows". A figure that could not be had has a row, too:
its value is null and "why" says what to do. Tables of several bundles join into one. Numbers and files only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from handfirst.engines.errors import UserError
from handfirst.engines.files import atomic_write_bytes, sha256
from handfirst.engines.manifest import Manifest
from handfirst.runtime.cli.output import print_table
from handfirst.training.evaluate.measure import Better, Figure
from handfirst.training.evaluate.report import ARROWS

Number = Annotated[float, Field(allow_inf_nan=False)]


class Row(BaseModel):
    """One figure.

    Attributes:
        system: the bundle's system, or the name that was given to pictures of another program.
        digest: of the bundle (its manifest's SHA-256), or of those pictures.
        set: "people", "people-bust", "people-half", "hands", "hands-palm", "hands-back".
        judge: who looked, with its version; "pixels" and "inception" are no judges.
        metric: its name (docs/evaluate.md).
        better: which way is better.
        value: the figure; None where it could not be had.
        low, high: its 95 % interval.
        n: how many things it is about.
        renders: the same of the true renders of the same poses.
        share: value over renders; None where either is missing, the renders have none, or their figure is about 0.
        why: why there is no value.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    system: str
    digest: str
    set: str
    judge: str
    metric: str
    better: Better
    value: Number | None = None
    low: Number | None = None
    high: Number | None = None
    n: int = 0
    renders: Number | None = None
    share: Number | None = None
    why: str | None = None

    @model_validator(mode="after")
    def _a_value_or_a_reason(self) -> Row:
        if (self.value is None) == (self.why is None):
            raise ValueError('a row has either a value or a "why"')
        return self

    @property
    def key(self) -> tuple[str, ...]:
        """What it is about: a table holds one row of each."""
        return self.system, self.digest, self.set, self.judge.partition(" ")[0].lower(), self.metric


class Judged(BaseModel):
    """What was judged, and how.

    Attributes:
        system, name: of the bundle, or as given.
        model: `model_digest`; None of pictures of another program.
        settings: steps, numbers of pictures, the list's digest, resamples, seed.
        machine: where it was painted and judged.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    system: str
    name: str
    model: str | None
    settings: dict[str, Any]
    machine: dict[str, Any]


class Table(BaseModel):
    """All of the file; `judged` by digest."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: Literal["handfirst-judged-1"] = "handfirst-judged-1"
    judged: dict[str, Judged] = {}
    rows: tuple[Row, ...] = ()

    def joined(self, other: Table) -> Table:
        """This table with the other's rows; of rows about the same thing the other's stay, if they have a value.

        Rows of a bundle that the other judged in another way (other numbers of pictures or steps) go.
        """
        same = {digest for digest, judged in other.judged.items() if self._judged_alike(digest, judged)}
        rows = {row.key: row for row in self.rows if row.digest not in other.judged or row.digest in same}
        rows |= {row.key: row for row in other.rows if row.value is not None or row.key not in rows}
        return Table(judged={**self.judged, **other.judged}, rows=tuple(rows.values()))

    def _judged_alike(self, digest: str, other: Judged) -> bool:
        return digest in self.judged and self.judged[digest].settings == other.settings


def row_of(
    where: tuple[str, str, str, str],
    metric: str,
    better: Better,
    figure: Figure | None,
    renders: Figure | None,
    why: str,
    share: bool = True,
) -> Row:
    """A row from figures; `where` is system, digest, set and judge, `why` the reason if there is no figure."""
    system, digest, set_, judge = where
    if figure is None:
        return Row(system=system, digest=digest, set=set_, judge=judge, metric=metric, better=better, why=why)
    true = None if renders is None else renders.value
    return Row(
        system=system, digest=digest, set=set_, judge=judge, metric=metric, better=better,
        value=figure.value, low=figure.low, high=figure.high, n=figure.n,
        renders=true, share=figure.value / true if share and true else None,
    )  # fmt: skip


def model_digest(manifest: Manifest) -> str:
    """SHA-256 of all that decides a bundle's pictures: graphs, tokenizer, assets, settings.

    The bundle's own digest also changes with what does not: counts of operations, decisions in words, golden tensors.
    """
    roles: dict[str, tuple[str, ...]] = {role: (entry.file, *entry.data) for role, entry in manifest.engines.items()}
    roles |= {f"asset {name}": (file,) for name, file in manifest.assets.items()}
    roles |= {"tokenizer": (manifest.tokenizer,)} if manifest.tokenizer else {}
    files = {role: [manifest.files[name].sha256 for name in names] for role, names in roles.items()}
    decides = {"system": manifest.system, "files": files, "settings": manifest.settings}
    return sha256(json.dumps(decides, sort_keys=True).encode())


def write_table(path: Path, table: Table) -> None:
    """The file appears whole or not at all."""
    atomic_write_bytes(path, (table.model_dump_json(indent=1) + "\n").encode())


def read_table(path: Path) -> Table:
    """The inverse.

    Raises:
        UserError: the file is missing, or is no such file.
    """
    try:
        return Table.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); 'handfirst evaluate judge' writes it") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        raise UserError(
            f"{path}: not a table of judged figures ({place}: {first['msg']}); give another file"
        ) from error


def print_rows(rows: Iterable[Row]) -> None:
    """One table a set; then what could not be had, once for each reason."""
    rows = tuple(rows)
    for name in dict.fromkeys(row.set for row in rows):
        lines = [_line(row) for row in rows if row.set == name and row.value is not None]
        if lines:
            print_table(name, ["judge", "metric", "", "value", "95 % interval", "n", "renders", "share"], lines)
    reasons: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        if row.why:
            reasons.setdefault((row.judge, row.why), set()).add(row.metric)
    for (judge, why), metrics in reasons.items():
        print(f"not measured: {judge}: {', '.join(sorted(metrics))}: {why}")


def _line(row: Row) -> list[str]:
    def shown(value: float | None) -> str:
        return "-" if value is None else f"{value:.3f}"

    interval = "-" if row.low is None else f"{shown(row.low)} .. {shown(row.high)}"
    return [
        row.judge.partition(" ")[0], row.metric, ARROWS[row.better], shown(row.value), interval, str(row.n),
        shown(row.renders), shown(row.share),
    ]  # fmt: skip
