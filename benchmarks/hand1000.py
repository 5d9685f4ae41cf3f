"""Hand1000's claim on rendered hands: the base model, plain fine-tuning and Hand1000, gesture by gesture.

    .venv-train/bin/python benchmarks/hand1000.py --base DIR --work DIR    # .[train,export,cpu]: render, train, sample
    .venv-eval/bin/python benchmarks/hand1000.py --base DIR --work DIR     # .[cpu,eval]: MediaPipe
    ... --dry-run                                                          # what is there, and what would be done

DIR of --base is a trained two-stage model. The same line goes on wherever it was stopped; what an environment cannot do
is left to the other one. Results: results/hand1000.json and hand1000.jpg.

The base is the model's hand generator, which first learns to draw hands of captions alone (`train gesture-text base`),
on renders of all gestures; captions name them, as those of the embedded model's training do. (The body's base UNet has
never drawn a person of words alone: no detector finds a hand in its pictures.)

Both trained arms see the same pictures, and take the same number of optimizer steps: plain fine-tuning tunes the
adapter from the prompt's own embedding alone (lambda = mu = 1), Hand1000 learns the fusion first. Prompts are captions
of renders that nothing was trained on, each ending in the gesture's words.

Measured, with 95 % intervals by resampling pictures, beside true renders: share of pictures in which MediaPipe sees a
hand; HAND-CONF, the mean confidence of the hands that it sees (two at most); gesture agreement, ours: share of pictures
with a hand whose 20 bending angles are nearest to this gesture's mean over true renders, of the gestures here; colours,
ours: whether the median of the upper corners has the word that the caption says of the background. With --inception
FILE also KID-H of crops of all hands that are seen. True renders are judged by means of the other half of them. Arms
are compared picture by picture, as the same words and the same noise made both.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from hand1000_judging import (
    figures,
    judged,
    kid_h,
    look,
    mean_angles,
    paired,
    pictures_of,
    read_png,
    told,
    write_png,
)
from plan import Step, carry_out, left_of, pin

from handfirst.engines.files import atomic_write_bytes
from handfirst.runtime.pose.topology import HANDS, SIDES
from handfirst.runtime.profile.machine import machine

RESULTS = Path(__file__).parent / "results"
GESTURES = ("fist", "like", "ok", "palm", "peace", "rock")
ARMS = ("base", "plain", "hand1000")
HELD_OUT = 70_000_000
"""First seed of what prompts come from: far from those that are trained on."""
APART = 1_000_000
"""Between the seeds of two gestures."""
GENERAL = 50_000_000
"""First seed of the hands that the base learns from."""
AT_ONCE = 8
SHOWN = 10
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
    parser.add_argument("--base", type=Path, required=True, help="a trained two-stage model")
    parser.add_argument("--work", type=Path, required=True, help="folder for shards, runs and pictures")
    parser.add_argument("--gestures", nargs="+", default=list(GESTURES))
    parser.add_argument("--general", type=int, default=5000, help="rendered hands of all gestures, for the base")
    parser.add_argument("--base-minutes", type=float, default=30.0, help="of one CPU thread, for the base")
    parser.add_argument("--hands", type=int, default=1000, help="rendered hands of each gesture to train on")
    parser.add_argument("--embedding-steps", type=int, default=400)
    parser.add_argument("--tuning-steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rank", type=int, default=8, help="of the fusion")
    parser.add_argument("--pictures", type=int, default=64, help="of each arm and gesture, and true renders")
    parser.add_argument("--sample-steps", type=int, default=None, help="denoising steps; default: the model's")
    parser.add_argument("--inception", type=Path, default=None, help="weights of the FID network, for KID-H")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--dry-run", action="store_true")
    return parser.parse_args()


def budget(options: argparse.Namespace) -> dict[str, Any]:
    apart = ("base", "work", "out", "dry_run", "inception")
    return {name: value for name, value in vars(options).items() if name not in apart}


def plan(options: argparse.Namespace) -> Iterator[Step]:
    work: Path = options.work
    fresh, general, start = work / "fresh", work / "general", work / "base" / "model"
    yield Step("begin", "torch", fresh, partial(begin, options, fresh))
    render_all = partial(render, general, None, options.general, options)
    yield Step("render hands of all gestures", "numba", general / "done", render_all)
    yield Step("base", "torch", start, partial(train_base, fresh, general, work / "base", options))
    for gesture in options.gestures:
        place = work / gesture
        shards = place / "shards"
        render_it = partial(render, shards, gesture, options.hands, options)
        yield Step(f"render {gesture}", "numba", shards / "done", render_it)
        feature = place / "feature" / "model"
        said = {"rank": options.rank}
        work_ = partial(train, "feature", start, place, "feature", said, options)
        yield Step(f"feature of {gesture}", "torch", feature, work_)
        both = options.embedding_steps + options.tuning_steps
        for name, stage, model, said in (
            ("plain", "tuning", feature, {"steps": both, "share": 1.0}),
            ("embedding", "embedding", feature, {"steps": options.embedding_steps}),
            ("hand1000", "tuning", place / "embedding" / "model", {"steps": options.tuning_steps}),
        ):
            done = place / name / "model"
            work_ = partial(train, stage, model, place, name, said, options)
            yield Step(f"{name} of {gesture}", "torch", done, work_)
    for arm in ARMS[1:]:
        yield Step(f"export {arm}", "onnxscript", work / f"bundle-{arm}", partial(export, arm, options))
    for gesture in options.gestures:
        place = work / gesture
        work_ = partial(render_truth, place, gesture, options)
        yield Step(f"true {gesture}", "numba", place / "pictures-true" / "done", work_)
        for arm in ARMS:
            done = place / f"pictures-{arm}" / "done"
            yield Step(f"draw {arm} {gesture}", "onnxruntime", done, partial(sample, arm, gesture, options))
        for kind in ("true", *ARMS):
            folder = place / f"pictures-{kind}"
            yield Step(f"look at {kind} {gesture}", "mediapipe", folder / "seen.json", partial(look, folder))


def begin(options: argparse.Namespace, out: Path) -> None:
    command("init", "gesture-text", out, "--base", options.base, "--part", "hand")


def train_base(model: Path, shards: Path, out: Path, options: argparse.Namespace) -> None:
    said = {"--config": "demo", "--set": f"minutes={options.base_minutes}", "--data": shards, "--out": out, "--seed": 0}
    words = [word for pair in said.items() for word in pair]
    command("train", "gesture-text", "base", model, *words, "--quiet")


def command(*words: object) -> None:
    """`handfirst`; one that is stopped leaves nothing behind that counts as done."""
    line = [sys.executable, "-m", "handfirst.runtime.cli.main", *map(str, words)]
    subprocess.run(line, check=False)


def size_of(options: argparse.Namespace) -> int:
    return int(json.loads((options.work / "fresh" / "settings.json").read_text())["size"])


def number(gesture: str, options: argparse.Namespace) -> int:
    return APART * list(options.gestures).index(gesture)


def render(shards: Path, gesture: str | None, count: int, options: argparse.Namespace) -> None:
    from handfirst.training.data.procedural.writer import render_dataset

    first = GENERAL if gesture is None else number(gesture, options)
    render_dataset("hand", shards, count, size_of(options), first, workers=1, gesture=gesture)
    (shards / "done").touch()


def train(
    stage: str, model: Path, place: Path, name: str, said: dict[str, Any], options: argparse.Namespace
) -> None:  # fmt: skip
    """One stage of one arm, at the demo's configuration but for what is said."""
    config = [] if stage == "feature" else ["--config", "demo", "--batch", options.batch]
    changes = [word for pair in {"gesture": place.name, **said}.items() for word in ("--set", f"{pair[0]}={pair[1]}")]
    folders = ["--data", place / "shards", "--out", place / name]
    command("train", "gesture-text", stage, model, *config, *changes, *folders, "--seed", 0, "--quiet")


