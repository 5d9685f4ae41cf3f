"""Table I of the paper on rendered people: hands first, against the same base without them (baselines.py).

    .venv-train/bin/python benchmarks/table1.py --run RUN --bundle BUNDLE --work DIR   # .[train,cpu]: train and paint
    .venv-eval/bin/python benchmarks/table1.py --run RUN --bundle BUNDLE --work DIR    # .[cpu,eval]: MediaPipe
    ... --dry-run                                                                      # what is there and what is left

RUN is a finished run of `handfirst train demo`, BUNDLE what was exported of it (default: the embedded one). Goes on
where it was stopped. Writes results/table1.json, table1.jpg (a row of pictures each, true renders below) and
table1-curve.png, the single stage's loss, which has to have flattened before it can be compared with. The base of all
rows is one network's; what the baselines were trained beyond it is in the table as samples and minutes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from plan import Step, carry_out, left_of

from handfirst.engines.files import atomic_write_bytes
from handfirst.runtime.pictures import encode
from handfirst.training.evaluate.cases import Case
from handfirst.training.evaluate.detect import detect_all
from handfirst.training.evaluate.detections import read_detections, write_detections
from handfirst.training.evaluate.judging.held_out import HeldOut, held_out, render
from handfirst.training.evaluate.judging.paired import differences
from handfirst.training.evaluate.judging.run import Recipe as Judging
from handfirst.training.evaluate.judging.run import judge_all
from handfirst.training.evaluate.judging.table import Table
from handfirst.training.evaluate.measure import figure
from handfirst.training.evaluate.pictures import PictureFile
from handfirst.training.evaluate.score import Sampling, scored
from handfirst.training.systems.two_stage.conditions import to_pose

RESULTS = Path(__file__).parent / "results"
OURS = "hands first"
BASELINES = ("text only", "single stage", "repaired")
TRUE = "true renders"
PAPER: dict[str, dict[str, float]] = {
    "Stable Diffusion": {"dap": 0.00, "dap_hands": 0.00, "mpjpe": 0.381, "mpjpe_hands": 0.469},
    "ControlNet": {"dap": 0.59, "dap_hands": 0.39, "mpjpe": 0.094, "mpjpe_hands": 0.135},
    "HandRefiner": {"dap": 0.00, "dap_hands": 0.00, "mpjpe": 0.380, "mpjpe_hands": 0.466},
    "ours": {"dap": 0.77, "dap_hands": 0.75, "mpjpe": 0.047, "mpjpe_hands": 0.081},
}
"""Its Table I: 12,000 pictures of HaGRID. Its HandRefiner repairs pictures that were made from text alone."""
AT_ONCE = 8
SHOWN = 8
WINDOWS = 20
"""Means of the loss that the curve is told by."""


def main() -> None:
    """Does what is left and this environment can do, then writes what there is."""
    options = parsed()
    left = left_of(plan(options))
    if options.dry_run:
        return
    carry_out(left)
    report(options)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="a finished run of `handfirst train demo`")
    parser.add_argument("--config", default="demo", help="the run's configuration")
    parser.add_argument("--bundle", type=Path, default=None, help="what was exported of it; default: the embedded one")
    parser.add_argument("--work", type=Path, required=True, help="folder for the training, pictures and looks")
    parser.add_argument("--minutes", type=float, default=90.0, help="of the single stage's training")
    parser.add_argument("--train-steps", type=int, default=None, help="instead of minutes")
    parser.add_argument("--people", type=int, default=48)
    parser.add_argument("--steps", type=int, default=30, help="of sampling")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--dry-run", action="store_true")
    return parser.parse_args()


def plan(options: argparse.Namespace) -> Iterator[Step]:
    work: Path = options.work
    yield Step("train the single stage", "torch", work / "single" / "done", partial(train, options))
    for name in BASELINES:
        folder = work / "pictures" / name
        yield Step(f"paint {name}", "torch", folder / "done", partial(paint, name, options))
    for name in (OURS, *BASELINES):
        yield Step(f"judge {name}", "mediapipe", work / "judged" / name / "done", partial(judge, name, options))
    for name in (OURS, *BASELINES, TRUE):
        yield Step(f"detect {name}", "mediapipe", work / "detected" / f"{name}.json", partial(detect, name, options))


def train(options: argparse.Namespace) -> None:
    """The single stage, from the run's body."""
    import baselines

    run, single = recipes(options)
    baselines.train_single_stage(run, single, options.minutes, options.train_steps)
    (single.out / "done").touch()


