"""People with truth and finds for the tests of `handfirst evaluate`: arrays, cases, detections, files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.pose.person import Person, Pose
from handfirst.training.evaluate.cases import Case
from handfirst.training.evaluate.detections import Detections, Found, FoundHand, FoundPart, FoundPerson

CANVAS = 4096
"""So large that a missing find, which COCO's tools put at (0, 0), is nowhere near any truth."""


@dataclass
class Scene:
    """One picture: true [G, 133, 2] and found [D, 133, 2], NaN = missing, and scores [D]."""

    true: NDArray[np.float64]
    found: NDArray[np.float64]
    scores: NDArray[np.float64]
    attributes: dict[str, str] = field(default_factory=dict)


def random_scenes(rng: np.random.Generator, count: int, crowd: int = 1) -> list[Scene]:
    """`count` pictures with up to `crowd` people, of good and bad finds; a tenth of all points is missing."""
    scenes = []
    for _ in range(count):
        people = int(rng.integers(1, crowd + 1))
        centres = rng.uniform(2500, 3000, (people, 1, 2))
        true = centres + rng.normal(0, 1, (people, 133, 2)) * rng.uniform(40, 150)
        true[rng.uniform(size=true.shape[:2]) < 0.1] = np.nan
        chosen = rng.permutation(people)[: int(rng.integers(0, people + 1))]
        error = rng.choice([1.0, 5.0, 12.0, 40.0], size=(len(chosen), 1, 1))
        found = true[chosen] + rng.normal(0, 1, (len(chosen), 133, 2)) * error
        stray = rng.uniform(2400, 3100, (int(rng.integers(0, 2)), 133, 2))
        found = np.concatenate([found, stray])
        found[rng.uniform(size=found.shape[:2]) < 0.1] = np.nan
        found[:, :2] = np.where(np.isnan(found[:, :2]), 2000.0, found[:, :2])  # COCO's tools need some extent
        scores = rng.choice(np.linspace(0.1, 0.9, 9), size=len(found))  # with ties
        scenes.append(Scene(true, found, scores, {"gesture": str(rng.choice(["fist", "palm"]))}))
    return scenes


def as_person(points: NDArray[np.float64]) -> Person:
    """points [133, 2], NaN = missing."""
    return Person(points, np.isfinite(points).all(1).astype(np.float64))


def as_found(points: NDArray[np.float64], score: float) -> FoundPerson:
    """Likewise, as a detector writes it."""
    known = np.isfinite(points).all(1)
    rows = np.concatenate([np.where(known[:, None], points, 0), known[:, None]], 1)
    return FoundPerson(score=score, points=tuple((float(x), float(y), float(v)) for x, y, v in rows))


def as_cases(scenes: Sequence[Scene], folder: Path = Path("none")) -> list[Case]:
    """Cases "s0", "s1", ..."""
    from handfirst.training.evaluate.pictures import PictureFile

    return [
        Case(
            key=f"s{i}",
            picture=PictureFile(folder / f"s{i}.png"),
            pose=Pose(tuple(as_person(p) for p in scene.true), CANVAS, CANVAS),
            prompt=f"picture {i}",
            attributes=scene.attributes,
        )
        for i, scene in enumerate(scenes)
    ]


def as_detections(scenes: Sequence[Scene], points: Sequence[int] = tuple(range(133))) -> Detections:
    """What was found, with two hands of score .95 and .5, and a hand crop in which nothing was found."""
    extras = {
        "hands": (FoundHand(score=0.95, side="left"), FoundHand(score=0.5, side="right")),
        "parts": (FoundPart(part="left hand", score=0.8), FoundPart(part="right hand", score=None)),
    }
    pictures = {
        f"s{i}": Found(
            width=CANVAS,
            height=CANVAS,
            people=tuple(as_found(p, float(s)) for p, s in zip(scene.found, scene.scores, strict=True)),
            **extras,
        )
        for i, scene in enumerate(scenes)
    }
    return Detections(detector="made up", points=tuple(points), pictures=pictures)


def write_list(folder: Path, scenes: Sequence[Scene], side: int = 48) -> Path:
    """A JSON lines file with poses, prompts and attributes, and small noisy pictures beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for i, scene in enumerate(scenes):
        rng = np.random.default_rng(i)
        cv2.imwrite(str(folder / f"s{i}.png"), rng.integers(0, 256, (side, side, 3)).astype(np.uint8))
        known = np.isfinite(scene.true[0]).all(1)
        flat = np.concatenate([np.where(known[:, None], scene.true[0], 0), 2.0 * known[:, None]], 1).ravel().tolist()
        pose = {
            "keypoints": flat[:51],
            "foot_kpts": flat[51:69],
            "face_kpts": flat[69:273],
            "lefthand_kpts": flat[273:336],
            "righthand_kpts": flat[336:],
        }
        line = {"picture": f"s{i}.png", "pose": pose, "width": CANVAS, "height": CANVAS, "prompt": f"picture {i}"}
        lines.append(json.dumps(line | {"attributes": scene.attributes}))
    path = folder / "cases.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path
