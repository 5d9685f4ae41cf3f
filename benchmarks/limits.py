"""The limits one by one: small hands, hands without arms, hands that touch, several people; and what helps.

    python benchmarks/limits.py --work DIR                          # -> results/limits.json, limits.jpg
    python benchmarks/limits.py --work DIR --dry-run                # a pose of each in two steps; writes into DIR alone

Every limit has variants of the same poses and seeds (limits_poses.py), and its true renders. Run again it goes on, and
in the environment of a judge it adds what that sees. Environment: .[train,cpu]; .[cpu,eval] judges the same pictures.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from limits_poses import LIMITS, SEED, Asked
from PIL import Image

from handfirst.engines.bundle import Bundle, demo_bundle_path
from handfirst.engines.errors import UserError
from handfirst.engines.files import atomic_write_bytes
from handfirst.runtime.geometry import nearest
from handfirst.runtime.pictures import encode
from handfirst.runtime.pose.skeleton import draw_skeleton
from handfirst.runtime.profile.machine import machine
from handfirst.runtime.systems.two_stage.request import Request, Result
from handfirst.runtime.systems.two_stage.system import TwoStage
from handfirst.training.data.procedural.sample import Sample
from handfirst.training.evaluate.judging.hands import hand_measures
from handfirst.training.evaluate.judging.judges import Judge, open_judges
from handfirst.training.evaluate.judging.looks import Look, look
from handfirst.training.evaluate.measure import Measure, figure, mean_of

RESULTS = Path(__file__).parent / "results"
SHOWN = 4
RENDER = "render"


def main() -> None:
    """Paints, looks, and writes the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of pictures and looks")
    parser.add_argument("--bundle", type=Path, default=None, help="default: the embedded bundle")
    parser.add_argument("--poses", type=int, default=24, help="of every limit")
    parser.add_argument("--limits", nargs="+", choices=list(LIMITS), default=list(LIMITS))
    parser.add_argument("--steps", type=int, default=None, help="default: the bundle's")
    parser.add_argument("--dry-run", action="store_true", help="one pose of each, two steps, results into --work")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    count, steps = (1, 2) if options.dry_run else (options.poses, options.steps)
    out = options.work if options.dry_run else options.out
    bundle = Bundle.open(options.bundle or demo_bundle_path())
    claim(options.work, {"bundle": bundle.digest, "steps": steps})
    judges, absent = open_judges(None)
    painter = Painter(bundle, steps)
    answer: dict[str, Any] = {"bundle": bundle.digest, "steps": steps, "first_seed": SEED, "poses": count}
    answer |= {"judges": {name: judge.name for name, judge in judges.items()}, "absent": absent, "limits": {}}
    rows = []
    for limit in options.limits:
        folders = [options.work / limit / f"{number:03d}" for number in range(count)]
        for number, folder in enumerate(folders):
            rows += [make(limit, number, folder, painter, judges)] if number < SHOWN else []
            if number >= SHOWN:
                make(limit, number, folder, painter, judges)
            print(limit, number + 1, "of", count, flush=True)
        answer["limits"][limit] = table(folders)
    answer["machine"] = machine()
    out.mkdir(parents=True, exist_ok=True)
    atomic_write_bytes(out / "limits.json", (json.dumps(answer, indent=1) + "\n").encode())
    Image.fromarray(sheet(rows)).save(out / "limits.jpg", quality=88)


def claim(work: Path, what: dict[str, Any]) -> None:
    """A folder holds the pictures of one bundle."""
    work.mkdir(parents=True, exist_ok=True)
    file, content = work / "of.json", json.dumps(what, sort_keys=True).encode()
    if file.exists() and file.read_bytes() != content:
        raise UserError(f"{work}: it holds what another bundle or number of steps made; give a new --work")
    atomic_write_bytes(file, content)


class Painter:
    """The model, opened when the first picture is missing."""

    def __init__(self, bundle: Bundle, steps: int | None) -> None:
        self.bundle, self.steps = bundle, steps
        self.size = int(bundle.manifest.settings["body"]["width"])
        self._model: TwoStage | None = None

    def paint(self, asked: Asked, seed: int) -> Result:
        """Any picture of a limit."""
        if self._model is None:
            self._model = TwoStage.of(self.bundle, "cpu", None, "all")
        return self._model.render(Request(asked.pose, asked.prompt, seed=seed, steps=self.steps, **asked.fields))


