"""What solvers, steps and speed levels cost in quality and save in work, against DDIM with 50 + 50 steps and eta 0.

    python benchmarks/speed_levels.py --work DIR --people 16        # -> results/speed-levels.json

Held-out poses, the same seed for all pictures of a pose, one thread. Every picture is kept in DIR: run again it goes
on, and with a larger --people it measures those alone that are new. All variants of a pose are painted one after the
other, beginning with another one at each pose; time is the processor's (other work on the machine is not in it), as a
ratio to the reference of the same pose, the median over poses. PSNR is over pixels that both pictures painted: those
that either kept from its hands would flatter it; over the hands' own, which differ as stage 1 differs, it stands apart.
The judge is MediaPipe Hands; without it (.[train,cpu]) its figures are null, with it (.[cpu,eval]) the same pictures
are judged.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import handfirst
from handfirst.engines.files import atomic_write_bytes
from handfirst.runtime.diffusion.table import StepTable
from handfirst.runtime.pose.person import Person, Pose
from handfirst.runtime.profile.machine import machine
from handfirst.training.data.procedural.sample import Sample
from handfirst.training.evaluate.detect import cut
from handfirst.training.evaluate.judging.held_out import HeldOut, held_out, list_digest, person_of, render

RESULTS = Path(__file__).parent / "results"
REFERENCE = "ddim 50"
VARIANTS: dict[str, dict[str, Any]] = {
    REFERENCE: {"solver": "ddim", "steps": 50},
    **{f"ddim {n}": {"solver": "ddim", "steps": n} for n in (25, 10)},
    **{f"dpm++ {n}": {"solver": "dpm++", "steps": n} for n in (25, 15, 10)},
    **{f"unipc {n}": {"solver": "unipc", "steps": n} for n in (25, 15, 10)},
    "fast": {"solver": "ddim", "steps": 50, "speed": "fast"},
    "fastest": {"solver": "ddim", "steps": 50, "speed": "fastest"},
    "unipc 25 fast": {"solver": "unipc", "steps": 25, "speed": "fast"},
}

Image = NDArray[np.uint8]
Judge = Callable[[Image, NDArray[np.float64], str], Any]


def main() -> None:
    """Paints what is missing, compares, and writes the file after every pose."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder of pictures, a folder a pose")
    parser.add_argument("--bundle", type=Path, default=None, help="default: the embedded bundle")
    parser.add_argument("--people", type=int, default=16)
    parser.add_argument("--variant", action="append", default=[], help="of VARIANTS; default: all")
    parser.add_argument("--out", type=Path, default=RESULTS / "speed-levels.json")
    options = parser.parse_args()
    unknown = set(options.variant) - VARIANTS.keys()
    if unknown:
        parser.error(f"--variant: expected some of {', '.join(VARIANTS)}, got {', '.join(unknown)}")
    names = [name for name in VARIANTS if name in (REFERENCE, *(options.variant or VARIANTS))]
    model = handfirst.open(options.bundle, engine="cpu", threads=1)
    size, rows = model.settings.body.width, {name: [] for name in names}
    judge = hand_judge()
    for number, pose in enumerate(held_out(options.people, 0)):
        sample = render(pose, size)
        paint(model, pose, sample, number, names, options.work / pose.key)
        for name in names:
            rows[name].append(compared(options.work / pose.key, name, sample, judge))
        report = {
            "bundle": {"name": model.bundle.manifest.name, "digest": model.bundle.digest},
            "held_out": {"list": list_digest(), "people": number + 1},
            "reference": REFERENCE,
            "judge": None if judge is None else "MediaPipe Hands",
            "variants": {name: summary(model, VARIANTS[name], rows[name]) for name in names},
            "machine": machine(),
        }
        options.out.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_bytes(options.out, (json.dumps(report, indent=1) + "\n").encode())
        print(pose.key, flush=True)