def export(arm: str, options: argparse.Namespace) -> None:
    from handfirst.export.bundle_writer import export_bundle
    from handfirst.export.options import ExportOptions
    from handfirst.training.systems.gesture_text.model_folder import gather

    model = options.work / f"model-{arm}"
    gather([options.work / gesture / arm / "model" for gesture in options.gestures], model)
    export_bundle(model, options.work / f"bundle-{arm}", ExportOptions("hand1000-comparison"))


def held_out(gesture: str, i: int, options: argparse.Namespace) -> Any:
    """The true hand of picture i."""
    from handfirst.training.data.procedural.sample import sample_hand

    return sample_hand(HELD_OUT + number(gesture, options) + i, size_of(options), gesture=gesture)


def render_truth(place: Path, gesture: str, options: argparse.Namespace) -> None:
    """PNGs by number, and beside each its caption, its colours and where the gesture's wrist is."""
    folder = place / "pictures-true"
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(options.pictures):
        if (folder / f"{i:05}.json").exists():
            continue
        true = held_out(gesture, i, options)
        wrist = true.keypoints[[HANDS[side].start for side in SIDES]]
        told = {
            "caption": true.caption,
            "background": true.attributes["background_colour"],
            "wrist": wrist[int(wrist[:, 2].argmax()), :2].tolist(),
        }
        write_png(folder / f"{i:05}.png", true.rgb)
        atomic_write_bytes(folder / f"{i:05}.json", json.dumps(told).encode())
    (folder / "done").touch()


