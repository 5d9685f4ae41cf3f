"""What an autoencoder makes of pictures that it never saw: PSNR by set and inside faces and hands, spread of latents.

    python benchmarks/reconstruction.py --bundle first=DIR --run new=runs/demo   # -> results/reconstruction.json, .png

Every model sees the same held-out renders (the recipe's own seeds); a bundle runs as it is served, a run's autoencoder
in torch. The sheet shows the renders, then a row for each model. Environment: .[train,cpu]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import handfirst
from handfirst.engines.files import atomic_write_bytes
from handfirst.runtime.diffusion.codec import Codec
from handfirst.runtime.profile.machine import machine
from handfirst.training.data.arrays import Pictures, load_pictures
from handfirst.training.data.procedural.writer import render_dataset
from handfirst.training.loop.journal import write_sheet
from handfirst.training.recipe.autoencoder import codec_of, encode_pictures, fidelity
from handfirst.training.recipe.recipe import HELD_OUT
from handfirst.training.recipe.run import trained_autoencoder
from handfirst.training.systems.two_stage.config import load_config

Served = tuple[Callable[..., Any], Callable[[Pictures], np.ndarray]]
RESULTS = Path(__file__).parent / "results"
SHOWN = 8


def main() -> None:
    """Measures and writes the two files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", action="append", default=[], metavar="NAME=DIR", help="DIR empty: the embedded one")
    parser.add_argument("--run", action="append", default=[], metavar="NAME=DIR", help="a run of `train demo`")
    parser.add_argument("--config", default="demo", help="the runs' configuration")
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        hands, people = (pictures(Path(folder), *kind, options.count) for kind in (("hand", 128), ("person", 192)))
        rows, report = [people.rgb[:SHOWN]], {}
        for name, (there_and_back, latents) in models(options).items():
            report[name] = {**fidelity(there_and_back, hands, people), "latent_std": spread(latents(people))}
            rows.append(there_and_back(people.rgb[:SHOWN]))
            print(name, json.dumps(report[name]))
    report = {"n": options.count, "first_seed": HELD_OUT, "psnr_db": report, "machine": machine()}
    options.out.mkdir(parents=True, exist_ok=True)
    write_sheet(options.out / "reconstruction.png", rows)
    atomic_write_bytes(options.out / "reconstruction.json", (json.dumps(report, indent=1) + "\n").encode())


def models(options: argparse.Namespace) -> dict[str, Served]:
    """name -> (pictures there and back, raw latents)."""
    found: dict[str, Served] = {}
    for given in options.bundle:
        name, _, folder = given.partition("=")
        found[name] = served(handfirst.open(Path(folder) if folder else None)._body._codec)
    for given in options.run:
        name, _, folder = given.partition("=")
        model = trained_autoencoder(load_config(options.config), Path(folder))
        found[name] = (codec_of(model), lambda source, model=model: encode_pictures(model, source).float().numpy())
    return found


def served(codec: Codec) -> Served:
    """A bundle's autoencoder."""
    return lambda rgb: codec.decode(codec.encode(rgb)), lambda source: codec.encode(source.rgb[:16]) * codec._std


def pictures(folder: Path, kind: str, size: int, count: int) -> Pictures:
    """Held-out renders as arrays, without their mirror images."""
    render_dataset(kind, folder / kind, count, size, HELD_OUT, progress=False)
    both = load_pictures(folder / kind, folder / f"{kind}-arrays")
    return Pictures(
        both.rgb[:count], both.hands[:count], both.keypoints[:count], both.captions[:count], both.attributes[:count]
    )


def spread(latents: np.ndarray) -> list[float]:
    """Standard deviation of each channel, [B, C, h, w] -> C numbers."""
    return [round(float(v), 3) for v in torch.from_numpy(np.asarray(latents)).float().std((0, 2, 3))]


if __name__ == "__main__":
    main()
