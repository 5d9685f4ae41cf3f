"""Does a gesture help where key points already say it? Hands of one bundle: alone, with the words, with the gesture.

    .venv-train/bin/python benchmarks/hand_gestures.py --bundle DIR --work DIR     # .[train,cpu]: renders, draws
    .venv-eval/bin/python benchmarks/hand_gestures.py --bundle DIR --work DIR      # .[cpu,eval]: MediaPipe
    ... --dry-run                                                                 # what is there, what would be done

DIR of --bundle is a two-stage model with two gestures or more. The same line goes on wherever it was stopped; what an
environment cannot do is left to the other one. Result: results/hand_gestures.json.

Stage 1 alone draws held-out rendered hands from their key points, of equal noise in all arms: "plain" hears the
caption, "words" the caption with the gesture's words (mu = 1), "gesture" E''. Measured, with 95 % intervals by
resampling pictures, beside true renders: share of pictures in which MediaPipe sees a hand; gesture agreement, ours:
share of pictures with a hand whose 20 bending angles are nearest to this gesture's mean over true renders. True renders
are judged by means of the other half of them.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from hand1000_judging import interval, look, mean_angles, nearest_gesture, read_seen, write_png

from handfirst.engines.files import atomic_write_bytes
from handfirst.runtime.profile.machine import machine

RESULTS = Path(__file__).parent / "results"
ARMS: dict[str, dict[str, Any]] = {"plain": {}, "words": {"mu": 1.0}, "gesture": {}}
"""What a request of each arm says beside the gesture, which "plain" does not."""
HELD_OUT, APART, AT_ONCE = 80_000_000, 1_000_000, 8
"""First seed of held-out hands, far from those that are trained on; seeds between two gestures; hands in a batch."""
RESAMPLES = 2000

Step = tuple[str, str, Path, Callable[[], None]]
"""(name, package it needs, the file that is there when it is done, what does it)."""


def main() -> None:
    """Does what is left and this environment can do; then the table, as far as there is anything to tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, required=True, help="a two-stage model with gestures")
    parser.add_argument("--work", type=Path, required=True, help="folder for pictures")
    parser.add_argument("--pictures", type=int, default=64, help="of each arm and gesture")
    parser.add_argument("--steps", type=int, default=None, help="denoising steps; default: the model's")
    parser.add_argument("--out", type=Path, default=RESULTS / "hand_gestures.json")
    parser.add_argument("--dry-run", action="store_true")
    options = parser.parse_args()
    names = gestures_of(options.bundle)
    left = [step for step in plan(names, options) if not step[2].exists()]
    for name, needs, _, _ in left:
        print(f"left: {name} ({needs})")
    if options.dry_run:
        return
    for name, needs, _, work in left:
        if find_spec(needs) is None:
            print(f"not here: {name}; it needs {needs}, run the same line where that is installed", file=sys.stderr)
            continue
        started = time.time()
        work()
        print(f"done: {name} in {(time.time() - started) / 60:.1f} min", flush=True)
    report(names, options)


def gestures_of(bundle: Path) -> tuple[str, ...]:
    """The model's, two or more."""
    from handfirst.engines.bundle import Bundle
    from handfirst.runtime.systems.two_stage.settings import read_settings

    names = read_settings(Bundle.open(bundle).manifest).gesture_names
    if len(names) < 2:
        sys.exit(f"{bundle}: expected a model with two gestures or more, got {len(names)}; train them first")
    return names


def plan(names: tuple[str, ...], options: argparse.Namespace) -> Iterator[Step]:
    """In their order."""
    for gesture in names:
        place = options.work / gesture
        for kind in ("true", *ARMS):
            folder = place / f"pictures-{kind}"
            needs = "numba" if kind == "true" else "onnxruntime"
            yield f"draw {kind} {gesture}", needs, folder / "done", partial(draw, kind, gesture, names, options)
            yield f"look at {kind} {gesture}", "mediapipe", folder / "seen.json", partial(look, folder)


def draw(kind: str, gesture: str, names: tuple[str, ...], options: argparse.Namespace) -> None:
    """PNGs by number: the true hands, or what stage 1 draws of their key points."""
    import handfirst
    from handfirst.runtime.systems.two_stage.request import Request
    from handfirst.training.data.procedural.sample import sample_hand
    from handfirst.training.systems.two_stage.conditions import to_pose

    folder = options.work / gesture / f"pictures-{kind}"
    folder.mkdir(parents=True, exist_ok=True)
    system: Any = handfirst.open(options.bundle, engine="cpu", threads=1)
    size, first = system.settings.hand.size, HELD_OUT + APART * names.index(gesture)
    hands = [sample_hand(first + i, size, gesture=gesture) for i in range(options.pictures)]
    if kind == "true":
        for i, hand in enumerate(hands):
            write_png(folder / f"{i:05}.png", hand.rgb)
            wrist = hand.keypoints[[91, 112]]
            told = {"wrist": wrist[int(wrist[1, 2] > 0), :2].tolist()}
            atomic_write_bytes(folder / f"{i:05}.json", json.dumps(told).encode())
    else:
        said = {} if kind == "plain" else {"gesture": gesture, **ARMS[kind]}
        asked = [
            Request(to_pose(hand.keypoints, size, size), hand.caption, seed=i, steps=options.steps, **said)
            for i, hand in enumerate(hands)
        ]
        for start in range(0, len(asked), AT_ONCE):
            drawn = system.first_half(asked[start : start + AT_ONCE])
            for i, made in enumerate(drawn.hands, start):
                write_png(folder / f"{i:05}.png", made[0].image)
    system.close()
    (folder / "done").touch()


def report(names: tuple[str, ...], options: argparse.Namespace) -> None:
    """Writes the table of the arms whose pictures were all looked at."""
    places = {name: options.work / name for name in names}
    seen = [
        kind for kind in ("true", *ARMS) if all((p / f"pictures-{kind}/seen.json").exists() for p in places.values())
    ]
    if "true" not in seen:
        print("no true renders were looked at yet")
        return
    means = {parity: {name: mean_angles(place, parity) for name, place in places.items()} for parity in (0, 1)}
    table = {kind: shares([row for name in names for row in judged(places[name], kind, name, means)]) for kind in seen}
    told = {"pictures": options.pictures, "steps": options.steps, "table": table, "machine": machine()}
    atomic_write_bytes(options.out, (json.dumps(told, indent=1) + "\n").encode())
    print(json.dumps(table, indent=1))


def judged(place: Path, kind: str, gesture: str, means: Mapping[int, dict[str, np.ndarray]]) -> list[tuple[bool, bool]]:
    """Of every picture: whether a hand is seen, and whether one makes the gesture."""
    rows = []
    for i, hands in enumerate(read_seen(place / f"pictures-{kind}")):
        nearest = [nearest_gesture(np.array(hand["angles"]), means[1 - i % 2]) for hand in hands]
        rows.append((bool(hands), gesture in nearest))
    return rows


def shares(rows: list[tuple[bool, bool]]) -> dict[str, Any]:
    """ "detected" and "agreement" as [value, low, high]."""
    array, rng = np.array(rows, np.float64), np.random.default_rng(0)
    draws = [np.arange(len(rows)), *(rng.integers(len(rows), size=len(rows)) for _ in range(RESAMPLES))]
    means = np.array([array[draw].mean(0) for draw in draws])
    return {name: interval(means[:, column].tolist()) for column, name in enumerate(("detected", "agreement"))}


if __name__ == "__main__":
    main()