def paint(model: Any, pose: HeldOut, sample: Sample, number: int, names: list[str], folder: Path) -> None:
    """Every variant's picture that is not there yet, with the seconds that it took the processor."""
    folder.mkdir(parents=True, exist_ok=True)
    size = len(sample.rgb)
    asked = {"pose": Pose((person_of(sample),), size, size), "prompt": sample.caption, "seed": number, "eta": 0.0}
    turn = number % len(names)
    for name in names[turn:] + names[:turn]:
        file = folder / f"{name}.npz"
        if file.exists():
            continue
        fields = asked | VARIANTS[name]
        fields |= {"eta": None} if fields["solver"] != "ddim" else {}
        start = time.process_time()
        result = model.render(handfirst.Request(**fields))
        seconds = time.process_time() - start
        part = file.with_suffix(".part.npz")
        np.savez_compressed(part, image=result.image, mask=result.mask, seconds=seconds)
        part.rename(file)


def compared(folder: Path, name: str, sample: Sample, judge: Judge | None) -> dict[str, Any]:
    """One picture beside the reference of its pose."""
    with np.load(folder / f"{REFERENCE}.npz") as own, np.load(folder / f"{name}.npz") as found:
        true, image, kept, mask = own["image"], found["image"], own["mask"], found["mask"]
        ratio = float(found["seconds"] / own["seconds"])
    errors = (image.astype(np.float64) - true) ** 2
    either, both = kept | mask, kept & mask
    return {
        "time": ratio,
        "painted": float(errors[~either].mean()),
        "hands": float(errors[either].mean()) if either.any() else None,
        "iou": float(both.sum() / either.sum()) if either.any() else 1.0,
        "verdicts": [] if judge is None else list(verdicts(image, person_of(sample), judge)),
    }


def verdicts(image: Image, person: Person, judge: Judge) -> Iterator[Any]:
    """MediaPipe's of every hand that is whole in the picture."""
    for side in ("left", "right"):
        points = person.hand(side)
        if person.has_hand(side) and np.isfinite(points).all():
            yield judge(*cut(image, points), side)


def hand_judge() -> Judge | None:
    """None where MediaPipe is not installed."""
    if find_spec("mediapipe") is None:
        return None
    from handfirst.training.evaluate.judge import HandJudge

    return HandJudge()


def summary(model: Any, fields: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Over all poses."""
    found = [each for row in rows for each in row["verdicts"]]
    errors = [each.error for each in found if each.error is not None]
    return {
        "evaluations": evaluations(model, fields),
        "n": len(rows),
        "time": round(float(np.median([row["time"] for row in rows])), 3),
        "psnr_painted": decibels([row["painted"] for row in rows]),
        "psnr_painted_lowest": decibels([max(row["painted"] for row in rows)]),
        "psnr_hands": decibels([row["hands"] for row in rows if row["hands"] is not None]),
        "mask_iou": round(float(np.mean([row["iou"] for row in rows])), 4),
        "hands_found": f"{len(errors)} of {len(found)}" if found else None,
        "keypoint_error": round(float(np.median(errors)), 4) if errors else None,
    }


def evaluations(model: Any, fields: dict[str, Any]) -> dict[str, int]:
    """Rows of a batch that a hand, and the body, ask their networks for."""
    pose = Pose((Person(np.zeros((133, 2)), np.ones(133)),), 64, 64)
    resolved = handfirst.Request(pose=pose, prompt="a person", **fields).resolve(model.settings)

    def count(table: StepTable) -> int:
        return int(table.answers(1 + table.guided).sum())

    return dict(zip(("hand", "body"), map(count, model._tables(resolved)), strict=True))


def decibels(errors: list[float]) -> float | None:
    """PSNR of the mean squared error of 8-bit pictures; None where they are equal."""
    error = float(np.mean(errors)) if errors else 0.0
    return round(10 * float(np.log10(255**2 / error)), 2) if error else None


if __name__ == "__main__":
    main()
