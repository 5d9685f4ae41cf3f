"""`handfirst evaluate score` from files to files: figures, subsets, pictures, and what it says it did not compute."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from support.evaluation import as_cases, as_detections, random_scenes, write_list
from typer.testing import CliRunner

from handfirst.engines.errors import UserError
from handfirst.training.evaluate import quality
from handfirst.training.evaluate.cases import read_cases
from handfirst.training.evaluate.cli import app
from handfirst.training.evaluate.detections import write_detections
from handfirst.training.evaluate.inception import BACKGROUND, InceptionFront, without_background
from handfirst.training.evaluate.pose_scores import pose_measures, pose_scores

SCENES = random_scenes(np.random.default_rng(4), 12)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A list, detections, masks and weights."""
    folder = tmp_path_factory.mktemp("evaluate")
    write_list(folder, SCENES)
    write_detections(folder / "found.json", as_detections(SCENES))
    perfect = random_scenes(np.random.default_rng(4), 12)
    for scene in perfect:
        scene.found, scene.scores = scene.true, np.ones(len(scene.true))
    write_detections(folder / "true.json", as_detections(perfect))
    (folder / "masks").mkdir()
    for i in range(12):
        mask = np.zeros((48, 48), np.uint8)
        mask[:24] = 255
        cv2.imwrite(str(folder / "masks" / f"s{i}.png"), mask)
    torch.save(InceptionFront().state_dict(), folder / "weights.pth")
    return folder


def run(*arguments: object) -> dict[str, object]:
    """The JSON object of `score`."""
    done = CliRunner().invoke(app, ["score", *map(str, arguments), "--json"], catch_exceptions=False)
    assert done.exit_code == 0
    return json.loads(done.stdout)


def test_figures_subsets_and_pictures(files: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    report = run(
        files / "cases.jsonl", "--out", out, "--detections", files / "found.json", "--ceiling", files / "true.json",
        "--resamples", 50,
    )  # fmt: skip
    cases, detections = as_cases(SCENES), as_detections(SCENES)
    metrics = report["metrics"]
    for part in ("whole", "hands"):
        for measure in pose_measures(pose_scores(cases, detections, part)):
            entry = metrics[measure.name]
            assert entry["value"] == pytest.approx(measure.statistic(np.ones(12)))
            assert entry["low"] <= entry["value"] <= entry["high"]
    assert metrics["dap"]["ceiling"]["value"] == pytest.approx(1.0)
    assert metrics["mpjpe"]["ceiling"]["value"] == pytest.approx(0.0)
    assert metrics["hand_conf"]["value"] == pytest.approx((0.95 + 0.5) / 2)
    fists = np.array([float(s.attributes["gesture"] == "fist") for s in SCENES])
    assert set(report["subsets"]) == {"gesture"}
    dap = pose_measures(pose_scores(cases, detections, "hands"))[0]
    assert report["subsets"]["gesture"]["fist"]["dap_hands"]["value"] == pytest.approx(dap.statistic(fists))
    assert report["subsets"]["gesture"]["fist"]["dap_hands"]["n"] == int(fists.sum())
    assert report["sizes"]["gesture"]["fist"] == int(fists.sum())
    assert any("every picture says the same" in note for note in report["notes"])  # every picture has the same hands
    assert set(report["not_computed"]) == {
        "clipsim", "fid", "kid", "fid_fg", "kid_fg", "det_conf_face", "det_conf_face_found",
    }  # fmt: skip
    assert json.loads((out / "evaluate.json").read_text())["metrics"] == metrics
    for name in ("precision.png", "by-gesture.png", "worst.png"):
        assert cv2.imread(str(out / name)).std() > 10
    assert {Path(str(f)).name for f in report["files"]} == {p.name for p in out.iterdir()}


def test_distances_with_and_without_background(files: Path, tmp_path: Path) -> None:
    report = run(
        files / "cases.jsonl", "--out", tmp_path / "out", "--real", files / "cases.jsonl", "--masks", files / "masks",
        "--real-masks", files / "masks", "--inception", files / "weights.pth", "--resamples", 0,
    )  # fmt: skip
    for name in ("fid", "fid_fg"):
        assert report["metrics"][name]["value"] == pytest.approx(0, abs=1e-6)  # the same pictures
    assert report["settings"]["kid_subset_size"] == 6
    assert "spread" in report["metrics"]["kid"]
    assert any("not the published file" in note for note in report["notes"])
    assert any("too large" in note for note in report["notes"])
    assert "--detections" in report["not_computed"]["dap"]


def test_a_masked_background_is_the_networks_zero(files: Path) -> None:
    case = read_cases(files / "cases.jsonl", masks=files / "masks")[0]
    image = case.picture.read()
    shown = without_background(image, case)
    np.testing.assert_array_equal(shown[:24], image[:24])
    assert (shown[24:] == BACKGROUND).all() and (shown[24:].astype(float) - 128 == 0).all()


def test_nothing_given_is_an_error_and_leaves_nothing(files: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing can be computed: no CLIP checkpoint"):
        run(files / "cases.jsonl", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_missing_libraries_are_named(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, "find_spec", lambda name: None if name == "torchmetrics" else object())
    report = run(
        files / "cases.jsonl", "--out", tmp_path / "out", "--detections", files / "found.json", "--resamples", 0,
        "--real", files / "cases.jsonl", "--inception", files / "weights.pth",
    )  # fmt: skip
    assert report["not_computed"]["fid"] == "torchmetrics not installed; run: pip install 'handfirst[metrics]'"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--by", "age"], "no picture has this attribute; they have gesture"),
        (["--real", "nowhere"], "nowhere"),
        (["--pictures", "nowhere"], "expected a folder of pictures"),
    ],
)
def test_wrong_inputs_are_one_line(files: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        run(files / "cases.jsonl", "--out", tmp_path / "o", "--detections", files / "found.json", *arguments)
    assert not (tmp_path / "o").exists()


def test_detections_of_other_pictures_are_refused(files: Path, tmp_path: Path) -> None:
    write_detections(tmp_path / "some.json", as_detections(SCENES[:5]))
    with pytest.raises(UserError, match="7 of 12 pictures are not in it, the first is 's5'"):
        run(files / "cases.jsonl", "--out", tmp_path / "o", "--detections", tmp_path / "some.json")


def test_a_damaged_picture_is_named(files: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(files, folder)
    (folder / "s3.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match="picture 's3': a damaged image"):
        run(folder / "cases.jsonl", "--out", tmp_path / "o", "--real", folder / "cases.jsonl",
            "--inception", folder / "weights.pth")  # fmt: skip


def test_the_table_is_for_people(files: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(
        app,
        ["score", str(files / "cases.jsonl"), "--out", str(tmp_path / "o"), "--detections", str(files / "found.json"),
         "--resamples", "20"],
        catch_exceptions=False,
    )  # fmt: skip
    assert done.exit_code == 0
    for words in ("DAP hands", "MPJPE", "HAND-CONF", "by gesture", "not computed: clipsim: no CLIP checkpoint"):
        assert words in done.stdout