def recipes(options: argparse.Namespace) -> tuple[Any, Any]:
    """The run, and the single stage's place."""
    from handfirst.training.recipe.run import Recipe
    from handfirst.training.systems.two_stage.config import load_config

    config = load_config(options.config)
    return Recipe(config, options.run), Recipe(config, options.work / "single")


def paint(name: str, options: argparse.Namespace) -> None:
    """Pictures KEY.png; those that are there are not made again."""
    import baselines

    painters = baselines.Baselines(*recipes(options), options.steps)
    folder: Path = options.work / "pictures" / name
    folder.mkdir(parents=True, exist_ok=True)
    size = painters.size
    wanted = [pose for pose in held_out(options.people, 0) if not (folder / f"{pose.key}.png").exists()]
    for i in range(0, len(wanted), AT_ONCE):
        poses = wanted[i : i + AT_ONCE]
        samples = [render(pose, size) for pose in poses]
        if name == "repaired":
            before = [read(options.work / "pictures" / "single stage" / f"{pose.key}.png") for pose in poses]
            made = painters.repaired(poses, samples, before)
        else:
            made = (painters.text_only if name == "text only" else painters.single_stage)(poses, samples)
        for pose, picture in zip(poses, made, strict=True):
            atomic_write_bytes(folder / f"{pose.key}.png", encode(picture))
        print(f"{name}: {min(i + AT_ONCE, len(wanted))} of {len(wanted)}", flush=True)
    (folder / "done").touch()


def judge(name: str, options: argparse.Namespace) -> Table:
    """The judges' table of one row; what they have seen is kept."""
    out = options.work / "judged" / name
    pictures = None if name == OURS else options.work / "pictures" / name
    asked = Judging(
        bundle=options.bundle if name == OURS else None, pictures=pictures, system=None if name == OURS else name,
        people=options.people, hands=0, steps=options.steps if name == OURS else None, engine="cpu",
    )  # fmt: skip
    table = judge_all(asked, out, lambda *_: None)
    if find_spec("mediapipe"):
        (out / "done").touch()
    return table


def cases(name: str, options: argparse.Namespace) -> list[Case]:
    """The poses with a row's pictures."""
    folder = options.work / (f"judged/{OURS}/pictures" if name == OURS else f"pictures/{name}")
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for pose in held_out(options.people, 0):
        file = folder / f"{pose.key}.png"
        sample = render(pose, side(options))
        if name == TRUE and not file.exists():
            atomic_write_bytes(file, encode(sample.rgb))
        found.append(Case(pose.key, PictureFile(file), to_pose(sample.keypoints, len(sample.rgb))))
    return found


def side(options: argparse.Namespace) -> int:
    """Pixels of a picture."""
    return len(read(options.work / "pictures" / BASELINES[0] / f"{held_out(1, 0)[0].key}.png"))


def detect(name: str, options: argparse.Namespace) -> None:
    """What MediaPipe Holistic finds, for the paper's own figures."""
    file: Path = options.work / "detected" / f"{name}.json"
    file.parent.mkdir(exist_ok=True)
    write_detections(file, detect_all(cases(name, options), lambda *_: None))


def pose_figures(name: str, options: argparse.Namespace) -> dict[str, Any] | None:
    """DAP, MPJPE and so on as [value, low, high]; None where nobody has looked."""
    file = options.work / "detected" / f"{name}.json"
    if not file.exists():
        return None
    shown, sampling = cases(name, options), Sampling()
    measures, every = scored(shown, read_detections(file), str(file)).measures, np.arange(len(shown))
    said = {m.name: figure(m.statistic, m.counts, every, sampling.resamples, sampling.seed) for m in measures}
    return {key: [each.value, each.low, each.high] for key, each in said.items() if each is not None}


