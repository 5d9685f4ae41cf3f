"""`handfirst prepare` on a folder of pictures on disk, as a person calls it."""

import json
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from support.painted import Painted
from typer.testing import CliRunner

from handfirst.engines.errors import UserError
from handfirst.runtime.cli.plugins import EXTRAS, HELP
from handfirst.training.data.prepare.cli import app
from handfirst.training.data.prepare.origins import parse_origin
from handfirst.training.data.prepare.settings import Origin
from handfirst.training.data.record import Record
from handfirst.training.data.shards import open_shards
from handfirst.training.evaluate.cases import read_cases


def call(*arguments: object) -> str:
    """What it prints; errors come out as they are raised."""
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False, standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.output


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Twelve painted pictures with their masks, captions and OpenPose files."""
    out = tmp_path_factory.mktemp("pictures")
    for record in Painted(12, clean=True):
        assert isinstance(record, Record) and record.masks is not None
        image = record.image.read()
        cv2.imwrite(str(out / f"{record.key}.png"), image[..., ::-1])
        cv2.imwrite(str(out / f"{record.key}.mask.png"), record.masks.read())
        (out / f"{record.key}.txt").write_text(f"person {record.key}\n")
        left, right = (record.people[0, part].ravel().tolist() for part in (slice(91, 112), slice(112, 133)))
        hands = {"hand_left_keypoints_2d": left, "hand_right_keypoints_2d": right}
        pose = {"people": [hands], "canvas_width": image.shape[1], "canvas_height": image.shape[0]}
        (out / f"{record.key}.json").write_text(json.dumps(pose))
    return out


@pytest.mark.parametrize("stage", ["hand", "body"])
def test_a_folder_becomes_shards(stage: str, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = call(stage, out, "--from", f"folder={folder}:8", "--size", 64, "--val", 1, "--shard", 5, "--workers", 1)
    report = json.loads((out / "prepare.json").read_text())
    assert report["sources"]["folder"]["drawn"] == {"train": 8, "val": 1}
    assert report["train"]["sources"]["folder"]["caption"] == {"given": 8}
    assert "folder" in said and "sheet.png" in said
    assert (out / "train" / f"{stage}-000001.tar").exists() and (out / "val" / f"{stage}-000000.tar").exists()
    assert cv2.imread(str(out / "sheet.png")) is not None


def test_people_are_cut_to_the_canvas_that_fits_them(folder: Path, tmp_path: Path) -> None:
    """Pictures of 120 x 90 with hands side by side: broad ones get the broad canvas, and evaluation reads its size."""
    out = tmp_path / "out"
    said = ["--buckets", "64x64,80x48,48x80", "--size", 64, "--val", 1, "--shard", 5, "--workers", 1]
    call("body", out, "--from", f"folder={folder}:8", *said)
    shards = open_shards(out / "train", tmp_path / "index")
    sizes = [tuple(size) for size in shards.sizes().tolist()]
    assert set(sizes) <= {(64, 64), (80, 48), (48, 80)} and (80, 48) in sizes
    cases = {case.key: case for case in read_cases(out / "train")}
    for i, (width, height) in enumerate(sizes):
        example = shards.read(i)
        assert example.rgb.shape == (height, width, 3) and example.hands.any()
        assert example.attributes["square_px"].isdigit()
        pose = cases[example.key].pose
        assert pose is not None and (pose.width, pose.height) == (width, height)
    with pytest.raises(UserError, match="buckets: expected WIDTHxHEIGHT"):
        call("body", tmp_path / "other", "--from", f"folder={folder}", "--buckets", "wide")
    assert not (tmp_path / "other").exists()


def test_rendered_people_need_nothing_on_disk(tmp_path: Path) -> None:
    call("hand", tmp_path / "out", "--from", "rendered=hand:2", "--size", 32, "--val", 0, "--workers", 1)
    report = json.loads((tmp_path / "out" / "prepare.json").read_text())
    assert report["train"]["examples"] == 2
    assert set(report["train"]["sources"]["procedural"]["side"]) <= {"left", "right"}


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("hagrid=/data/hagrid:76800", Origin(kind="hagrid", path="/data/hagrid", count=76800)),
        ("interhand=/data/a=b", Origin(kind="interhand", path="/data/a=b")),
        ("folder=C:/x", Origin(kind="folder", path="C:/x")),
        ("rendered=person:7", Origin(kind="rendered", path="person:7")),
    ],
)
def test_sources_are_written_as_kind_path_and_count(text: str, origin: Origin) -> None:
    assert parse_origin(text) == origin


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("/data/hagrid", "expected KIND=PATH"),
        ("hagrid=", "expected KIND=PATH"),
        ("imagenet=/data", "expected a source of kind hagrid, .* got 'imagenet'"),
        ("folder=/data:0", "a count of at least 1"),
        ("rendered=person", "expected rendered=hand:COUNT"),
    ],
)
def test_a_mistyped_source_is_one_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        call("hand", tmp_path / "out", "--from", text)
    assert list(tmp_path.iterdir()) == []


def test_a_source_that_is_not_there_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file or folder"):
        call("hand", tmp_path / "out", "--from", f"folder={tmp_path / 'nowhere'}")
    assert list(tmp_path.iterdir()) == []


def test_masks_are_a_folder_and_two_values(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected NAME:LEFT:RIGHT"):
        call("hand", tmp_path / "out", "--from", "reinterhand=/data", "--masks", "masks")


def test_the_verb_is_registered_and_explained() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    value = project["project"]["entry-points"]["handfirst.commands"]["prepare"]
    assert isinstance(EntryPoint("prepare", value, "handfirst.commands").load(), typer.Typer)
    assert "prepare" in HELP and EXTRAS["prepare"] == "train"
    assert np.isin(["hand", "body", "points"], [c.name or c.callback.__name__ for c in app.registered_commands]).all()
