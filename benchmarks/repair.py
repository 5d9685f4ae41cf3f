"""Repaired hands against spoilt ones, true renders and a plain two-stage hand pasted at the same place.

    python benchmarks/repair.py --bundle DIR --work DIR             # -> results/repair.json, repair.jpg
    python benchmarks/repair.py --bundle DIR --work DIR --inception FILE    # adds KID, in .[metrics] beside .[train]

200 spoilt held-out hands and 200 correct ones; a spoilt one differs from its true render in its faults alone. Every
figure stands beside the true renders' own, differences have paired intervals. Run again it goes on; judges look where
they are installed (docs/evaluate.md). Environment: .[cpu,eval], whose MediaPipe is also what `--check` asks.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from repair_pictures import ARMS, FACTS, SIZE, STEPS, Hand, Kind, make_all

from handfirst.engines.bundle import Bundle, demo_bundle_path
from handfirst.engines.errors import UserError
from handfirst.engines.files import atomic_write_bytes
from handfirst.runtime.profile.machine import machine
from handfirst.training.evaluate.judging.crops import kid_measure, kid_of_halves
from handfirst.training.evaluate.judging.fingers import passes
from handfirst.training.evaluate.judging.hands import hand_measures
from handfirst.training.evaluate.judging.judges import Judge, open_judges
from handfirst.training.evaluate.judging.looks import Look, look
from handfirst.training.evaluate.measure import Figure, Measure, Weights, figure, mean_of
from handfirst.training.evaluate.score import Sampling

RESULTS = Path(__file__).parent / "results"
CLOSE = 0.1
"""Mean error of a hand's points, of the longer side of its true box, that counts as right."""
MOST_WORSE = 0.05
SHOWN = 10


