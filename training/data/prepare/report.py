"""What a prepared data set is said to hold: prepare.json, the same as a table for people, and a contact sheet: examples
of every source with their key points, masks and captions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from handfirst.engines.files import atomic_write_bytes
from handfirst.runtime.pose.person import Pose
from handfirst.runtime.pose.skeleton import draw_skeleton
from handfirst.training.data.example import Example, decode
from handfirst.training.data.prepare.filters import REMEDY
from handfirst.training.data.prepare.plan import PARTS, Plan
from handfirst.training.data.prepare.shard import Tally, read_tally, total
from handfirst.training.data.record import to_person
from handfirst.training.data.shards import read_shard

REPORT, SHEET = "prepare.json", "sheet.png"


def write_report(plan: Plan) -> dict[str, Any]:
    """Writes both files of a complete data set, if they are not there yet, and returns what prepare.json holds."""
    report = make_report(plan)
    text = json.dumps(report, indent=1, ensure_ascii=False).encode()
    if not (file := plan.out / REPORT).exists() or file.read_bytes() != text:
        atomic_write_bytes(file, text)
    if not (plan.out / SHEET).exists() and (sheet := draw_sheet(plan)) is not None:
        from handfirst.runtime.pictures import encode

        atomic_write_bytes(plan.out / SHEET, encode(sheet))
    return report


def make_report(plan: Plan) -> dict[str, Any]:
    """All counts of a complete data set, by part and source.

    Under "sources": pictures that were left out before any was looked at ("skipped"), how many of the others were, and
    why they failed. "skipped" under a part counts crops that gave no example beside one that did. Which ones they are
    stands in plan/skipped.jsonl, plan/failed.jsonl and the shards' notes.
    """
    parts = {part: total(read_tally(plan, shard) for shard in plan.shards if shard.part == part) for part in PARTS}
    return {
        "settings": plan.settings.model_dump(mode="json"),
        "sources": {label: vars(source) for label, source in plan.sources.items()},
        **{part: _part(plan, tallies) for part, tallies in parts.items()},
        "remarks": _remarks(plan, parts["train"]),
    }


def table(report: Mapping[str, Any]) -> list[list[str]]:
    """A row per source: found, left out, looked at, failed, and examples to train and to validate with."""
    rows = []
    for label, source in report["sources"].items():
        made = [report[part]["sources"].get(label, {"examples": 0}) for part in PARTS]
        counts = source["found"], sum(source["skipped"].values()), source["looked_at"], sum(source["failed"].values())
        rows.append([label, *(f"{n:,}" for n in (*counts, *(m["examples"] for m in made)))])
    return rows


HEADS = ("source", "pictures", "left out", "looked at", "failed", "to train", "to validate")


def _part(plan: Plan, tallies: Mapping[str, Tally]) -> dict[str, Any]:
    examples = sum(tally.examples for tally in tallies.values())
    return {
        "examples": examples,
        "shares": {source: round(t.examples / examples, 4) if examples else 0.0 for source, t in tallies.items()},
        "sources": {source: tally.to_json() for source, tally in tallies.items()},
    }


def _remarks(plan: Plan, made: Mapping[str, Tally]) -> list[str]:
    """What whoever trains on it should know, a line each."""
    out = []
    for (label, source), origin in zip(plan.sources.items(), plan.settings.origins, strict=True):
        if origin.count is not None and source.drawn["train"] < origin.count:
            out.append(f"{label}: {origin.count:,} pictures were asked for, {source.drawn['train']:,} are of use")
        if source.failed:
            reason, count = next(iter(source.failed.items()))
            failed = sum(source.failed.values())
            out.append(
                f"{label}: {failed:,} of {source.looked_at:,} pictures that were looked at failed; {count:,}: {reason}"
            )
        for reason, count in source.skipped.items():
            if reason in REMEDY:
                out.append(f"{label}: {count:,} pictures left out ({reason}); {REMEDY[reason]}")
        tally = made.get(label)
        if source.drawn["val"] and not source.drawn["train"]:
            out.append(f"{label}: all that is of use belongs to its validation split; put its training split beside it")
        elif source.looked_at and (tally is None or not tally.examples):
            out.append(f"{label}: not one example was made of {source.looked_at:,} pictures")
        if tally and (words := tally.kinds["caption"]["words"]):
            out.append(f"{label}: {words:,} captions say no more than the key points do; {REMEDY['no caption']}")
    return out


COLUMNS, ROWS, TILE, LABEL, GAP = 6, 2, 256, 34, 8
LOOKED_AT = 4
"""Shards that are searched for examples of every source; each is a sample of the whole."""
TINTS = {1: (40, 110, 255), 2: (255, 120, 20)}
LETTERS = 42


def draw_sheet(plan: Plan) -> NDArray[np.uint8] | None:
    """ROWS of COLUMNS examples of each source, white between them: uint8 [H, W, 3]; None where there is no example."""
    chosen = _choose(plan)
    tiles = [
        [_tile(example) for example in some[i : i + COLUMNS]]
        for some in chosen.values()
        for i in range(0, len(some), COLUMNS)
    ]
    if not tiles:
        return None
    height, width = TILE + LABEL + GAP, TILE + GAP
    columns = max(len(row) for row in tiles)
    sheet = np.full((len(tiles) * height + GAP, columns * width + GAP, 3), 255, np.uint8)
    for i, row in enumerate(tiles):
        for j, tile in enumerate(row):
            y, x = GAP + i * height, GAP + j * width
            sheet[y : y + TILE + LABEL, x : x + TILE] = tile
    return sheet


def draw_example(example: Example, side: int) -> NDArray[np.uint8]:
    """The picture, left hand tinted and outlined blue, right hand orange, skeleton on top.

    Args:
        side: the longer one, in pixels.
    """
    height, width = example.hands.shape
    scale = side / max(width, height)
    size = round(scale * width), round(scale * height)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    picture = cv2.resize(example.rgb, size, interpolation=method).astype(np.float64)
    hands = cv2.resize(example.hands, size, interpolation=cv2.INTER_NEAREST)
    for label, tint in TINTS.items():
        picture[hands == label] = 0.6 * picture[hands == label] + 0.4 * np.array(tint)
        edges, _ = cv2.findContours((hands == label).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, edges, -1, tint, 1, cv2.LINE_AA)
    pose = Pose((to_person(example.keypoints).moved(scale, 0, 0),), *size)
    skeleton = draw_skeleton(pose, *size).astype(np.float64)
    cover = skeleton.max(2, keepdims=True) / 255
    return np.asarray(np.rint(picture * (1 - cover) + skeleton * cover).clip(0, 255), np.uint8)


def _choose(plan: Plan) -> dict[str, list[Example]]:
    """The first examples of every source; the order of the shards is a shuffle already."""
    chosen: dict[str, list[Example]] = {label: [] for label in plan.sources}
    for shard in plan.shards[:LOOKED_AT]:
        if not plan.tar(shard).exists():
            continue
        for key, members in read_shard(plan.tar(shard)):
            if all(len(some) >= ROWS * COLUMNS for some in chosen.values()):
                return chosen
            example = decode(key, members)
            some = chosen[example.attributes["source"]]
            if len(some) < ROWS * COLUMNS:
                some.append(example)
    return chosen


def _tile(example: Example) -> NDArray[np.uint8]:
    tile = np.full((TILE + LABEL, TILE, 3), 255, np.uint8)
    drawn = draw_example(example, TILE)
    tile[: drawn.shape[0], : drawn.shape[1]] = drawn
    for i, text in enumerate((example.key, example.caption)):
        plain = text.encode("ascii", "replace").decode()
        short = plain if len(plain) <= LETTERS else f"{plain[: LETTERS - 3]}..."
        place = (2, TILE + 13 + 15 * i)
        cv2.putText(tile, short, place, cv2.FONT_HERSHEY_SIMPLEX, 0.36, (0, 0, 0), 1, cv2.LINE_AA)
    return tile
