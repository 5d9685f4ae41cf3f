"""Annotated Hands' claim on rendered hands: the same network and budget with three channels and with six.

    .venv-train/bin/python benchmarks/annotated.py --work DIR            # .[train,cpu]: render, train, sample
    .venv-eval/bin/python benchmarks/annotated.py --work DIR             # .[cpu,eval]: MediaPipe
    ... --dry-run                                                        # what is there, and what would be done

The same line goes on wherever it was stopped; what an environment cannot do is left to the other one. Results:
results/annotated.json and annotated.jpg. Budget: --seeds, --steps, --hands, --pictures; steps, not minutes, so that
both arms see the same samples on a machine that others use, too. Both are told the gesture; every gesture is asked for
as often as every other. A step of 16 takes about 0.5 s of one core, the default four trainings an hour and a half.

The embedded model, whose training began with the first of six channels and went on, is judged beside them; so is the
best of some of its pictures, as of six channels'.

Measured on each picture's surest hand (MediaPipe Hands, confidence .5), beside true renders: share of pictures with a
hand; mean confidence of those; share of all pictures at .9 or more; and the joint-ratio difference, which the paper
names but does not define. Ours: of the 15 ratios of neighbouring bones' lengths (3 a finger, world landmarks) the mean
over hands, and of these the mean distance from the true renders'. Intervals: 95 %, by resampling pictures; how much two
trainings of one arm differ is told seed by seed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from plan import Step, carry_out, left_of, pin

from handfirst.engines.bundle import Bundle
from handfirst.engines.files import atomic_write_bytes
from handfirst.runtime.pose.topology import FINGERS
from handfirst.runtime.profile.machine import machine

RESULTS = Path(__file__).parent / "results"
ARMS = {"three": "none", "six": "channels"}
"""Annotation of each arm's model."""
EMBEDDED = "sample"
BEST = {"best": "six", "embedded-best": "embedded"}
"""Rows of the best of some, and what draws them."""
SIZE = 64
HELD_OUT = 70_000_000
"""First seed of the true renders: far from those that are trained on."""
SURE = 0.9
RESAMPLES = 2000
AT_ONCE = 8
SHOWN = 12
"""Pictures of a row of the sheet."""


def main() -> None:
    """Does what is left and this environment can do; then the table, as far as there is anything to tell."""
    options = parsed()
    left = left_of(plan(options))
    if options.dry_run:
        return
    pin(options.work, budget(options))
    carry_out(left)
    report(options)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for shards, runs and pictures")
    parser.add_argument("--seeds", type=int, default=2, help="trainings of each arm")
    parser.add_argument("--steps", type=int, default=3000, help="optimizer steps of each")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--hands", type=int, default=12_000, help="rendered hands to train on")
    parser.add_argument("--pictures", type=int, default=256, help="of each training, and true renders")
    parser.add_argument("--best-of", type=int, default=4, help="candidates of the third row, six channels again")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--dry-run", action="store_true")
    return parser.parse_args()


def budget(options: argparse.Namespace) -> dict[str, int]:
    return {name: value for name, value in vars(options).items() if name not in ("work", "out", "dry_run")}


def plan(options: argparse.Namespace) -> Iterator[Step]:
    work: Path = options.work
    shards = work / "shards"
    yield Step("render hands", "numba", shards / "done", partial(render, shards, options.hands))
    for arm in ARMS:
        for seed in range(options.seeds):
            place = work / f"{arm}-{seed}"
            model, bundle = place / "run" / "model", place / "bundle"
            yield Step(f"train {arm} {seed}", "torch", model, partial(train, place, arm, seed, shards, options))
            yield Step(f"export {arm} {seed}", "onnxscript", bundle, partial(export, model, bundle))
    for kind, place in shown(options):
        if kind == "true":
            needs, work_ = "numba", partial(render_truth, place, options.pictures)
        else:
            needs, work_ = "onnxruntime", partial(sample, kind, place, options)
        yield Step(f"draw {place.name}", needs, place / "done", work_)
        yield Step(f"look at {place.name}", "mediapipe", place / "seen.json", partial(look, place))


def shown(options: argparse.Namespace) -> Iterator[tuple[str, Path]]:
    """(row of the table, folder of its pictures)."""
    yield "true", options.work / "pictures-true"
    for seed in range(options.seeds):
        for kind in (*ARMS, "best"):
            yield kind, options.work / f"pictures-{kind}-{seed}"
    for kind in ("embedded", "embedded-best"):
        yield kind, options.work / f"pictures-{kind}-{Bundle.open(EMBEDDED).digest[:8]}"


