"""A report as pictures: precision by threshold, bars with intervals by subset, and, for eyes only, the pictures whose
hands match their pose least. Knows nothing about how to measure.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.pose.person import Person, Pose
from handfirst.runtime.pose.skeleton import draw_skeleton
from handfirst.training.evaluate.average_precision import THRESHOLDS
from handfirst.training.evaluate.cases import Case
from handfirst.training.evaluate.detections import Detections, Found
from handfirst.training.evaluate.pictures import read_picture
from handfirst.training.evaluate.pose_scores import PoseScores
from handfirst.training.evaluate.report import ARROWS, SHOWN_BY_SUBSET, Report, Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = {"dap": "#1f6fb4", "dap_body": "#3c8d53", "dap_hands": "#d1602c"}
LABELS = {"dap": "all points", "dap_body": "body", "dap_hands": "hands"}
ROW_INCHES = 0.32


def curve_figure(report: Report) -> Figure:
    """Average precision over the OKS thresholds; dashed: the ceiling."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for name, label in LABELS.items():
        for suffix, style in (("", "-o"), ("_ceiling", "--")):
            values = report.curves.get(name + suffix)
            if values is not None:
                mean = sum(values) / len(values)
                words = f"{label}{', true pictures' if suffix else ''}: {mean:.2f}"
                axes.plot(THRESHOLDS, values, style, color=COLOURS[name], markersize=4, label=words)
    axes.set(
        xlabel="OKS threshold", ylabel="average precision", ylim=(-0.02, 1.02), title=f"{report.pictures} pictures"
    )
    axes.grid(alpha=0.3)
    axes.legend(title="DAP", fontsize="small")
    return figure


def subset_figure(report: Report, by: str) -> Figure:
    """A panel per measure, a bar per value of the attribute, lines for the 95 % intervals, a mark for the ceiling."""
    from matplotlib.figure import Figure

    values = report.subsets[by]
    names = [name for name in SHOWN_BY_SUBSET if any(_row(rows, name) for rows in values.values())]
    height = 1.2 + ROW_INCHES * len(values)
    figure = Figure(figsize=(1.2 + 2.4 * len(names), height), layout="constrained")
    panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    for axes, name in zip(panels, names, strict=True):
        row = None
        for i, rows in enumerate(values.values()):
            row = _row(rows, name) or row
            _bar(axes, i, _row(rows, name), COLOURS.get(name, "#6b7f8c"))
        axes.set_title(f"{row.title} {ARROWS[row.better]}" if row else name, fontsize="small")
        axes.tick_params(labelsize="small")
        axes.grid(axis="x", alpha=0.3)
    panels[0].set_yticks(range(len(values)), [f"{value} ({report.sizes[by][value]})" for value in values])
    panels[0].invert_yaxis()
    panels[0].set_ylabel(by)
    figure.supxlabel("thick: pictures; line: 95 % interval; mark: ceiling (true pictures)", fontsize="small")
    return figure


def _bar(axes: object, place: int, row: Row | None, colour: str) -> None:
    from matplotlib.axes import Axes

    if row is None or not isinstance(axes, Axes):
        return
    figure = row.figure
    axes.barh(place, figure.value, color=colour, alpha=0.75, height=0.7)
    if figure.low is not None and figure.high is not None:
        axes.plot([figure.low, figure.high], [place, place], color="black", linewidth=1.2)
    if row.ceiling:
        axes.plot(row.ceiling.value, place, "|", color="black", markersize=12)


def _row(rows: list[Row], name: str) -> Row | None:
    return next((row for row in rows if row.name == name), None)


def png_bytes(figure: Figure) -> bytes:
    """A PNG at 130 dots per inch."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return buffer.getvalue()


SIDE, LABEL, GAP, COLUMNS, MOST = 256, 24, 8, 2, 12
DIM = 0.35
Image = NDArray[np.uint8]


def worst(scores: PoseScores, count: int = MOST) -> list[int]:
    """Indices of the pictures with the lowest similarity, the lowest first; pictures without truth are left out."""
    order = np.argsort(scores.similarity, kind="stable")
    return [int(i) for i in order if np.isfinite(scores.similarity[i])][:count]


def worst_sheet(cases: Sequence[Case], detections: Detections, scores: PoseScores) -> Image:
    """Uint8 RGB: two columns of three panels each, the worst first, row by row; key and OKS above each."""
    chosen = worst(scores)
    cells = [_cell(cases[i], detections.pictures[cases[i].key], float(scores.similarity[i])) for i in chosen]
    cells += [np.full_like(cells[0], 255)] * (-len(cells) % COLUMNS)
    rows = [np.concatenate(cells[i : i + COLUMNS], 1) for i in range(0, len(cells), COLUMNS)]
    return np.concatenate(rows)


def _cell(case: Case, found: Found, similarity: float) -> Image:
    image = read_picture(case.picture, case.key)
    height, width = image.shape[:2]
    scale = SIDE / max(height, width)
    size = (round(width * scale), round(height * scale))
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    people = tuple(Person(p.array(), np.array(p.points)[:, 2]) for p in found.people)
    true = case.pose or Pose((), found.width, found.height)
    panels = [small, _over(small, true), _over(small, Pose(people, found.width, found.height))]
    cell = np.full((SIDE + LABEL + GAP, 3 * (SIDE + GAP) + GAP, 3), 255, np.uint8)
    for i, panel in enumerate(panels):
        y, x = LABEL + (SIDE - size[1]) // 2, GAP + i * (SIDE + GAP) + (SIDE - size[0]) // 2
        cell[y : y + size[1], x : x + size[0]] = panel
    for i, words in enumerate((f"{case.key}", f"asked; OKS {similarity:.2f}", "found" if people else "nothing found")):
        place = (GAP + i * (SIDE + GAP), LABEL - 8)
        cv2.putText(cell, words[:28], place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    return cell


def _over(image: Image, pose: Pose) -> Image:
    """The pose's skeleton over a dimmed picture."""
    height, width = image.shape[:2]
    return np.asarray(np.maximum(image * DIM, draw_skeleton(pose, width, height)), np.uint8)
