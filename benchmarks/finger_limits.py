"""What a finger's chain of landmarks may look like: percentiles of the renderer's true hands.

    python benchmarks/finger_limits.py            # -> results/finger-limits.json, and the constants to copy

Single hands with all gestures and views, of seeds that nothing else draws. A rendered finger bends in one plane to the
last bit and a landmark network is never that exact: each point is moved by a normal error of .02 of the hand's box
(half of the median error of MediaPipe on true renders). The 1st and 99th percentile of each figure are the limits of
training/evaluate/judging/fingers.py; a bend has no lower one. Environment: .[train]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from handfirst.engines.files import atomic_write_bytes
from handfirst.training.data.procedural.hand import HandShape
from handfirst.training.data.procedural.sample import (
    LEFT_HAND,
    RIGHT_HAND,
    SIDES,
    _build_one,
    _frame_hand,
    generator,
    single_words,
)
from handfirst.training.data.procedural.scene import Scene
from handfirst.training.evaluate.judging.fingers import NAMES, chains

FIRST_SEED = 60_000_000
ERROR = 0.02  # of the longer side of the box
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Renders, measures and writes the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=4000)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    found = np.stack([chains(points(FIRST_SEED + i, SIDES[i % 2])) for i in range(options.count)])
    low, high = np.percentile(found, (1, 99), axis=0)
    low[:, 2] = 0  # no bend is ever too small
    limits = np.stack([low, high], -1).round(3)
    inside = ((found >= limits[..., 0]) & (found <= limits[..., 1])).all(2)
    report = {
        "n": options.count,
        "first_seed": FIRST_SEED,
        "error": ERROR,
        "limits": {name: limits[i].tolist() for i, name in enumerate(NAMES)},
        "order": ["length", "order", "bend"],
        "chains_inside": {name: round(float(inside[:, i].mean()), 4) for i, name in enumerate(NAMES)},
        "hands_inside": round(float(inside.all(1).mean()), 4),
    }
    options.out.mkdir(parents=True, exist_ok=True)
    atomic_write_bytes(options.out / "finger-limits.json", (json.dumps(report, indent=1) + "\n").encode())
    print(json.dumps(report))


def points(seed: int, side: str) -> np.ndarray:
    """[21, 2]: posed, turned and framed by the renderer's own code; no picture is traced, only its truth is wanted."""
    rng = generator("hand", seed)
    shape = HandShape(
        axes=np.eye(3), origin=np.zeros(3), left=False, fat=1.0, forearm=16.0,
        wrist_flexion=float(rng.uniform(-25, 25)), wrist_deviation=float(rng.uniform(-12, 12)),
    )  # fmt: skip
    joints, turn = _build_one(rng, Scene(), shape, single_words(rng, None, None, side))
    shown = joints[LEFT_HAND if side == "left" else RIGHT_HAND]
    camera, placement = _frame_hand(rng, shown @ turn.T, turn, 128)
    exact = camera.project(placement.to_camera(shown))
    return exact + rng.normal(0, ERROR * np.ptp(exact, 0).max(), exact.shape)


if __name__ == "__main__":
    main()