def main() -> None:
    """Makes the pictures, looks at them, writes the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True, help="a model that repairs photos")
    parser.add_argument("--two-stage", type=Path, default=None, help="default: the embedded bundle")
    parser.add_argument("--work", type=Path, required=True, help="folder of pictures and looks")
    parser.add_argument("--hands", type=int, default=200, help="of either kind")
    parser.add_argument("--steps", type=int, default=None, help="of both stages; default: the bundle's")
    parser.add_argument("--rtmlib", type=Path, default=None, help="a second judge's ONNX files")
    parser.add_argument("--inception", type=Path, default=None, help="weights of the FID network")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    two_stage = options.two_stage or demo_bundle_path()
    digests = {name: Bundle.open(path).digest for name, path in (("refiner", options.bundle), ("two_stage", two_stage))}
    steps = {} if options.steps is None else {"steps": options.steps, "inpaint_steps": options.steps}
    claim(options.work, {**digests, **steps})
    judges, absent = open_judges(options.rtmlib)
    kinds: dict[Kind, int] = {"spoilt": options.hands, "correct": options.hands}
    hands = make_all(kinds, options.bundle, two_stage, options.work, steps, print)
    answer: dict[str, Any] = {"bundles": digests, "size_px": SIZE, "hands": kinds, "judges": {}, "absent": absent}
    for name, judge in judges.items():
        answer["judges"][judge.name] = judged(name, judge, hands, options.work)
    answer["pixels"] = pixels(hands, options.work)
    answer["kid"] = kid(hands, options.work, options.inception)
    answer["machine"] = machine()
    options.out.mkdir(parents=True, exist_ok=True)
    atomic_write_bytes(options.out / "repair.json", (json.dumps(answer, indent=1) + "\n").encode())
    shown = [hand for hand in hands if hand.kind == "spoilt"][:SHOWN]
    Image.fromarray(sheet(shown, options.work)).save(options.out / "repair.jpg", quality=90)


def claim(work: Path, what: dict[str, Any]) -> None:
    """A folder holds the pictures of one pair of bundles."""
    work.mkdir(parents=True, exist_ok=True)
    file, content = work / "of.json", json.dumps(what, sort_keys=True).encode()
    if file.exists() and file.read_bytes() != content:
        raise UserError(f"{work}: it holds what other bundles or steps made; give a new --work")
    atomic_write_bytes(file, content)


def judged(name: str, judge: Judge, hands: Sequence[Hand], work: Path) -> dict[str, Any]:
    """What a judge says of every arm, of either kind of hands."""
    out: dict[str, Any] = {}
    for kind in ("spoilt", "correct"):
        of_kind = [hand for hand in hands if hand.kind == kind]
        looks = {arm: [seen(name, judge, hand, arm, work) for hand in of_kind] for arm in ARMS}
        arms = {arm: measures(found) for arm, found in looks.items() if all(found)}
        out[kind] = {
            arm: {m.name: as_row(figure(m.statistic, m.counts, every(m), *RESAMPLED)) for m in each}
            for arm, each in arms.items()
        }
        out[kind]["gains"] = {
            arm: {m.name: gain(m, base) for m, base in zip(arms[arm], arms["given"], strict=True)}
            for arm in ("repaired", "guarded", "two_stage")
            if arm in arms
        }
        worse = {arm: got_worse(looks["given"], looks[arm]) for arm in ("repaired", "guarded")}
        out[kind]["worse"] = {
            arm: as_row(figure(m.statistic, m.counts, every(m), *RESAMPLED)) for arm, m in worse.items()
        }
    out["at_most_worse"] = MOST_WORSE
    return out


RESAMPLED = (Sampling().resamples, Sampling().seed)


def seen(name: str, judge: Judge, hand: Hand, arm: str, work: Path) -> Look | None:
    """What a judge saw of one picture: from the folder, or now; None where there is no such picture."""
    picture, file = work / hand.key / f"{arm}.png", work / hand.key / f"{name}-{arm}.json"
    if not picture.exists():
        return None
    if not file.exists():
        found = look(judge, np.asarray(Image.open(picture)), hand.sample, "hands")
        atomic_write_bytes(file, found.model_dump_json().encode())
    return Look.model_validate_json(file.read_bytes())


def measures(looks: Sequence[Look]) -> list[Measure]:
    """Those of every judged hand, and the three that are about single hands."""
    right = [[float(is_right(each)) for each in one.hands] for one in looks]
    score = [[best.score if (best := each.best()) else 0.0 for each in one.hands] for one in looks]
    fingers = [
        [abs(5.0 - float(passes(best.array()).sum())) for each in one.hands if (best := each.best())] for one in looks
    ]
    shared = [m for m in hand_measures(looks) if m.name != "face_found"]
    return [
        *shared,
        mean_of("error_below_0.1", "hands found with an error below .1, of all", "higher", right),
        mean_of("confidence", "detector's confidence, 0 where it finds none", "higher", score),
        mean_of("finger_count_error", "fingers that do not count, of hands found", "lower", fingers),
    ]


def is_right(hand: Any) -> bool:
    """Whether the hand was found, its points at most CLOSE away in the mean."""
    best, true = hand.best(), hand.true[0].array()
    if best is None:
        return False
    error = float(np.linalg.norm(best.array() - true, axis=1).mean())
    return error < CLOSE * float(np.ptp(true, 0).max())


def got_worse(before: Sequence[Look], after: Sequence[Look]) -> Measure:
    """Hands that were found and right, and are not after."""

    def state(one: Look) -> list[tuple[bool, bool]]:
        return [(hand.best() is not None, is_right(hand)) for hand in one.hands]

    lost = [
        [float((a[0] and not b[0]) or (a[1] and not b[1])) for a, b in zip(state(x), state(y), strict=True)]
        for x, y in zip(before, after, strict=True)
    ]
    return mean_of("worse", "no longer found, or no longer right", "lower", lost)


def gain(of: Measure, base: Measure) -> dict[str, Any] | None:
    """The difference on the same hands; its interval is that of pairs."""
    both = np.where(base.counts > 0, of.counts, 0)
    return as_row(figure(lambda w: of.statistic(w) - base.statistic(w), both, every(of), *RESAMPLED))


def every(measure: Measure) -> np.ndarray:
    """Indices of all hands."""
    return np.arange(len(measure.counts))


def as_row(found: Figure | None) -> dict[str, Any] | None:
    """Rounded."""
    if found is None:
        return None
    ends = [None if end is None else round(end, 4) for end in (found.low, found.high)]
    return {"value": round(found.value, 4), "low": ends[0], "high": ends[1], "n": found.n}


def pixels(hands: Sequence[Hand], work: Path) -> dict[str, Any]:
    """What needs no judge: skin against the wrist, kept pixels, hands that the system left as they were, seconds."""
    out: dict[str, Any] = {}
    for kind in ("spoilt", "correct"):
        facts = [json.loads((work / hand.key / FACTS).read_text()) for hand in hands if hand.kind == kind]

        def mean(name: str, values: list[list[float]]) -> dict[str, Any] | None:
            found = mean_of(name, name, "lower", values)
            return as_row(figure(found.statistic, found.counts, every(found), *RESAMPLED))

        distances = {arm: [[d] if (d := f["delta_e"].get(arm)) is not None else [] for f in facts] for arm in ARMS}
        out[kind] = {
            "skin_delta_e_76": {arm: mean(arm, values) for arm, values in distances.items()},
            "left_as_it_was": mean("kept", [[float(fact["kept"])] for fact in facts]),
            "not_checked": sum("not checked" in line for fact in facts for line in fact["said"]),
            "pixels_changed_outside": sum(fact["changed_outside"] for fact in facts),
            "seconds_median": {
                part: round(float(np.median([fact["seconds"][part] for fact in facts])), 4)
                for part in facts[0]["seconds"]
            },
        }
    return out


def kid(hands: Sequence[Hand], work: Path, weights: Path | None) -> dict[str, Any]:
    """Of the spoilt hands' pictures against the true renders, arm by arm; or the reason why not."""
    if weights is None:
        return {"why_not": "no weights of the FID network; the same command with --inception FILE"}
    from handfirst.training.evaluate.cases import Case
    from handfirst.training.evaluate.inception import features, load_inception
    from handfirst.training.evaluate.pictures import PictureFile

    network, digest = load_inception(weights)
    keys = [hand.key for hand in hands if hand.kind == "spoilt"]
    owner = np.arange(len(keys))

    def of(arm: str) -> np.ndarray:
        cases = [Case(key, PictureFile(work / key / f"{arm}.png")) for key in keys]
        return np.asarray(features(network, cases, False, lambda *_: None))

    true, rows = of("render"), {}
    for arm in ARMS[:-1]:
        if all((work / key / f"{arm}.png").exists() for key in keys):
            found = kid_measure(of(arm), true, owner, len(keys))
            rows[arm] = as_row(figure(found.statistic, found.counts, owner, *RESAMPLED))
    halves = kid_of_halves(true, owner, len(keys))

    def statistic(weights_: Weights) -> float:
        return halves.statistic(weights_)

    rows["render"] = as_row(figure(statistic, halves.counts, owner, 0, 0))
    return {"inception_sha256": digest, "spoilt": rows}


def sheet(hands: Sequence[Hand], work: Path) -> np.ndarray:
    """A row a hand: photo, crop, ring, repaired crop, repaired photo, pasted two-stage hand, true render."""
    names = ("given", *STEPS, "repaired", "two_stage", "render")
    rows = []
    for hand in hands:
        files = [file for name in names if (file := work / hand.key / f"{name}.png").exists()]
        tiles = [np.asarray(Image.open(file).resize((SIZE, SIZE))) for file in files]
        rows.append(np.concatenate(tiles, 1))
    return np.concatenate(rows)


if __name__ == "__main__":
    main()