def report(options: argparse.Namespace) -> None:
    """table1.json, the sheet and the curve of what there is."""
    work: Path = options.work
    table, compared = Table(), {}
    for name in (OURS, *BASELINES):
        if name == OURS or (work / "pictures" / name / "done").exists():
            table = table.joined(judge(name, options))
            if name != OURS:
                found = differences(work / "judged" / OURS, work / "judged" / name, Sampling())
                compared[name] = [asdict(each) for each in found if each.set_ == "people"]
    curve = losses(work / "single")
    answer = {
        "single stage": trained(curve, options.run),
        "poses": {name: pose_figures(name, options) for name in (OURS, *BASELINES, TRUE)},
        "paper": PAPER,
        f"{OURS} less": compared,
        "table": table.model_dump(mode="json"),
    }
    options.out.mkdir(parents=True, exist_ok=True)
    atomic_write_bytes(options.out / "table1.json", (json.dumps(answer, indent=1) + "\n").encode())
    Image.fromarray(sheet(work, held_out(min(options.people, SHOWN), 0))).save(options.out / "table1.jpg", quality=88)
    draw(windows(curve), options.out / "table1-curve.png")


def trained(curve: Sequence[dict[str, Any]], run: Path) -> dict[str, Any]:
    """What the single stage cost, what its network had cost before, and how its loss still fell at the end."""
    last, means = curve[-1], windows(curve)
    before = losses(run)[-1]
    return {
        **{key: last[key] for key in ("step", "samples") if key in last},
        "minutes": round(last.get("seconds", 0.0) / 60, 1),
        "before": {"step": before["step"], "minutes": round(before.get("seconds", 0.0) / 60, 1)},
        "loss": [[step, round(mean, 5)] for step, mean in means],
        "last_fifth_over_fifth_before": ratio(means),
    }


def losses(run: Path) -> list[dict[str, Any]]:
    """Rows of the body's journal; read here, since what reads it in the package needs torch."""
    return [json.loads(line) for line in (run / "body" / "losses.jsonl").read_text().splitlines()]


def windows(curve: Sequence[dict[str, Any]]) -> list[tuple[int, float]]:
    """(last step, mean loss) of WINDOWS equal parts of the curve, or of as many as there are rows."""
    parts = np.array_split(np.array([(row["step"], row["noise"]) for row in curve]), min(WINDOWS, len(curve)))
    return [(int(part[-1, 0]), float(part[:, 1].mean())) for part in parts]


def ratio(means: Sequence[tuple[int, float]]) -> float | None:
    """Mean loss of the last fifth over that of the fifth before; near 1: the curve is flat."""
    fifth = len(means) // 5
    losses = [mean for _, mean in means]
    return round(float(np.mean(losses[-fifth:]) / np.mean(losses[-2 * fifth : -fifth])), 4) if fifth else None


def draw(means: Sequence[tuple[int, float]], file: Path) -> None:
    """The curve as a picture."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 3))
    axes.plot(*zip(*means, strict=True), marker=".")
    axes.set(xlabel="step", ylabel="loss of the single stage")
    figure.tight_layout()
    figure.savefig(file, dpi=110)


def sheet(work: Path, poses: Sequence[HeldOut]) -> np.ndarray:
    """A row each in the table's order, the true renders below; uint8 [H, W, 3]."""
    rows = [[read(work / "judged" / OURS / "pictures" / f"{pose.key}.png") for pose in poses]]
    rows += [[read(work / "pictures" / name / f"{pose.key}.png") for pose in poses] for name in BASELINES]
    rows.append([render(pose, len(rows[0][0])).rgb for pose in poses])
    return np.concatenate([np.concatenate(row, 1) for row in rows])


def read(file: Path) -> np.ndarray:
    return np.asarray(Image.open(file).convert("RGB"))


if __name__ == "__main__":
    main()