def render(shards: Path, count: int) -> None:
    from handfirst.training.data.procedural.writer import render_dataset

    render_dataset("hand", shards, count, SIZE, workers=1)
    (shards / "done").touch()


def train(place: Path, arm: str, seed: int, shards: Path, options: argparse.Namespace) -> None:
    """Both arms: the demo's network, whose first and last convolution alone differ, and the same samples."""
    from handfirst.training.systems.annotated.config import load_config, new_model

    config = load_config("demo")
    if not (place / "start").exists():
        settings = config.settings.model_copy(update={"annotation": ARMS[arm], "size": SIZE})
        new_model(config.model_copy(update={"settings": settings}), None, None, seed, place / "start")
    said = {"--config": "demo", "--data": shards, "--out": place / "run", "--seed": seed}
    said |= {"--steps": options.steps, "--batch": options.batch}
    words = [str(word) for pair in said.items() for word in pair]
    command = [sys.executable, "-m", "handfirst.runtime.cli.main", "train", "annotated", "denoiser"]
    subprocess.run([*command, str(place / "start"), *words], check=False)  # one that is stopped has no model


def export(model: Path, bundle: Path) -> None:
    from handfirst.export.bundle_writer import export_bundle
    from handfirst.export.options import ExportOptions

    export_bundle(model, bundle, ExportOptions("annotated-comparison"))


def sample(kind: str, place: Path, options: argparse.Namespace) -> None:
    """PNGs by number, and beside each a JSON of its consistency; those that are there are not drawn again."""
    import handfirst
    from handfirst.runtime.systems.annotated.request import SampleRequest

    arm, seed = BEST.get(kind, kind), place.name.rpartition("-")[2]
    bundle = EMBEDDED if arm == "embedded" else options.work / f"{arm}-{seed}" / "bundle"
    system = handfirst.open(bundle, engine="cpu", threads=1)
    place.mkdir(parents=True, exist_ok=True)
    classes = system.settings.classes
    wanted = [i for i in range(options.pictures) if not (place / f"{i:05}.json").exists()]
    for start in range(0, len(wanted), AT_ONCE):
        some = wanted[start : start + AT_ONCE]
        best = options.best_of if kind in BEST else 1
        asked = [SampleRequest(label=classes[i % len(classes)], seed=i, best_of=best) for i in some]
        for i, result in zip(some, system.render_batch(asked), strict=True):
            write_png(place / f"{i:05}.png", result.image)
            if result.annotation is not None:
                write_png(place / f"{i:05}-annotation.png", result.annotation)
            told = json.dumps({"consistency": result.consistency})
            atomic_write_bytes(place / f"{i:05}.json", told.encode())
    system.close()
    (place / "done").touch()


def render_truth(place: Path, count: int) -> None:
    from handfirst.training.data.procedural.sample import sample_hand

    place.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        if not (place / f"{i:05}.png").exists():
            write_png(place / f"{i:05}.png", sample_hand(HELD_OUT + i, SIZE).rgb)
    (place / "done").touch()


def look(place: Path) -> None:
    """Of every picture its surest hand: {"score", "ratios"}, or null; the files' order."""
    from handfirst.runtime.pose.photo import enlarged, solutions

    seen: list[Any] = []
    hands = solutions().hands
    with hands.Hands(static_image_mode=True, max_num_hands=2, min_detection_confidence=0.5) as network:
        for file in pictures_of(place):
            found = network.process(enlarged(read_png(file)))
            scores = [each.classification[0].score for each in found.multi_handedness or ()]
            if not scores:
                seen.append(None)
                continue
            best = int(np.argmax(scores))
            points = np.array([(p.x, p.y, p.z) for p in found.multi_hand_world_landmarks[best].landmark])
            seen.append({"score": float(scores[best]), "ratios": ratios(points).tolist()})
    atomic_write_bytes(place / "seen.json", json.dumps(seen).encode())


def ratios(points: np.ndarray) -> np.ndarray:
    """points [21, 3] -> [15], a finger's three after the other's: how long a bone is beside the one below it."""
    made = []
    for finger in FINGERS:
        chain = points[[0, *finger]]
        lengths = np.linalg.norm(np.diff(chain, axis=0), axis=1)
        made += (lengths[1:] / np.maximum(lengths[:-1], 1e-9)).tolist()
    return np.array(made)


