"""How good the demo bundle's pictures are: mask IoU and MediaPipe's verdict, beside the true renders' own.

    python -m venv .venv-eval && .venv-eval/bin/pip install '.[cpu,eval]'
    .venv-eval/bin/python benchmarks/demo_quality.py            # -> benchmarks/results/demo.json, demo_*.png

Held-out seeds; hands at 128 px, palm and back views; people at the bundle's canvas. Nothing here trains or tunes.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import handfirst
from handfirst.engines.files import atomic_write_bytes
from handfirst.runtime.geometry import Similarity, warp
from handfirst.runtime.pose.crop import hand_crops
from handfirst.runtime.pose.person import Person, Pose
from handfirst.runtime.profile.machine import machine
from handfirst.training.data.procedural.sample import Sample, sample_hand, sample_person
from handfirst.training.evaluate.detect import cut
from handfirst.training.evaluate.judge import BodyJudge, HandJudge, Verdict, summary
from handfirst.training.evaluate.judging.table import model_digest

HELD_OUT = 80_000_000  # far from every seed that was trained on or used to choose a setting
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Measures and writes the two files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, default=None, help="default: the embedded demo bundle")
    parser.add_argument("--hands", type=int, default=64)
    parser.add_argument("--people", type=int, default=192)
    parser.add_argument("--steps", type=int, default=None)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    pipeline = handfirst.open(options.bundle)
    manifest, started = pipeline.bundle.manifest, time.time()
    hands, hand_tiles = measure_hands(pipeline, options.hands, options.steps)
    people, people_tiles = measure_people(pipeline, options.people, options.steps)
    report = {
        "bundle": {"name": manifest.name, "digest": pipeline.bundle.digest, "model": model_digest(manifest)},
        "hands": hands,
        "people": people,
        "training": manifest.training,
        "machine": machine(),
        "minutes": round((time.time() - started) / 60, 1),
    }
    options.out.mkdir(parents=True, exist_ok=True)
    atomic_write_bytes(options.out / "demo.json", (json.dumps(report, indent=1) + "\n").encode())
    for name, tiles in (("demo_hands.png", hand_tiles), ("demo_people.png", people_tiles)):
        atomic_write_bytes(options.out / name, cv2.imencode(".png", tiles[..., ::-1])[1].tobytes())
    print(json.dumps({k: report[k] for k in ("hands", "people")}, indent=1))


def measure_hands(pipeline: Any, count: int, steps: int | None) -> tuple[dict[str, Any], np.ndarray]:
    """`count` hands, half palm and half back: what stage 1 draws against the same crop of the true render."""
    judge, size = HandJudge(), pipeline.settings.hand.size
    drawn: dict[str, list[Verdict]] = {"palm": [], "back": []}
    true: dict[str, list[Verdict]] = {"palm": [], "back": []}
    ious, tiles = [], []
    for i in range(count):
        view = ("palm", "back")[i % 2]
        sample = sample_hand(HELD_OUT + i, 2 * size, view=view)
        pose, side = to_pose(sample), sample.attributes["side"]
        request = handfirst.Request(pose=pose, prompt=sample.caption, seed=i, steps=steps)
        (hand,) = pipeline.render(request).hands
        crop = hand_crops(pose.fit(*canvas_of(pipeline)).people[0], pipeline.settings.hand, *canvas_of(pipeline))[0]
        points = crop.similarity.apply(pose.fit(*canvas_of(pipeline)).people[0].hand(side))
        back = crop.similarity.inverse().then(fit_map(pose, *canvas_of(pipeline)).inverse())
        render = cut_render(sample.rgb, back, size)
        mask = warp(sample.hands > 0, back, size, size) >= 0.5
        ious.append(float((hand.mask & mask).sum() / (hand.mask | mask).sum()))
        drawn[view].append(judge(hand.image, points, side))
        true[view].append(judge(render, points, side))
        tiles.append(np.concatenate([hand.image, np.repeat(hand.mask[..., None] * np.uint8(255), 3, 2), render]))
    both = {name: verdicts["palm"] + verdicts["back"] for name, verdicts in (("drawn", drawn), ("true", true))}
    d, t = summary(both["drawn"], 0.1), summary(both["true"], 0.1)
    return {
        "n": count,
        "size_px": size,
        "mask_iou": {"mean": round(float(np.mean(ious)), 4), "median": round(float(np.median(ious)), 4)},
        "generated": d | {view: summary(v, 0.1) for view, v in drawn.items()},
        "renders_ceiling": t | {view: summary(v, 0.1) for view, v in true.items()},
        "of_ceiling": {key: round(d[key]["value"] / t[key]["value"], 4) for key in ("detected", "error_below_0.1")},
    }, grid(tiles[:24], 12)


def measure_people(pipeline: Any, count: int, steps: int | None) -> tuple[dict[str, Any], np.ndarray]:
    """`count` people: MediaPipe Pose on the finished pictures, MediaPipe Hands on the true hand crops."""
    judge, hand_judge = BodyJudge(), HandJudge()
    width, height = canvas_of(pipeline)
    results: dict[str, list[Verdict]] = {k: [] for k in ("body", "body_true", "hands", "hands_true")}
    tiles, seconds = [], []
    for i in range(count):
        sample = sample_person(HELD_OUT + i, min(width, height))
        pose = to_pose(sample)
        result = pipeline.render(handfirst.Request(pose=pose, prompt=sample.caption, seed=i, steps=steps))
        seconds.append(result.seconds["total"])
        person = pose.fit(width, height).people[0]
        for name, image in (("", result.image), ("_true", sample.rgb)):
            results["body" + name].append(judge(enlarge(image), 2 * person.body))
            for side in ("left", "right"):
                points = person.hand(side)
                if person.has_hand(side) and np.isfinite(points).all():
                    results["hands" + name].append(hand_judge(*cut(image, points), side))
        tiles.append(np.concatenate([result.canvas, result.image, sample.rgb]))
    return {
        "n": count,
        "canvas_px": [width, height],
        "body": summary(results["body"], 0.2),
        "body_renders": summary(results["body_true"], 0.2),
        "hands": summary(results["hands"], 0.25),
        "hands_renders": summary(results["hands_true"], 0.25),
        "seconds_per_picture_median": round(float(np.median(seconds)), 2),
    }, grid(tiles[:8], 8)


def to_pose(sample: Sample) -> Pose:
    """A render's own key points as a pose."""
    seen = sample.keypoints[:, 2] > 0
    points = np.where(seen[:, None], sample.keypoints[:, :2], np.nan).astype(np.float64)
    person = Person(points=points, scores=seen.astype(np.float64))
    return Pose((person,), width=sample.rgb.shape[1], height=sample.rgb.shape[0])


