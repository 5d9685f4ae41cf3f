"""The paper's three sources of hands together, small and in their published layouts; SAM's weights are random."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.datasets import write_hagrid, write_interhand, write_wholebody
from support.many_pictures import multiply_hagrid, multiply_reinterhand, spoil
from support.more_datasets import write_reinterhand
from support.tiny_labellers import write_blip, write_sam
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


def test_as_many_as_were_asked_for_although_two_in_a_hundred_are_broken(tmp_path: Path) -> None:
    """100 pictures of HaGRID and 99 of Re:InterHand, two of each broken in the middle: 80 of each are asked for."""
    write_hagrid(tmp_path / "hagrid", count=2)
    write_reinterhand(tmp_path / "reinterhand", count=3, masks=True)
    one = multiply_hagrid(tmp_path / "hagrid", 50)
    two = multiply_reinterhand(tmp_path / "reinterhand", 33)
    spoil([*one[10::50], *two[20::50]])
    sources = [f"hagrid={tmp_path / 'hagrid'}:80", f"reinterhand={tmp_path / 'reinterhand'}:80"]
    options = ["--size", "32", "--val", "4", "--smallest-mask", "0", "--outside", "1", "--workers", "1", "--quiet"]
    models = ["--sam", str(write_sam(tmp_path / "sam")), "--masks", "masks:128:255", "--shard", "40"]
    arguments = ["hand", str(tmp_path / "out"), *(word for s in sources for word in ("--from", s)), *options, *models]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "out" / "prepare.json").read_text())
    for source, found in (("hagrid", 100), ("reinterhand", 99)):
        counts = report["sources"][source]
        assert counts["found"] == found and counts["drawn"] == {"train": 80, "val": 4}
        assert report["train"]["sources"][source]["examples"] == 80 == len(examples(tmp_path / "out", source))
        assert (
            set(counts["failed"]) <= {"not a picture", "a picture that is cut off"}
            and sum(counts["failed"].values()) <= 2
        )
        assert counts["looked_at"] - sum(counts["failed"].values()) >= 84
    assert sum(sum(report["sources"][s]["failed"].values()) for s in ("hagrid", "reinterhand")) >= 2
    assert not (tmp_path / "out" / "candidates").exists()


def test_a_source_of_which_only_the_validation_split_is_there_says_so(tmp_path: Path) -> None:
    write_wholebody(tmp_path / "coco", count=2)
    words = [f"--from=wholebody={tmp_path / 'coco'}:2", "--sam", str(write_sam(tmp_path / "sam")), "--size", "64"]
    words += ["--captioner", str(write_blip(tmp_path / "blip"))]
    done = CliRunner().invoke(app, ["body", str(tmp_path / "out"), *words, "--workers", "1", "--smallest-mask", "0"])
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "out" / "prepare.json").read_text())
    assert report["val"]["examples"] == 2 and not report["train"]["examples"]
    assert any("belongs to its validation split" in line for line in report["remarks"])
    assert not any("not one example" in line for line in report["remarks"])