def report(options: argparse.Namespace) -> None:
    """Writes the table and the sheet of what there is."""
    rows: dict[str, list[Path]] = {}
    for kind, place in shown(options):
        if (place / "done").exists():
            rows.setdefault(kind, []).append(place)
    if not rows:
        return
    judged = {kind: places for kind, places in rows.items() if all((p / "seen.json").exists() for p in places)}
    table: dict[str, Any] = {}
    if "true" in judged:
        truth = read_seen(judged["true"])
        table = {kind: {**figures(read_seen(places), truth),
                        "by_seed": [figures(read_seen([p]), truth, 0) for p in places]}
                 for kind, places in judged.items()}  # fmt: skip
    consistent = {kind: consistency(places) for kind, places in rows.items() if kind not in ("true", "three")}
    told = {
        "budget": budget(options), "embedded": Bundle.open(EMBEDDED).digest, "size_px": SIZE, "table": table,
        "consistency": consistent, "machine": machine(),
    }  # fmt: skip
    options.out.mkdir(parents=True, exist_ok=True)
    atomic_write_bytes(options.out / "annotated.json", (json.dumps(told, indent=1) + "\n").encode())
    ok, data = cv2.imencode(".jpg", sheet(rows)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
    if ok:
        atomic_write_bytes(options.out / "annotated.jpg", data.tobytes())
    print(json.dumps(table or "no pictures were looked at yet", indent=1))


def figures(seen: Sequence[Any], truth: Sequence[Any], resamples: int = RESAMPLES) -> dict[str, Any]:
    """Each figure as [value, low, high], or [value] without resampling; None where no hand was seen."""
    rng = np.random.default_rng(0)
    draws = [np.arange(len(seen)), *(rng.integers(len(seen), size=len(seen)) for _ in range(resamples))]
    real = np.mean([hand["ratios"] for hand in truth if hand], 0)
    found: dict[str, list[float]] = {"detected": [], "confidence": [], "share_sure": [], "joint_ratio_difference": []}
    for draw in draws:
        hands = [seen[i] for i in draw if seen[i]]
        found["detected"].append(len(hands) / len(seen))
        found["share_sure"].append(sum(hand["score"] >= SURE for hand in hands) / len(seen))
        if hands:
            found["confidence"].append(float(np.mean([hand["score"] for hand in hands])))
            mean = np.mean([hand["ratios"] for hand in hands], 0)
            found["joint_ratio_difference"].append(float(np.abs(mean - real).mean()))
    return {name: interval(values) for name, values in found.items()} | {"pictures": len(seen)}


def interval(values: Sequence[float]) -> list[float] | None:
    if not values:
        return None
    ends = np.percentile(values[1:], [2.5, 97.5]).tolist() if len(values) > 1 else []
    return [round(float(value), 4) for value in (values[0], *ends)]


def consistency(places: Sequence[Path]) -> dict[str, float]:
    values = [json.loads(file.read_text())["consistency"] for place in places for file in sorted(place.glob("0*.json"))]
    return {"mean": round(float(np.mean(values)), 4), "median": round(float(np.median(values)), 4)}


def read_seen(places: Sequence[Path]) -> list[Any]:
    return [hand for place in places for hand in json.loads((place / "seen.json").read_text())]


def sheet(rows: dict[str, list[Path]]) -> np.ndarray:
    """A row of each kind, the first training's; of six channels the annotations, too."""
    lines = []
    for places in rows.values():
        files = pictures_of(places[0])[:SHOWN]
        lines.append([read_png(file) for file in files])
        annotations = [file.with_name(f"{file.stem}-annotation.png") for file in files]
        if all(file.exists() for file in annotations):
            lines.append([read_png(file) for file in annotations])
    widest = max(len(line) for line in lines)
    blank = np.full((SIZE, SIZE, 3), 255, np.uint8)
    return np.concatenate([np.concatenate([*line, *[blank] * (widest - len(line))], 1) for line in lines])


def pictures_of(place: Path) -> list[Path]:
    return sorted(place.glob("0????.png"))


def read_png(file: Path) -> np.ndarray:
    return np.ascontiguousarray(cv2.imread(str(file))[..., ::-1])


def write_png(file: Path, rgb: np.ndarray) -> None:
    atomic_write_bytes(file, cv2.imencode(".png", rgb[..., ::-1])[1].tobytes())


if __name__ == "__main__":
    main()
