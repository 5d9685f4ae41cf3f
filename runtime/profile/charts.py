"""The four kinds of chart of a report, as SVG. Knows nothing about parts or jobs: labels, numbers and colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from handfirst.runtime.profile.svg import FAINT, INK, line, number, polyline, rect, svg, text, tick, ticks

WIDTH = 900.0
ROW = 22.0
LABELS, VALUES = 220.0, 130.0
"""Room for names on the left and for figures on the right of bars."""


@dataclass(frozen=True)
class Bar:
    """One row: its name, one length or several beside each other, what is written behind it."""

    label: str
    values: tuple[float, ...]
    words: str
    colours: tuple[str, ...]


def bars(rows: Sequence[Bar], title: str, unit: str, mark: float | None = None, mark_label: str = "") -> str:
    """Horizontal bars on one scale.

    Args:
        rows: from the top.
        unit: written below the scale.
        mark: a dashed line at this value, with `mark_label` above it.
    """
    thick = max((len(row.values) for row in rows), default=1)
    row_height = ROW if thick == 1 else 10.0 * thick + 10
    above = 20.0 if mark is not None else 4.0
    scale = ticks(max([*(max(row.values) for row in rows), mark or 0.0]), 5)
    span, bottom = WIDTH - LABELS - VALUES, above + len(rows) * row_height
    drawn = [_grid_x(scale, span, above, bottom), text(LABELS + span, bottom + 30, unit, "end", FAINT, 11)]
    for i, row in enumerate(rows):
        y = above + i * row_height
        drawn.append(text(LABELS - 8, y + row_height / 2 + 4, row.label, "end"))
        high = (row_height - 8) / len(row.values)
        for j, (value, colour) in enumerate(zip(row.values, row.colours, strict=True)):
            drawn.append(rect(LABELS, y + 4 + j * high, span * value / scale[-1], high - 1, colour, row.words))
        end = LABELS + span * max(row.values) / scale[-1]
        drawn.append(text(end + 6, y + row_height / 2 + 4, row.words, colour=FAINT))
    if mark is not None:
        x = LABELS + span * mark / scale[-1]
        drawn += [line(x, above - 4, x, bottom, INK, dashed=True), text(x, 12, mark_label, "middle", INK, 11)]
    return svg(WIDTH, bottom + 36, *drawn, title=title)


def _grid_x(scale: Sequence[float], span: float, top: float, bottom: float) -> str:
    drawn = []
    for value in scale:
        x = LABELS + span * value / scale[-1]
        drawn += [line(x, top, x, bottom), text(x, bottom + 15, tick(value), "middle", FAINT, 11)]
    return "".join(drawn)


@dataclass(frozen=True)
class Column:
    """One stack, from the bottom: (name, value, colour)."""

    label: str
    pieces: tuple[tuple[str, float, str], ...]


def columns(stacks: Sequence[Column], title: str, unit: str, height: float = 260.0) -> str:
    """Vertical stacks on one scale."""
    left, top, bottom = 60.0, 24.0, height - 24
    scale = ticks(max(sum(value for _, value, _ in stack.pieces) for stack in stacks))
    drawn = [_grid_y(scale, left, top, bottom), text(left - 8, 12, unit, "end", FAINT, 11)]
    slot = min((WIDTH - left) / len(stacks), 90.0)
    every = -(-len(stacks) // 30)
    for i, stack in enumerate(stacks):
        x, y = left + i * slot + slot * 0.12, bottom
        for name, value, colour in stack.pieces:
            high = (bottom - top) * value / scale[-1]
            y -= high
            drawn.append(rect(x, y, slot * 0.76, high, colour, f"{stack.label}, {name}: {number(value)} {unit}"))
        total = sum(value for _, value, _ in stack.pieces)
        drawn.append(text(x + slot * 0.38, y - 4, number(total), "middle", FAINT, 11) if slot > 36 else "")
        drawn.append(text(x + slot * 0.38, bottom + 16, stack.label, "middle", FAINT, 11) if i % every == 0 else "")
    return svg(WIDTH, height, *drawn, title=title)


def _grid_y(scale: Sequence[float], left: float, top: float, bottom: float) -> str:
    drawn = []
    for value in scale:
        y = bottom - (bottom - top) * value / scale[-1]
        drawn += [line(left, y, WIDTH, y), text(left - 8, y + 4, tick(value), "end", FAINT, 11)]
    return "".join(drawn)


def curve(points: Sequence[tuple[int, float, str]], title: str, unit: str, colour: str, height: float = 220.0) -> str:
    """Values over sizes that double: (size, value, what is written at the point)."""
    left, top, bottom = 60.0, 24.0, height - 36
    scale = ticks(max(value for _, value, _ in points))
    step = min(160.0, (WIDTH - left - 80) / max(1, len(points) - 1))
    places = [
        (left + 40 + i * step, bottom - (bottom - top) * value / scale[-1]) for i, (_, value, _) in enumerate(points)
    ]
    drawn = [_grid_y(scale, left, top, bottom), text(left - 8, 12, unit, "end", FAINT, 11), polyline(places, colour)]
    for (size, _, words), (x, y) in zip(points, places, strict=True):
        drawn += [text(x, bottom + 16, str(size), "middle", FAINT, 11), text(x, y - 10, words, "middle")]
    drawn.append(text(left, bottom + 32, "pictures at once", colour=FAINT, size=11))
    return svg(WIDTH, height, *drawn, title=title)


def legend(entries: Sequence[tuple[str, str]]) -> str:
    """(name, colour) in a row, broken where it is full."""
    drawn, x, y = [], 0.0, 14.0
    for name, colour in entries:
        wide = 22 + 7.2 * len(name) + 18
        if x + wide > WIDTH:
            x, y = 0.0, y + 20
        drawn += [rect(x, y - 10, 12, 12, colour), text(x + 18, y, name)]
        x += wide
    return svg(WIDTH, y + 8, *drawn, title="legend")
