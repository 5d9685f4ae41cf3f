"""What hand1000.py measures: hands as MediaPipe sees them, gestures by how fingers bend, colours, KID of crops.

Knows nothing about how pictures were made.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from handfirst.engines.files import atomic_write_bytes
from handfirst.runtime.pose.topology import FINGERS

RESAMPLES = 2000
CROP = 128
"""Pixels of a hand's crop for KID."""


def look(folder: Path) -> None:
    """Of every picture its hands: [{"score", "wrist", "box", "angles"}], the files' order; two at most."""
    from handfirst.runtime.pose.photo import enlarged, solutions

    seen: list[list[dict[str, Any]]] = []
    hands = solutions().hands
    with hands.Hands(static_image_mode=True, max_num_hands=2, min_detection_confidence=0.5) as network:
        for file in pictures_of(folder):
            image = read_png(file)
            found, hands_of = network.process(enlarged(image)), []
            for i, handedness in enumerate(found.multi_handedness or ()):
                flat = np.array([(p.x, p.y) for p in found.multi_hand_landmarks[i].landmark]) * len(image)
                solid = np.array([(p.x, p.y, p.z) for p in found.multi_hand_world_landmarks[i].landmark])
                hands_of.append(
                    {
                        "score": float(handedness.classification[0].score),
                        "wrist": flat[0].tolist(),
                        "box": [*flat.min(0).tolist(), *flat.max(0).tolist()],
                        "angles": angles(solid).tolist(),
                    }
                )
            seen.append(hands_of)
    atomic_write_bytes(folder / "seen.json", json.dumps(seen).encode())


def angles(points: np.ndarray) -> np.ndarray:
    """points [21, 3] -> [20]: how much a finger bends at its three joints and spreads from its neighbour, radians."""
    made, firsts = [], []
    for finger in FINGERS:
        bones = np.diff(points[[0, *finger]], axis=0)
        made += [between(a, b) for a, b in pairwise(bones)]
        firsts.append(bones[1])
    made += [between(a, b) for a, b in zip(firsts, [*firsts[1:], firsts[0]], strict=True)]
    return np.array(made)


def between(a: np.ndarray, b: np.ndarray) -> float:
    cosine = float(a @ b) / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12)
    return float(np.arccos(np.clip(cosine, -1, 1)))


def mean_angles(place: Path, parity: int) -> np.ndarray:
    """Of the gesturing hand of every other true render, where it is seen: the one nearest to the true wrist."""
    folder, found = place / "pictures-true", []
    for i, hands in enumerate(read_seen(folder)):
        if i % 2 == parity and hands:
            wrist = np.array(told(folder, i)["wrist"])
            found.append(min(hands, key=lambda hand: float(np.hypot(*(hand["wrist"] - wrist))))["angles"])
    return np.mean(found, 0) if found else np.full(20, np.inf)


