"""What a finger's chain of landmarks may look like: percentiles of the renderer's true hands.

    python benchmarks/finger_limits.py            # -> results/finger-limits.json, and the constants to copy

Single hands with all gestures and views, of seeds that nothing else draws. The 1st and 99th percentile of each figure
are the limits of training/evaluate/judging/fingers.py; a bend has no lower one. Environment: .[train]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from handfirst.engines.files import atomic_write_bytes
from handfirst.training.data.procedural.sample import LEFT_HAND, RIGHT_HAND, SIDES, sample_hand
from handfirst.training.evaluate.judging.fingers import NAMES, chains

FIRST_SEED = 60_000_000
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
        "limits": {name: limits[i].tolist() for i, name in enumerate(NAMES)},
        "order": ["length", "order", "bend"],
        "chains_inside": {name: round(float(inside[:, i].mean()), 4) for i, name in enumerate(NAMES)},
        "hands_inside": round(float(inside.all(1).mean()), 4),
    }
    options.out.mkdir(parents=True, exist_ok=True)
    atomic_write_bytes(options.out / "finger-limits.json", (json.dumps(report, indent=1) + "\n").encode())
    print(json.dumps(report))


def points(seed: int, side: str) -> np.ndarray:
    """[21, 2]; a small picture, because only its truth is wanted."""
    sample = sample_hand(seed, 32, side=side, supersample=1)
    return sample.keypoints[LEFT_HAND if side == "left" else RIGHT_HAND, :2].astype(np.float64)


if __name__ == "__main__":
    main()