def canvas_of(pipeline: Any) -> tuple[int, int]:
    """Width and height."""
    return pipeline.settings.body.width, pipeline.settings.body.height


def fit_map(pose: Pose, width: int, height: int) -> Similarity:
    """The map of Pose.fit: the pose's own canvas -> the bundle's."""
    scale = min(width / pose.width, height / pose.height)
    return Similarity(scale, (width - scale * pose.width) / 2, (height - scale * pose.height) / 2)


def cut_render(rgb: np.ndarray, back: Similarity, size: int) -> np.ndarray:
    """The same crop of the true render; where it leaves the picture, the picture's edge goes on."""
    pad = len(rgb) // 2
    wide = cv2.copyMakeBorder(rgb, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    return np.rint(warp(wide, back.then(Similarity(1.0, pad, pad)), size, size)).astype(np.uint8)


def enlarge(image: np.ndarray) -> np.ndarray:
    """Twice the size; MediaPipe wants a little more than 192 px."""
    return cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)


def grid(tiles: list[np.ndarray], columns: int) -> np.ndarray:
    """Rows of tiles; an unfinished row is left out."""
    whole = max(1, len(tiles) // columns)
    columns = min(columns, len(tiles))
    return np.concatenate([np.concatenate(tiles[r * columns : (r + 1) * columns], 1) for r in range(whole)])


if __name__ == "__main__":
    main()
