"""The paper's three sources of hands together, small and in their published layouts; SAM's weights are random."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.datasets import write_hagrid, write_interhand
from support.more_datasets import write_reinterhand
from support.tiny_labellers import write_sam
from typer.testing import CliRunner

from handfirst.training.data.example import Example, decode
from handfirst.training.data.prepare.cli import app
from handfirst.training.data.shards import read_shard


@pytest.fixture(scope="module")
def mixed(tmp_path_factory) -> Path:
    """Two pictures of HaGRID and all of the others, masks for Re:InterHand alone."""
    base = tmp_path_factory.mktemp("mixed")
    write_hagrid(base / "hagrid", count=6)
    write_interhand(base / "interhand", count=4)
    write_reinterhand(base / "reinterhand", count=3, masks=True)
    sources = [f"hagrid={base / 'hagrid'}:2", f"interhand={base / 'interhand'}", f"reinterhand={base / 'reinterhand'}"]
    options = [
        "--size",
        "64",
        "--val",
        "0",
        "--workers",
        "1",
        "--smallest-mask",
        "0",
        "--hands",
        "all",
        "--outside",
        "1",
    ]
    models = ["--sam", str(write_sam(base / "sam")), "--masks", "masks:128:255"]
    arguments = ["hand", str(base / "out"), *(word for s in sources for word in ("--from", s)), *options, *models]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return base / "out"


def examples(out: Path, source: str) -> list[Example]:
    found = [decode(*one) for tar in sorted((out / "train").glob("*.tar")) for one in read_shard(tar)]
    return [e for e in found if e.attributes["source"] == source]


def test_every_source_gives_what_was_drawn(mixed: Path) -> None:
    report = json.loads((mixed / "prepare.json").read_text())
    assert report["sources"]["hagrid"]["drawn"]["train"] == 2
    assert report["sources"]["reinterhand"]["drawn"]["train"] == 3
    for source in ("hagrid", "interhand", "reinterhand"):
        made = report["train"]["sources"][source]
        assert made["examples"] == len(examples(mixed, source)) > 0
        assert made["mask"] == {"source" if source == "reinterhand" else "sam": made["examples"]}
        assert not made["skipped"]


def test_shipped_masks_lie_where_their_key_points_are(mixed: Path) -> None:
    """Of the 21 points nine in ten fall on the hand's own label, grown by a pixel of its 96-pixel picture or so."""
    on = []
    for example in examples(mixed, "reinterhand"):
        for label, first in ((1, 91), (2, 112)):
            points = example.keypoints[first : first + 21]
            points = points[points[:, 2] > 0, :2]
            if len(points):
                grown = cv2.dilate((example.hands == label).astype(np.uint8), np.ones((9, 9), np.uint8))
                x, y = np.clip(points.astype(int), 0, 63).T
                on.append(grown[y, x].mean())
    assert len(on) >= 4 and np.mean(on) >= 0.9


def test_a_gesture_is_known_where_the_source_knows_it(mixed: Path) -> None:
    assert all(e.attributes.get("gesture") for e in examples(mixed, "hagrid"))
    words = {e.caption.split(", ")[0] for e in examples(mixed, "hagrid") if e.attributes["side"] != "both"}
    assert words <= {"a left hand", "a right hand"}
