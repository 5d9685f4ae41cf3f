"""One evaluation from files to files: reads what it is given, computes what that allows, writes report and pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

from handfirst.engines.errors import UserError
from handfirst.engines.files import atomic_path
from handfirst.runtime.pictures import encode
from handfirst.training.evaluate.cases import Case, read_cases
from handfirst.training.evaluate.detections import Detections, read_detections
from handfirst.training.evaluate.plots import worst, worst_sheet
from handfirst.training.evaluate.quality import Update, add_distances, clip_measure, lacking
from handfirst.training.evaluate.report import Report
from handfirst.training.evaluate.score import Sampling, Scored, fill, scored, subsets, usual_subsets

NO_DETECTIONS = "no detections (--detections; 'handfirst evaluate detect' makes them)"
NO_POSE = "no picture has a pose"
FROM_DETECTIONS = ("people_found", "hand_conf", "det_conf_hand", "det_conf_face")
FROM_POSES = ("dap", "dap_body", "dap_hands", "mpjpe", "mpjpe_body", "mpjpe_hands")


@dataclass(frozen=True)
class Inputs:
    """What an evaluation is given; see `handfirst evaluate score --help`."""

    cases: Path
    detections: Path | None = None
    ceiling: Path | None = None
    pictures: Path | None = None
    real: Path | None = None
    masks: Path | None = None
    real_masks: Path | None = None
    inception: Path | None = None
    clip: Path | None = None


def run(
    inputs: Inputs, out: Path, by: tuple[str, ...] | None, sampling: Sampling, update: Update
) -> tuple[Report, list[Path]]:
    """The report, and the files that were written to `out`: evaluate.json and pictures.

    Args:
        by: attributes that make subsets; None: gesture and view where there are any.
        update: told stage, step and total.

    Raises:
        UserError: something that was given cannot be used.
    """
    cases = read_cases(inputs.cases, inputs.pictures, inputs.masks)
    real = read_cases(inputs.real, masks=inputs.real_masks) if inputs.real else None
    by = usual_subsets(cases) if by is None else by
    for name in by:
        subsets(cases, name)
    report = Report(len(cases), _settings(inputs, sampling))
    made = _scored(cases, inputs.detections, report)
    top = _scored(cases, inputs.ceiling, report, "_ceiling") if inputs.ceiling else None
    words = clip_measure(cases, inputs.clip, report, update)
    measures = [*(made[0].measures if made else []), *words]
    above = top[0].measures if top else []
    fill(report, cases, measures, above, by, sampling, lambda i, n: update("figures", i, n))
    add_distances(report, cases, real, inputs.inception, sampling, update)
    if not report.rows:
        reasons = "; ".join(sorted(set(report.not_computed.values())))
        raise UserError(f"nothing can be computed: {reasons}")
    return report, _write(out, _pictures(report, cases, made), report)


def _settings(inputs: Inputs, sampling: Sampling) -> dict[str, Any]:
    given = {f.name: str(value) for f in fields(inputs) if (value := getattr(inputs, f.name)) is not None}
    return {
        "handfirst": version("handfirst"),
        "inputs": given,
        "resamples": sampling.resamples,
        "seed": sampling.seed,
        "confidence": 0.95,
    }


def _scored(
    cases: Sequence[Case], path: Path | None, report: Report, suffix: str = ""
) -> tuple[Scored, Detections] | None:
    """What a file of detections says; the curves, settings and remarks go into the report."""
    if path is None:
        report.not_computed |= dict.fromkeys((*FROM_POSES, *FROM_DETECTIONS), NO_DETECTIONS)
        return None
    detections = read_detections(path)
    out = scored(cases, detections, str(path))
    report.settings[f"detector{suffix}"] = detections.detector
    report.settings[f"points{suffix}"] = len(detections.points)
    for scores in out.poses:
        report.curves["dap" + ("" if scores.part == "whole" else f"_{scores.part}") + suffix] = scores.curve().tolist()
    with_pose = sum(case.pose is not None for case in cases)
    if not with_pose:
        report.not_computed |= dict.fromkeys(FROM_POSES, NO_POSE)
    elif not suffix and with_pose < len(cases):
        report.notes.append(f"{with_pose} of {len(cases)} pictures have a pose; DAP and MPJPE are about those")
    return out, detections


def _pictures(report: Report, cases: Sequence[Case], made: tuple[Scored, Detections] | None) -> dict[str, bytes]:
    """Name -> PNG."""
    out = {}
    if made and made[0].poses and worst(made[0].poses[-1]):
        out["worst.png"] = encode(worst_sheet(cases, made[1], made[0].poses[-1]))
    why = lacking(["matplotlib"])
    if why:
        report.not_computed["plots"] = why
        return out
    from handfirst.training.evaluate.plots import curve_figure, png_bytes, subset_figure

    if report.curves:
        out["precision.png"] = png_bytes(curve_figure(report))
    for by, values in report.subsets.items():
        if any(values.values()):
            out[f"by-{by}.png"] = png_bytes(subset_figure(report, by))
    return out


def _write(out: Path, pictures: dict[str, bytes], report: Report) -> list[Path]:
    """All files or none."""
    text = json.dumps(report.to_json(), indent=1, allow_nan=False) + "\n"
    contents = {"evaluate.json": text.encode(), **pictures}
    out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        for name, content in contents.items():
            stack.enter_context(atomic_path(out / name)).write_bytes(content)
    return [out / name for name in contents]
