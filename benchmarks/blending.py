"""Table II of the paper, and our variants: ways to keep the hands while the body is painted, on equal poses and seeds.

    python benchmarks/blending.py --work DIR --people 48            # -> results/table2.json, table2.jpg

Run again it goes on, and in the environment of another judge it adds that judge (docs/evaluate.md). Every figure
stands beside the true renders', and every variant's difference to the paper's own way with its paired interval.
Environment: .[train,cpu] without MediaPipe, .[cpu,eval] with it.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
from PIL import Image

from handfirst.engines.files import atomic_write_bytes
from handfirst.training.evaluate.judging.held_out import held_out, render
from handfirst.training.evaluate.judging.painting import Changes
from handfirst.training.evaluate.judging.paired import differences
from handfirst.training.evaluate.judging.run import Recipe, judge_all
from handfirst.training.evaluate.judging.table import Table
from handfirst.training.evaluate.score import Sampling

RESULTS = Path(__file__).parent / "results"
OWN = "expansion"
"""The paper's own."""
VARIANTS: dict[str, tuple[str, ...]] = {
    OWN: ("blend=expansion",),
    "naive": ("blend=naive",),
    "bounding box": ("blend=bounding-box",),
    "clean source": (
        "blend=expansion",
        "settings.body.blend_source=clean",
    ),
    "blended to the end": (
        "blend=expansion",
        "settings.body.unblended=0",
    ),
    "half the radius": (
        "blend=expansion",
        "settings.body.mask_radius=0.05",
    ),
    "twice the radius": (
        "blend=expansion",
        "settings.body.mask_radius=0.2",
    ),
    "a cell at a time": (
        "blend=expansion",
        "settings.body.mask_schedule=latent",
    ),
}
SHOWN = 8


def main() -> None:
    """Judges every variant, compares, and writes the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder of pictures and looks, a folder a variant")
    parser.add_argument("--bundle", type=Path, default=None, help="default: the embedded bundle")
    parser.add_argument("--people", type=int, default=48)
    parser.add_argument("--steps", type=int, default=None)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    sampling, table, compared = Sampling(), Table(), {}
    names = {}
    for name, said in VARIANTS.items():
        recipe = Recipe(
            bundle=options.bundle, people=options.people, hands=0, steps=options.steps, engine="cpu",
            changes=Changes.read(said), sampling=sampling,
        )  # fmt: skip
        found = judge_all(recipe, options.work / name, lambda *_: None)
        table = table.joined(found)
        names[name] = {"set": said, "digest": next(iter(found.judged))}
        if name != OWN:
            compared[name] = [
                {("set" if key == "set_" else key): value for key, value in asdict(each).items()}
                for each in differences(options.work / OWN, options.work / name, sampling)
                if each.set_ == "people"
            ]
        print(name)
    answer = {"variants": names, f"{OWN} less": compared, "table": table.model_dump(mode="json")}
    options.out.mkdir(parents=True, exist_ok=True)
    atomic_write_bytes(options.out / "table2.json", (json.dumps(answer, indent=1) + "\n").encode())
    Image.fromarray(sheet(options.work, options.people)).save(options.out / "table2.jpg", quality=88)


def sheet(work: Path, people: int) -> np.ndarray:
    """A row a variant in the order of VARIANTS, the true renders below; uint8 [H, W, 3]."""
    poses = held_out(min(people, SHOWN), 0)
    rows = [[np.asarray(Image.open(work / name / "pictures" / f"{p.key}.png")) for p in poses] for name in VARIANTS]
    rows.append([render(pose, len(rows[0][0])).rgb for pose in poses])
    return np.concatenate([np.concatenate(row, 1) for row in rows])


if __name__ == "__main__":
    main()
