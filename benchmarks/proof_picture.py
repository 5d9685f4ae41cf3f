"""The times of gpu_proof.py as bars: a panel per precision, a group per graph, a colour per contestant."""

from __future__ import annotations

import io
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot


def picture(report: dict[str, Any]) -> bytes:
    """A PNG. Rows without a time are left out; an empty report gives an empty panel."""
    rows = [row for row in report["graphs"] if "milliseconds" in row]
    precisions = list(dict.fromkeys(row["precision"] for row in rows)) or ["nothing measured"]
    contestants = list(dict.fromkeys(row["contestant"] for row in rows))
    figure, panels = pyplot.subplots(
        len(precisions), 1, figsize=(11, 1.2 + 3.4 * len(precisions)), squeeze=False, layout="constrained"
    )
    for panel, precision in zip(panels[:, 0], precisions, strict=True):
        _panel(panel, [row for row in rows if row["precision"] == precision], contestants)
        panel.set_title(precision, loc="left")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    if labels:
        figure.legend(handles, labels, loc="outside upper right", ncols=len(labels), fontsize=8, frameon=False)
    figure.suptitle(report["hardware"]["name"], x=0.01, ha="left", fontsize=11)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=130)
    pyplot.close(figure)
    return file.getvalue()


def _panel(panel: Any, rows: list[dict[str, Any]], contestants: list[str]) -> None:
    roles = list(dict.fromkeys(row["role"] for row in rows))
    width = 0.84 / max(1, len(contestants))
    for index, name in enumerate(contestants):
        times = {row["role"]: row["milliseconds"] for row in rows if row["contestant"] == name}
        at = [roles.index(role) + (index - (len(contestants) - 1) / 2) * width for role in times]
        bars = panel.bar(at, list(times.values()), width, label=name, color=pyplot.get_cmap("tab10")(index % 10))
        panel.bar_label(bars, fmt="%.3g", fontsize=6, padding=1)
    panel.set_xticks(range(len(roles)), roles)
    panel.set_ylabel("milliseconds, median")
    if rows:
        panel.set_yscale("log")
        panel.margins(y=0.15)
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)