def sample(arm: str, gesture: str, options: argparse.Namespace) -> None:
    """PNGs by number; those that are there are not drawn again. The base hears the same words, and no gesture."""
    import handfirst
    from handfirst.runtime.diffusion.gesture import gesture_prompt
    from handfirst.runtime.systems.gesture_text.request import GestureRequest

    bundle = options.work / f"bundle-{'plain' if arm == 'base' else arm}"
    system = handfirst.open(bundle, engine="cpu", threads=1)
    folder, truth = options.work / gesture / f"pictures-{arm}", options.work / gesture / "pictures-true"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [i for i in range(options.pictures) if not (folder / f"{i:05}.png").exists()]

    def request(i: int) -> Any:
        words = gesture_prompt(told(truth, i)["caption"], system.settings.gesture(gesture).words)
        chosen = {} if arm == "base" else {"gesture": gesture, "mu": 1.0 if arm == "plain" else None}
        return GestureRequest(words, seed=i, steps=options.sample_steps, **chosen)

    for start in range(0, len(wanted), AT_ONCE):
        some = wanted[start : start + AT_ONCE]
        for i, result in zip(some, system.render_batch([request(i) for i in some]), strict=True):
            write_png(folder / f"{i:05}.png", result.image)
    system.close()
    (folder / "done").touch()


def report(options: argparse.Namespace) -> None:
    """Writes the table and the sheet of what there is."""
    places = {gesture: options.work / gesture for gesture in options.gestures}
    kinds = [
        kind for kind in ("true", *ARMS)
        if all((place / f"pictures-{kind}" / "seen.json").exists() for place in places.values())
    ]  # fmt: skip
    table: dict[str, Any] = {}
    compared: dict[str, Any] = {}
    if "true" in kinds:
        means = {parity: {g: mean_angles(p, parity) for g, p in places.items()} for parity in (0, 1)}
        judged_rows: dict[str, list[dict[str, Any]]] = {}
        for kind in kinds:
            rows = {gesture: judged(place, kind, gesture, means) for gesture, place in places.items()}
            judged_rows[kind] = every = [row for each in rows.values() for row in each]
            for other in ARMS[: ARMS.index(kind)] if kind in ARMS else ():
                if other in judged_rows:
                    compared[f"{kind} above {other}"] = paired(every, judged_rows[other])
            table[kind] = {**figures(every), "by_gesture": {g: figures(each, 0) for g, each in rows.items()}}
            if options.inception is not None and find_spec("torch") is not None:
                table[kind]["kid_h"] = kid_h(list(places.values()), kind, options.inception)
    told_ = {"budget": budget(options), "table": table, "paired": compared, "machine": machine()}
    options.out.mkdir(parents=True, exist_ok=True)
    if table:
        atomic_write_bytes(options.out / "hand1000.json", (json.dumps(told_, indent=1) + "\n").encode())
    if (drawn := sheet(places)) is not None:
        _, data = cv2.imencode(".jpg", drawn[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
        atomic_write_bytes(options.out / "hand1000.jpg", data.tobytes())
    print(json.dumps(table or "no pictures were looked at yet", indent=1))


def sheet(places: dict[str, Path]) -> np.ndarray | None:
    """A row of every gesture and kind, the first pictures."""
    lines = []
    for place in places.values():
        for kind in ("true", *ARMS):
            files = pictures_of(place / f"pictures-{kind}")[:SHOWN]
            if files:
                lines.append(np.concatenate([read_png(file) for file in files], 1))
    widest = max((line.shape[1] for line in lines), default=0)
    same = [line for line in lines if line.shape[1] == widest]
    return np.concatenate(same) if same else None


if __name__ == "__main__":
    main()
