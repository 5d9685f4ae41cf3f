"""What an evaluation found: rows, subsets, curves, and what could not be computed and why. Numbers only.

Knows nothing about how they came about. JSON for machines, tables for people; pictures are `plots.py`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from handfirst.runtime.cli.output import print_table
from handfirst.training.evaluate.measure import Better, Figure

FORMAT = "handfirst-evaluate-1"
ARROWS = {"higher": "↑", "lower": "↓"}
SHOWN_BY_SUBSET = ("dap", "dap_hands", "mpjpe_hands", "hand_conf", "det_conf_hand", "clipsim")


@dataclass(frozen=True)
class Row:
    """One measure: over the pictures that are evaluated, and over those of the ceiling (true pictures, same poses)."""

    name: str
    title: str
    better: Better
    figure: Figure
    ceiling: Figure | None = None


@dataclass
class Report:
    """Attributes:
    pictures: how many.
    settings: all that the figures depend on.
    rows: over all pictures.
    subsets: attribute -> its value -> rows.
    sizes: attribute -> its value -> how many pictures.
    curves: name ("dap", "dap_hands", and the same with "_ceiling") -> average precision at the ten thresholds.
    not_computed: measure -> why.
    notes: lines that a reader has to know.
    """

    pictures: int
    settings: dict[str, Any]
    rows: list[Row] = field(default_factory=list)
    subsets: dict[str, dict[str, list[Row]]] = field(default_factory=dict)
    sizes: dict[str, dict[str, int]] = field(default_factory=dict)
    curves: dict[str, list[float]] = field(default_factory=dict)
    not_computed: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """One object of plain values."""
        return {
            "format": FORMAT,
            "pictures": self.pictures,
            "settings": self.settings,
            "metrics": _entries(self.rows),
            "subsets": {
                by: {value: _entries(rows) for value, rows in values.items()} for by, values in self.subsets.items()
            },
            "sizes": self.sizes,
            "curves": self.curves,
            "not_computed": self.not_computed,
            "notes": self.notes,
        }

    def print(self) -> None:
        """Tables on stdout, then what is missing."""
        ceiling = any(row.ceiling for row in self.rows)
        heads = ["", "", "value", "95 % interval", "n", *(["ceiling"] if ceiling else [])]
        print_table(f"{self.pictures} pictures", heads, [line for row in self.rows for line in _lines(row, ceiling)])
        for by, values in self.subsets.items():
            names = [n for n in SHOWN_BY_SUBSET if any(row.name == n for rows in values.values() for row in rows)]
            found = [row for rows in values.values() for row in rows]
            titles = {row.name: f"{row.title.partition(' (')[0]} {ARROWS[row.better]}" for row in found}
            lines = [
                [value, str(self.sizes[by][value]), *(_short(rows, name) for name in names)]
                for value, rows in values.items()
            ]
            print_table(f"by {by}", [by, "n", *(titles[name] for name in names)], lines)
        for line in self.notes:
            print("note:", line)
        for name, why in self.not_computed.items():
            print(f"not computed: {name}: {why}")


def _entries(rows: list[Row]) -> dict[str, Any]:
    return {
        row.name: {"better": row.better, **_entry(row.figure)}
        | ({"ceiling": _entry(row.ceiling)} if row.ceiling else {})
        for row in rows
    }


def _entry(figure: Figure) -> Mapping[str, Any]:
    out = {"value": figure.value, "low": figure.low, "high": figure.high, "n": figure.n}
    return out | ({"spread": figure.spread, "times_1000": 1000 * figure.value} if figure.spread is not None else {})


def _lines(row: Row, ceiling: bool) -> list[list[str]]:
    """One line, two for KID: papers give it as it is or times a thousand."""
    figure, arrow, n = row.figure, ARROWS[row.better], str(row.figure.n)
    last = [f"{row.ceiling.value:.3f}" if row.ceiling else "-"] if ceiling else []
    if figure.spread is not None:
        scales = ((row.title, 1, 5), (f"{row.title} x 1000", 1000, 2))
        return [
            [title, arrow, f"{k * figure.value:.{d}f}", f"± {k * figure.spread:.{d}f} over subsets", n, *last]
            for title, k, d in scales
        ]
    interval = "-" if figure.low is None or figure.high is None else f"{figure.low:.3f} .. {figure.high:.3f}"
    return [[row.title, arrow, f"{figure.value:.3f}", interval, n, *last]]


def _short(rows: list[Row], name: str) -> str:
    for row in rows:
        if row.name == name:
            figure = row.figure
            interval = "" if figure.low is None else f" ({figure.low:.2f} .. {figure.high:.2f})"
            return f"{figure.value:.3f}{interval}"
    return "-"
