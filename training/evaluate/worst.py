"""The pictures whose hands match their pose least, to look at: picture, true pose, found pose. For eyes only."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.pose.person import Person, Pose
from handfirst.runtime.pose.skeleton import draw_skeleton
from handfirst.training.evaluate.cases import Case
from handfirst.training.evaluate.detections import Detections, Found
from handfirst.training.evaluate.pictures import read_picture
from handfirst.training.evaluate.pose_scores import PoseScores

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
