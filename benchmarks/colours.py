"""Do finished pictures have the colours that their prompts name: a bundle's held-out people, beside the true renders.

    python benchmarks/colours.py --bundle DIR --count 64            # -> results/colours.json (a row each), colours.jpg

The renders, their captions and the regions are those of `handfirst train look`. Environment: .[train,cpu]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image

import handfirst
from handfirst.engines.files import atomic_write_bytes
from handfirst.runtime.profile.machine import machine
from handfirst.training.data.procedural.sample import sample_person
from handfirst.training.evaluate.colours import Coloured, agreement, background_region, chest_region
from handfirst.training.evaluate.judging.table import model_digest
from handfirst.training.recipe.recipe import HELD_OUT
from handfirst.training.systems.two_stage.conditions import to_pose

RESULTS = Path(__file__).parent / "results"
SHOWN = 12


def main() -> None:
    """Paints, counts, and writes the two files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, default=None, help="default: the embedded bundle")
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--steps", type=int, default=None)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    model = handfirst.open(options.bundle)
    size = model.settings.body.height
    painted, truth, renders = [], [], []
    for i in range(options.count):
        sample = sample_person(HELD_OUT + i, size)
        pose = to_pose(sample.keypoints, size)
        request = handfirst.Request(pose=pose, prompt=sample.caption, seed=i, steps=options.steps)
        painted.append(model.render(request).image)
        renders.append(sample.rgb)
        truth.append(
            Coloured(
                background_region(sample.person_mask), sample.attributes["background_colour"],
                chest_region(sample.keypoints, sample.hands > 0), sample.attributes["top"],
            )
        )  # fmt: skip
    row = {
        "bundle": {"name": model.bundle.manifest.name, "digest": model.bundle.digest},
        "model": model_digest(model.bundle.manifest),
        "n": options.count,
        "first_seed": HELD_OUT,
        "steps": options.steps or model.settings.defaults.steps,
        "painted": agreement(painted, truth),
        "true": agreement(renders, truth),
        "machine": machine(),
    }
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "colours.json"
    rows = json.loads(file.read_text()) if file.exists() else []
    rows = [r for r in rows if (r.get("model"), r["steps"]) != (row["model"], row["steps"])]
    atomic_write_bytes(file, (json.dumps([*rows, row], indent=1) + "\n").encode())
    sheet = np.concatenate([np.concatenate(row[:SHOWN], 1) for row in (painted, renders)])
    Image.fromarray(sheet).save(options.out / "colours.jpg", quality=88)
    print(json.dumps({k: row[k] for k in ("painted", "true")}))


if __name__ == "__main__":
    main()