def judged(place: Path, kind: str, gesture: str, means: dict[int, dict[str, np.ndarray]]) -> list[dict[str, Any]]:
    """A row a picture: scores of its hands, whether one makes the gesture, whether the ground is the caption's."""
    from handfirst.training.data.procedural.palette import colour_name

    folder, truth, rows = place / f"pictures-{kind}", place / "pictures-true", []
    for i, hands in enumerate(read_seen(folder)):
        known = means[1 - i % 2]
        nearest = [nearest_gesture(np.array(hand["angles"]), known) for hand in hands]
        image, said = read_png(folder / f"{i:05}.png"), told(truth, i)
        s = len(image)
        corners = np.concatenate([image[: s // 8, : s // 8].reshape(-1, 3), image[: s // 8, -s // 8 :].reshape(-1, 3)])
        rows.append(
            {
                "scores": [hand["score"] for hand in hands],
                "agrees": gesture in nearest,
                "background": colour_name(np.median(corners, 0) / 255) == said["background"],
            }
        )
    return rows


def nearest_gesture(found: np.ndarray, known: dict[str, np.ndarray]) -> str:
    """The gesture whose mean angles [20] lie nearest."""
    return min(known, key=lambda name: float(np.linalg.norm(found - known[name])))


def figures(rows: Sequence[dict[str, Any]], resamples: int = RESAMPLES) -> dict[str, Any]:
    """Each figure as [value, low, high], or [value] without resampling; None where no hand was seen."""
    found: dict[str, list[float]] = {}
    for draw in drawn(len(rows), resamples):
        for name, value in shares([rows[i] for i in draw]).items():
            found.setdefault(name, []).append(value)
    return {name: interval(values) for name, values in found.items()} | {"pictures": len(rows)}


def paired(rows: Sequence[dict[str, Any]], others: Sequence[dict[str, Any]]) -> dict[str, list[float]]:
    """What each figure is above the others' as [value, low, high]; picture i has the same words and noise in both."""
    found: dict[str, list[float]] = {}
    for draw in drawn(len(rows), RESAMPLES):
        mine, theirs = (shares([each[i] for i in draw]) for each in (rows, others))
        for name in mine.keys() & theirs.keys():
            found.setdefault(name, []).append(mine[name] - theirs[name])
    return {name: interval(values) for name, values in sorted(found.items())}


def drawn(count: int, resamples: int) -> list[np.ndarray]:
    """All pictures as they are, and then with replacement."""
    rng = np.random.default_rng(0)
    return [np.arange(count), *(rng.integers(count, size=count) for _ in range(resamples))]


def shares(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Of these pictures; without "hand_conf" where no hand was seen."""
    seen = [row for row in rows if row["scores"]]
    values = {
        "detected": len(seen) / len(rows),
        "agreement": sum(row["agrees"] for row in rows) / len(rows),
        "background_kept": sum(row["background"] for row in rows) / len(rows),
    }
    if seen:
        values["hand_conf"] = float(np.mean([score for row in seen for score in row["scores"]]))
    return values


def interval(values: Sequence[float]) -> list[float]:
    ends = np.percentile(values[1:], [2.5, 97.5]).tolist() if len(values) > 1 else []
    return [round(float(value), 4) for value in (values[0], *ends)]


def kid_h(places: Sequence[Path], kind: str, weights: Path) -> float:
    """KID of all seen hands' crops against the true renders'."""
    from handfirst.training.evaluate.cases import Case
    from handfirst.training.evaluate.inception import features, load_inception
    from handfirst.training.evaluate.judging.crops import kernel
    from handfirst.training.evaluate.pictures import PictureFile

    network, _ = load_inception(weights)

    def of(which: str) -> np.ndarray:
        files = [file for place in places for file in crops(place / f"pictures-{which}")]
        cases = [Case(f"{file.parent.parent.name}-{file.stem}", PictureFile(file)) for file in files]
        return np.asarray(features(network, cases, False, lambda *_: None))

    a, b = of(kind), of("true")
    off = [(k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in (kernel(a, a), kernel(b, b))]
    return round(float(sum(off) - 2 * kernel(a, b).mean()), 5)


def crops(folder: Path) -> list[Path]:
    """Squares of 1.5 times each seen hand's box, 128 pixels, written once."""
    files = []
    for i, hands in enumerate(read_seen(folder)):
        image = read_png(folder / f"{i:05}.png")
        for k, hand in enumerate(hands):
            left, top, right, bottom = hand["box"]
            half, x, y = 0.75 * max(right - left, bottom - top), (left + right) / 2, (top + bottom) / 2
            scale = CROP / (2 * half)
            matrix = np.array([[scale, 0, CROP / 2 - scale * x], [0, scale, CROP / 2 - scale * y]])
            files.append(folder / f"crop-{i:05}-{k}.png")
            cut = cv2.warpAffine(image, matrix, (CROP, CROP), borderMode=cv2.BORDER_REPLICATE)
            write_png(files[-1], np.asarray(cut, np.uint8))
    return files


def told(folder: Path, i: int) -> dict[str, Any]:
    return dict(json.loads((folder / f"{i:05}.json").read_text()))


def read_seen(folder: Path) -> list[Any]:
    return list(json.loads((folder / "seen.json").read_text()))


def pictures_of(folder: Path) -> list[Path]:
    return sorted(folder.glob("0????.png"))


def read_png(file: Path) -> np.ndarray:
    return np.ascontiguousarray(cv2.imread(str(file))[..., ::-1])


def write_png(file: Path, rgb: np.ndarray) -> None:
    atomic_write_bytes(file, cv2.imencode(".png", np.ascontiguousarray(rgb[..., ::-1]))[1].tobytes())
