"""`handfirst pose --to`: conversions, and what is refused before anything is written."""

import json

import numpy as np
import pytest
from support.poses import random_pose

from handfirst.runtime.cli.main import main
from handfirst.runtime.pose.formats import ARRAYS, WRITABLE
from handfirst.runtime.pose.read import read_pose
from handfirst.runtime.pose.write import write_pose


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_pose(random_pose(1, missing=0.0), tmp_path / "pose.npz", "handfirst")
    return tmp_path


def refused(capsys, *arguments):
    assert main(["pose", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    return err


@pytest.mark.parametrize("to", WRITABLE)
def test_converts(here, capsys, to):
    name = "out.npz" if to in ARRAYS else "out.json"
    assert main(["pose", "pose.npz", "--to", to, "--out", name, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(entry["path"], entry["kind"]) for entry in told["files"]] == [(name, to)]
    pose = read_pose(here / name, (told["width"], told["height"]))
    given = read_pose(here / "pose.npz").people[0].left_hand
    known = np.isfinite(pose.people[0].left_hand).all(1)
    assert known.sum() >= 5
    np.testing.assert_allclose(pose.people[0].left_hand[known], given[known], atol=1e-9)


def test_says_where_it_went(here, capsys):
    assert main(["pose", "pose.npz", "--to", "a1111", "--out", "out.json"]) == 0
    assert "a1111  out.json" in capsys.readouterr().out


def test_a_format_for_files_that_do_not_say(here, capsys):
    np.save(here / "hands.npy", np.random.default_rng(0).uniform(1, 99, (42, 2)))
    assert "--format interhand" in refused(capsys, "hands.npy", "--size", "100x100")
    assert main(["pose", "hands.npy", "--size", "100x100", "--format", "interhand", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["people"][0]["right hand"]["found"] == 21


BAD = {
    "nowhere": (("--to", "coco"), "add --out FILE"),
    "another ending": (("--to", "coco", "--out", "out.npz"), "ends in .json"),
    "a picture's ending": (("--to", "dwpose", "--out", "out.png"), "ends in .npz"),
    "no format": (("--out", "out.json"), "add --to NAME"),
    "a folder": (("--to", "coco", "--out", "folder.json"), "is a folder"),
    "no folder": (("--to", "coco", "--out", "gone/out.json"), "'gone' does not exist"),
    "read only": (("--to", "foundhand", "--out", "out.npz"), "--to"),
    "not mirrored": (("--mirrored",), "drop it"),
    "not that": (("--format", "coco"), "try without --format"),
}


@pytest.mark.parametrize(("arguments", "word"), BAD.values(), ids=BAD.keys())
def test_refusals(here, capsys, arguments, word):
    (here / "folder.json").mkdir()
    before = sorted(here.iterdir())
    assert word in refused(capsys, "pose.npz", *arguments)
    assert sorted(here.iterdir()) == before
