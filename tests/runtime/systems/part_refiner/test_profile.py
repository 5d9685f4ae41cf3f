"""`handfirst profile` of a bundle that repairs photos: what every part of both stages takes."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import pytest

from handfirst.runtime.cli.main import main

pytestmark = pytest.mark.long

STEPS = 3
QUICK = ("--jobs", "2", "--warmup", "1", "--threads", "1", "--engine", "cpu")


def test_every_part_of_both_stages_has_its_time(
    tiny_refiner: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Calls follow from the steps: both UNets run in each, and the banks of all of them are made at once, in every job
    anew, as none shows the photo of another."""
    asked = (str(tiny_refiner[1]), *QUICK, "--steps", str(STEPS), "--batch-limit", "2")
    assert main(["profile", *asked, "--trace", str(tmp_path / "t.json"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    request = found["request"]
    assert (request["parts"], request["steps"], request["inpaint_steps"], request["resident"]) == (1, 3, 3, "all")
    parts, calls = found["parts"], {(part["stage"], part["part"]): part["calls"] for part in found["parts"]}
    refined_once = dict.fromkeys(("image_encoder", "pose_guider", "reference_unet"), "refine")
    once = {**refined_once, "pose_drawing": "find"}
    every = {"main_unet": "refine", "inpaint_unet": "inpaint"}
    assert {calls[stage, part] for part, stage in once.items()} == {1}
    assert {calls[stage, part] for part, stage in every.items()} == {STEPS}
    assert {calls[f"{stage}_decode", "vae_decoder"] for stage in ("refine", "inpaint")} == {1}
    assert {calls[stage, "step"] for stage in ("refine", "inpaint")} >= {STEPS}
    assert calls["refine", "vae_encoder"] == 1 and calls["inpaint", "vae_encoder"] == 2  # the photo, and what is known
    assert sum(part["job_ms"] for part in parts) == pytest.approx(found["wall_ms"]["mean"], rel=1e-3)
    assert sum(part["share"] for part in parts) == pytest.approx(1, abs=1e-3)
    labels = {part["part"]: part["label"] for part in parts}
    assert (labels["reference_unet"], labels["inpaint_unet"]) == ("reference UNet", "inpainting UNet")
    assert found["flops_not_counted"] == {}
    assert {part["part"] for part in parts if part["flops"]} >= {*every, *refined_once, "vae_encoder", "vae_decoder"}
    assert [batch["images"] for batch in found["batches"]] == [1, 2]
    spans = defaultdict(int)
    for event in json.loads((tmp_path / "t.json").read_text())["traceEvents"][1:]:
        spans[event["name"]] += 1
    assert spans["main_unet"] == 3 * STEPS  # of the first job, too


def test_the_table_names_both_stages(tiny_refiner: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", str(tiny_refiner[1]), *QUICK, "--steps", "1", "--batch-limit", "0"]) == 0
    said = capsys.readouterr().out
    assert "1 steps" in said and "% of the wall time" in said
    for words in ("reference UNet", "main UNet", "inpainting UNet", "image encoder", "draw pose", "refine", "inpaint"):
        assert words in said
