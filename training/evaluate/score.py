"""Measures of pictures -> a report: all pictures, subsets, intervals, the ceiling beside them.

Of a detector's confidence, Hand1000's and RealisHuman's figures, with what those leave out: both take the mean over
what was found, so that a hand too bad to be found does no harm; the share that was found stands beside each. Knows
nothing about files, torch or MediaPipe; `distances` are taken in `quality.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.errors import UserError
from handfirst.training.evaluate.average_precision import PARTS
from handfirst.training.evaluate.cases import Case
from handfirst.training.evaluate.detections import Detections, Found
from handfirst.training.evaluate.measure import Measure, figure, mean_of
from handfirst.training.evaluate.pose_scores import PoseScores, people_found, pose_measures, pose_scores
from handfirst.training.evaluate.report import Report, Row

USUAL_SUBSETS = ("gesture", "view")
UNKNOWN = "(unknown)"


@dataclass(frozen=True)
class Sampling:
    """How intervals are made: the number of resampled sets (0: no intervals) and their seed."""

    resamples: int = 1000
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Scored:
    """All measures of one set of detections, and the scores of poses behind them."""

    measures: list[Measure]
    poses: list[PoseScores]


def scored(cases: Sequence[Case], detections: Detections, source: str) -> Scored:
    """Everything that detections say about the cases.

    Raises:
        UserError: detections lack one of the cases; `source` names them.
    """
    missing = [case.key for case in cases if case.key not in detections.pictures]
    if missing:
        raise UserError(
            f"{source}: {len(missing)} of {len(cases)} pictures are not in it, the first is '{missing[0]}'; "
            "run 'handfirst evaluate detect' on the same cases"
        )
    found = [detections.pictures[case.key] for case in cases]
    measures, poses = [], []
    if any(case.pose for case in cases):
        poses = [pose_scores(cases, detections, part) for part in PARTS]
        measures = [m for scores in poses for m in pose_measures(scores)] + [people_found(cases, detections)]
    return Scored([*measures, *hand_confidence(found), *part_confidence(found)], poses)


def fill(
    report: Report,
    cases: Sequence[Case],
    measures: Sequence[Measure],
    ceiling: Sequence[Measure],
    by: Sequence[str],
    sampling: Sampling,
    advance: Callable[[int, int], None],
) -> None:
    """Adds every measure's figure over all pictures and over each subset to the report.

    Args:
        ceiling: the same measures of the true pictures, by name; may be empty.
        by: attributes whose values make the subsets.
        advance: told how many of how many measures are done.
    """
    sets = {by_: subsets(cases, by_) for by_ in by}
    total, done = len(measures) * (1 + sum(len(values) for values in sets.values())), 0
    above = {measure.name: measure for measure in ceiling}

    def rows(pictures: NDArray[np.int64]) -> list[Row]:
        nonlocal done
        out = []
        for measure in measures:
            value = figure(measure.statistic, measure.counts, pictures, sampling.resamples, sampling.seed)
            best = above.get(measure.name)
            top = figure(best.statistic, best.counts, pictures, 0, 0) if best else None
            if value is not None:
                out.append(Row(measure.name, measure.title, measure.better, value, top))
            done += 1
            advance(done, total)
        return out

    report.rows += rows(np.arange(len(cases)))
    here = {row.name for row in report.rows}
    report.not_computed |= {m.name: "no picture has anything to measure" for m in measures if m.name not in here}
    for name, values in sets.items():
        report.subsets[name] = {value: rows(pictures) for value, pictures in values.items()}
        report.sizes[name] = {value: len(pictures) for value, pictures in values.items()}
    points = [row.title for row in report.rows if row.figure.low is not None and row.figure.low == row.figure.high]
    if points:
        report.notes.append(f"{', '.join(points)}: every picture says the same, which is no proof that others would")


def subsets(cases: Sequence[Case], by: str) -> dict[str, NDArray[np.int64]]:
    """Indices of the pictures by the value of an attribute, in the order of the values.

    Raises:
        UserError: no picture has the attribute.
    """
    values = [case.attributes.get(by, UNKNOWN) for case in cases]
    if set(values) == {UNKNOWN}:
        known = sorted({name for case in cases for name in case.attributes})
        raise UserError(f"--by {by}: no picture has this attribute; they have {', '.join(known) or 'none'}")
    return {value: np.flatnonzero([v == value for v in values]) for value in sorted(set(values))}


def usual_subsets(cases: Sequence[Case]) -> tuple[str, ...]:
    """Gesture and view, as far as any picture has them."""
    return tuple(name for name in USUAL_SUBSETS if any(name in case.attributes for case in cases))


SURE = 0.9
"""Annotated Hands counts hands at or above this."""


def hand_confidence(found: Sequence[Found]) -> list[Measure]:
    """Hand1000: the mean score over all hands of all whole pictures [Hand1000: hand_confidence.py]."""
    scores = [[hand.score for hand in picture.hands] for picture in found]
    sure = [[score >= SURE for score in row] for row in scores]
    there = [[float(bool(row))] for row in scores]
    return [
        mean_of("hand_conf", "HAND-CONF (Hand1000)", "higher", scores),
        mean_of("hand_conf_sure", f"hands at {SURE:g} or above", "higher", sure),
        mean_of("hand_conf_found", "pictures with a hand found", "higher", there),
    ]


def part_confidence(found: Sequence[Found]) -> list[Measure]:
    """RealisHuman: the mean score over crops of hands, and over crops of faces."""
    out = []
    for kind in ("hand", "face"):
        scores = [[p.score for p in picture.parts if p.part.endswith(kind)] for picture in found]
        sure = [[s for s in row if s is not None] for row in scores]
        there = [[float(s is not None) for s in row] for row in scores]
        out.append(mean_of(f"det_conf_{kind}", f"Det.Conf {kind} (RealisHuman)", "higher", sure))
        out.append(mean_of(f"det_conf_{kind}_found", f"{kind} crops with a {kind} found", "higher", there))
    return out
