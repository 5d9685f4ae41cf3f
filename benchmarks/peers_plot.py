"""The picture and the table of docs/peers.md out of what peers.py measured.

python benchmarks/peers_plot.py benchmarks/results/peers-embedded.json docs/peers.png
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

COLOURS = {"diffusers": "tab:gray", "torch": "tab:brown", "DeepCache": "tab:olive", "handfirst": "tab:red"}
Job = dict[str, Any]


def main() -> None:
    """Draws one file; prints its table."""
    report = json.loads(Path(sys.argv[1]).read_text())
    print(table(report))
    draw(report, Path(sys.argv[2]))


def table(report: dict[str, Any]) -> str:
    """Markdown: the main job, a line a contender."""
    job = report["jobs"][0]
    lines = [
        f"| {job['job']['size']} px, {job['job']['steps']} steps | a step | ratio | to bare calls | memory | error |",
        "|---|---|---|---|---|---|",
    ]
    for name, told in job["contenders"].items():
        if "missing" in told:
            lines.append(f"| {name} | | | | | absent: {told['missing'].splitlines()[0][:80]} |")
            continue
        cells = f"{1000 * told['seconds_a_step']:.1f} ms", said(told["ratio"]), said(told.get("to_bare"))
        memory = f"{told['peak_memory_bytes'] / 1e6:.0f} MB"
        lines.append(f"| {name} | {' | '.join(cells)} | {memory} | {said(told['relative_error'])} |")
    return "\n".join(lines)


def said(value: float | None) -> str:
    """Of a figure that may not be there."""
    return "" if value is None else f"{value:g}"


def draw(report: dict[str, Any], file: Path) -> None:
    """A step's cost beside memory, then cost against steps, side and batch."""
    jobs: list[Job] = report["jobs"]
    main_job, usual = jobs[0]["job"], jobs[0]["job"]["size"]
    panels = {
        "steps": [each for each in jobs if each["job"]["size"] == usual and each["job"]["batch"] == 1],
        "size": [each for each in jobs[1:] if each["job"]["batch"] == 1 and each["job"]["steps"] == short(jobs)],
        "batch": [each for each in jobs[1:] if each["job"]["size"] == usual and each["job"]["steps"] == short(jobs)],
    }
    panels = {field: shown for field, shown in panels.items() if len(shown) > 1}
    shares = (1.5, *(1 for _ in panels))
    _, axes = plt.subplots(
        1, len(shares), figsize=(4 * len(shares) + 2, 4.6), layout="constrained", width_ratios=shares, squeeze=False
    )
    figure, axes = axes[0, 0].figure, axes[0]
    there = {name: told for name, told in jobs[0]["contenders"].items() if "missing" not in told}
    axes[0].barh(list(there), [1000 * told["seconds_a_step"] for told in there.values()], color=[*map(colour, there)])
    for place, told in enumerate(there.values()):
        axes[0].text(0, place, f" {told['peak_memory_bytes'] / 1e6:.0f} MB", va="center", fontsize=7)
    axes[0].invert_yaxis()
    axes[0].set_title(f"ms a step, {main_job['size']} px, {main_job['steps']} steps; memory", fontsize=9)
    for axis, (field, shown) in zip(axes[1:], panels.items(), strict=True):
        shown = sorted({each["job"][field]: each for each in shown}.items())
        for name in there:
            told = [(x, each["contenders"].get(name, {}).get("seconds")) for x, each in shown]
            points = [(x, y) for x, y in told if y is not None]
            style = "-" if name.startswith("handfirst") else "--"
            axis.plot(*zip(*points, strict=True), style, marker=".", label=name) if points else None
        axis.set_title(f"seconds against {field}", fontsize=9)
        axis.set_xlabel(field)
        axis.set_ylim(bottom=0)
    if panels:
        figure.legend(*axes[1].get_legend_handles_labels(), fontsize=6, loc="outside right upper")
    figure.savefig(file, dpi=110)


def short(jobs: list[Job]) -> int:
    """Steps of the jobs of other sizes and batches."""
    return int(jobs[-1]["job"]["steps"])


def colour(name: str) -> str:
    """Of a contender's bar."""
    return next((value for word, value in COLOURS.items() if name.startswith(word)), "tab:blue")


if __name__ == "__main__":
    main()