def make(limit: str, number: int, folder: Path, painter: Painter, judges: Mapping[str, Judge]) -> list[np.ndarray]:
    """Makes what is missing of one pose, a picture, facts and looks a variant; returns its row of the sheet."""
    wanted = LIMITS[limit](number, painter.size)
    first = next(iter(wanted.values()))
    shown = [draw_skeleton(first.pose, painter.size, painter.size), first.truths[0].rgb]
    for name, asked in wanted.items():
        picture, facts = folder / f"{name}.png", folder / f"{name}.json"
        if not facts.exists():
            result = painter.paint(asked, SEED + number)
            folder.mkdir(parents=True, exist_ok=True)
            atomic_write_bytes(picture, encode(result.image))
            atomic_write_bytes(facts, json.dumps(facts_of(result, asked.truths)).encode())
        image = np.asarray(Image.open(picture))
        shown.append(image)
        for judge, opened in judges.items():
            seen(opened, image, asked.truths, folder / f"{name}.{judge}")
            seen(opened, first.truths[0].rgb, first.truths, folder / f"{RENDER}.{judge}")
    return shown


def seen(judge: Judge, image: np.ndarray, truths: Sequence[Sample], file: Path) -> None:
    """One look for each person, in one file."""
    if not file.exists():
        looks = [look(judge, image, truth, "people").model_dump(mode="json") for truth in truths]
        file.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_bytes(file, json.dumps(looks).encode())


def facts_of(result: Result, truths: Sequence[Sample]) -> dict[str, Any]:
    """What needs no judge."""
    parts = [hand.mask.any() for hand in result.hands]
    return {
        "hands": [hand.name for hand in result.hands],
        "hands_empty": len(parts) - int(sum(parts)),
        "close_ups": len(result.close_ups),
        "error_around": error_around(result.image, truths),
        "seconds": result.seconds,
        "warnings": list(result.warnings),
    }


def error_around(image: np.ndarray, truths: Sequence[Sample]) -> float | None:
    """Mean absolute difference to the render, 0 .. 255, within half of a hand's extent of the true hands, not on them.

    Says how well the hands' surroundings fit; colours that the model gets wrong count as well, in every variant.
    """
    around, hands = np.zeros(image.shape[:2], bool), np.zeros(image.shape[:2], bool)
    for truth in truths:
        for side in (1, 2):
            mask = truth.hands == side
            if mask.any():
                rows, columns = np.nonzero(mask)
                distance, _ = nearest(mask, max(np.ptp(rows), np.ptp(columns)) / 2 + 1)
                around |= np.isfinite(distance)
                hands |= mask
    ring = around & ~hands
    if not ring.any():
        return None
    return float(np.abs(image[ring].astype(float) - truths[0].rgb[ring]).mean())


def table(folders: Sequence[Path]) -> dict[str, Any]:
    """By variant: figures with their intervals; by judge, beside what it sees in the true renders."""
    names = sorted({file.stem for folder in folders for file in folder.glob("*.json")})
    rows: dict[str, Any] = {}
    for name in names:
        facts = [json.loads((folder / f"{name}.json").read_text()) for folder in folders]
        errors = [[] if fact["error_around"] is None else [fact["error_around"]] for fact in facts]
        rows[name] = {
            "error_around": row_of(mean_of("error", "error around hands", "lower", errors)),
            "hands_empty": sum(fact["hands_empty"] for fact in facts),
            "close_ups": sum(fact["close_ups"] for fact in facts),
            "seconds_median": round(float(np.median([fact["seconds"]["total"] for fact in facts])), 3),
        }
    for name in (*names, RENDER):
        for judge in ("mediapipe",):
            files = [folder / f"{name}.{judge}" for folder in folders]
            found = judged(files) if all(file.exists() for file in files) else None
            rows.setdefault(name, {})[judge] = found
    return rows


def judged(files: Sequence[Path]) -> dict[str, Any]:
    """What a judge's looks say, pooled over the people of every picture."""
    looks = []
    for file in files:
        people = [Look.model_validate(each) for each in json.loads(file.read_text())]
        faces = [each.face for each in people if each.face is not None]
        looks.append(
            Look(hands=tuple(hand for each in people for hand in each.hands), face=faces[0] if faces else None)
        )
    return {measure.name: row_of(measure) for measure in hand_measures(looks)}


def row_of(measure: Measure) -> dict[str, Any] | None:
    """A figure with its interval over pictures, rounded."""
    found = figure(measure.statistic, measure.counts, np.arange(len(measure.counts)), 1000, 0)
    if found is None:
        return None
    ends = [None if end is None else round(end, 4) for end in (found.low, found.high)]
    return {"value": round(found.value, 4), "low": ends[0], "high": ends[1], "n": found.n}


def sheet(rows: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """A row a pose: skeleton, true render, and the variants in the order of limits_poses; uint8 [H, W, 3]."""
    width = max(len(row) for row in rows)
    blank = np.full_like(rows[0][0], 255)
    return np.concatenate([np.concatenate([*row, *[blank] * (width - len(row))], 1) for row in rows])


if __name__ == "__main__":
    main()
