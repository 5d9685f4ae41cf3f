"""DAP and MPJPE of found poses: over all 133 points, the 17 of the body and the 42 of the hands.

A true point counts if it is known, lies inside the picture and is one that the detector can find at all. A picture in
which no true point counts is left out. Position errors are in units of the picture's sides, which is what MediaPipe
gives and what the paper's magnitudes fit (two random points of the unit square lie .52 apart). Knows nothing about
where the detections come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from handfirst.training.evaluate.average_precision import (
    PARTS,
    SIGMAS,
    Matches,
    Part,
    average_precision,
    box_area,
    match,
    oks,
)
from handfirst.training.evaluate.cases import Case
from handfirst.training.evaluate.detections import Detections, Found
from handfirst.training.evaluate.measure import Measure, Weights, mean_of, ratio

MISSING = 1.0
"""What a point that was not found costs in the penalised figure."""


@dataclass(frozen=True)
class Error:
    """Of one picture, summed so that pictures can be pooled.

    Attributes:
        total: sum of the distances of the points that were found.
        found: number of true points that were found.
        true: number of true points.
    """

    total: float
    found: int
    true: int


def position_error(
    found: NDArray[np.float64], true: NDArray[np.float64], similarity: NDArray[np.float64], width: int, height: int
) -> Error:
    """Each true person is compared with the found one that the best assignment gives him.

    Args:
        found: [D, K, 2] in pixels, NaN = missing.
        true: [G, K, 2], likewise.
        similarity: [D, G]; the sum over the pairs is made as large as possible.
        width, height: of the picture in pixels.
    """
    pairs = zip(*linear_sum_assignment(similarity, maximize=True), strict=True)
    distances = [np.linalg.norm((found[d] - true[g]) / (width, height), axis=-1) for d, g in pairs]
    near = np.concatenate([*distances, np.zeros(0)])
    near = near[np.isfinite(near)]
    return Error(float(near.sum()), len(near), int(np.isfinite(true).all(-1).sum()))


@dataclass(frozen=True, eq=False)
class PoseScores:
    """Of N pictures and one part.

    Attributes:
        part: which points.
        matches: for DAP.
        errors: for MPJPE, N of them.
        similarity: [N], the best OKS of any found person with any true one; NaN where no true point counts.
    """

    part: Part
    matches: Matches
    errors: tuple[Error, ...]
    similarity: NDArray[np.float64]

    def curve(self) -> NDArray[np.float64]:
        """Average precision at each of THRESHOLDS, all pictures counting once."""
        return average_precision(self.matches, np.ones(len(self.errors)))


def true_people(case: Case, found: Found, points: Sequence[int]) -> NDArray[np.float64]:
    """The points that count, [G, 133, 2] in the picture's pixels, NaN elsewhere; people of no extent are left out."""
    people = () if case.pose is None else case.pose.fit(found.width, found.height).people
    truth = np.stack([person.points for person in people]) if people else np.zeros((0, len(SIGMAS), 2))
    counts = np.zeros(len(SIGMAS), np.bool_)
    counts[list(points)] = True
    inside = ((truth >= 0) & (truth <= (found.width, found.height))).all(-1)
    truth = np.where((inside & counts)[..., None], truth, np.nan)
    return truth[box_area(truth) > 0]


def pose_scores(cases: Sequence[Case], detections: Detections, part: Part) -> PoseScores:
    """Compares all pictures; every case's key must be in the detections."""
    chosen, tables, scores, errors, best = PARTS[part], [], [], [], []
    for case in cases:
        seen = detections.pictures[case.key]
        truth = true_people(case, seen, detections.points)
        areas = box_area(truth)
        shown = np.isfinite(truth[:, chosen]).all(-1).any(-1)
        truth, areas = truth[shown][:, chosen], areas[shown]
        people = seen.people if len(truth) else ()
        points = np.stack([p.array()[chosen] for p in people]) if people else np.zeros((0, len(chosen), 2))
        tables.append(oks(points, truth, areas, SIGMAS[chosen]))
        scores.append(np.array([p.score for p in people]))
        errors.append(position_error(points, truth, tables[-1], seen.width, seen.height))
        best.append(tables[-1].max(initial=0.0) if len(truth) else np.nan)
    return PoseScores(part, match(tables, scores), tuple(errors), np.array(best))


def pose_measures(scores: PoseScores) -> list[Measure]:
    """DAP, MPJPE over the points found in both, MPJPE with a price on those missing, share of points found."""
    suffix, words = ("", "") if scores.part == "whole" else (f"_{scores.part}", f" {scores.part}")
    totals = np.array([error.total for error in scores.errors])
    found = np.array([error.found for error in scores.errors], np.int64)
    true = np.array([error.true for error in scores.errors], np.int64)

    def precision(weights: Weights) -> float:
        return float(average_precision(scores.matches, weights).mean())

    return [
        Measure(f"dap{suffix}", f"DAP{words}", "higher", precision, scores.matches.truths),
        Measure(f"mpjpe{suffix}", f"MPJPE{words}", "lower", ratio(totals, found), found),
        Measure(
            f"mpjpe{suffix}_penalised",
            f"MPJPE{words}, missing = {MISSING:g}",
            "lower",
            ratio(totals + MISSING * (true - found), true),
            true,
        ),
        Measure(f"found{suffix}", f"points found{words}", "higher", ratio(found.astype(np.float64), true), true),
    ]


def people_found(cases: Sequence[Case], detections: Detections) -> Measure:
    """Share of the pictures with a pose in which anyone was found."""
    rows = [
        [float(bool(detections.pictures[case.key].people))] if case.pose is not None and case.pose.people else []
        for case in cases
    ]
    return mean_of("people_found", "pictures with a person found", "higher", rows)
