"""Jobs that choose their canvas, on real engines: what is painted is what a single render of the same request is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from support.batch_jobs import lines

from handfirst.engines.bundle import Bundle
from handfirst.runtime.batch.groups import group_jobs
from handfirst.runtime.batch.job import BadJob, Failed, Job
from handfirst.runtime.batch.read_jobs import read_jobs
from handfirst.runtime.cli.main import main
from handfirst.runtime.systems import two_stage
from handfirst.runtime.systems.two_stage import job as two_stage_job
from handfirst.runtime.systems.two_stage.seam import together
from handfirst.runtime.systems.two_stage.settings import read_settings
from handfirst.runtime.systems.two_stage.system import TwoStage

JOBS = {
    "usual": {},
    "wide": {"canvas": "256x128", "seed": 1},
    "listed": {"canvas": [192, 192], "seed": 2},
    "wide-2": {"canvas": "256x128", "seed": 3},
    "said-usual": {"canvas": "128x128", "seed": 4},
}
"""Names, and what they say beside a pose and a prompt."""
BAD = {
    "large": ({"canvas": "320x128"}, "size of the picture: expected a width of 128 to 256 in steps of 64"),
    "between": ({"canvas": "160x128"}, "size of the picture: expected a width of 128 to 256 in steps of 64"),
    "huge": ({"canvas": "20000x128"}, "canvas: expected WIDTHxHEIGHT up to 16384, such as 640x512"),
    "words": ({"canvas": "wide"}, "canvas: expected WIDTHxHEIGHT"),
}
SHAPES = {"usual": (128, 128), "wide": (128, 256), "listed": (192, 192), "wide-2": (128, 256), "said-usual": (128, 128)}


@pytest.fixture(scope="module")
def bundle(free_sizes: tuple[Path, Path]) -> Path:
    return free_sizes[1]


@pytest.fixture(scope="module")
def system(bundle: Path) -> TwoStage:
    return TwoStage.open(bundle, "cpu", 1)


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    """Good ones and, among them, bad ones."""
    (tmp_path / "pose.json").write_bytes(Path(two_stage.__file__).with_name("demo_pose.json").read_bytes())
    said = JOBS | {name: fields for name, (fields, _) in BAD.items()}
    path = tmp_path / "jobs.jsonl"
    alike = {"pose": "pose.json", "prompt": "a woman in a red shirt", "steps": 3}
    path.write_text("".join(json.dumps({"id": name, **alike, **said[name]}) + "\n" for name in sorted(said)))
    return path


def good(path: Path) -> dict[str, Job]:
    return {job.id: job for job in read_jobs(two_stage_job.JOBS, path) if isinstance(job, Job) and job.id in JOBS}


def image(path: Path) -> NDArray[np.uint8]:
    read = cv2.imread(str(path))
    assert read is not None
    return read[..., ::-1].astype(np.uint8)


def batch(jobs: Path, bundle: Path, *more: str) -> int:
    out = jobs.parent / "out"
    command = ["batch", jobs, "-o", out, "--bundle", bundle, "--engine", "cpu", "--threads", "1", *more]
    return main([str(word) for word in command])


def test_alone_each_is_the_single_render_to_the_last_bit(jobs: Path, bundle: Path, system: TwoStage) -> None:
    assert batch(jobs, bundle, "--batch-size", "1") == 3
    for name, job in good(jobs).items():
        painted = image(jobs.parent / "out" / f"{name}.png")
        assert painted.shape == (*SHAPES[name], 3)
        np.testing.assert_array_equal(painted, system.render(job.request()).image, err_msg=name)
    found = {line["id"]: line for line in lines(jobs.parent / "out")}
    assert {name for name, line in found.items() if line["status"] == "done"} == set(JOBS)
    for name, (_, reason) in BAD.items():
        assert found[name]["status"] == "failed" and found[name]["reason"].startswith(reason), found[name]


def test_those_of_equal_size_are_painted_together(jobs: Path, bundle: Path, system: TwoStage) -> None:
    assert names(plan_of(read_jobs(two_stage_job.JOBS, jobs), bundle)) == [
        ["listed"],
        ["said-usual", "usual"],
        ["wide", "wide-2"],
    ]
    assert batch(jobs, bundle) == 3
    found = good(jobs)
    for group in (["said-usual", "usual"], ["wide", "wide-2"]):
        painted = system.render_batch([found[name].request() for name in group])
        for name, result in zip(group, painted, strict=True):
            np.testing.assert_array_equal(image(jobs.parent / "out" / f"{name}.png"), result.image, err_msg=name)
    batches = {line["id"]: line.get("batch") for line in lines(jobs.parent / "out")}
    assert {name: batches[name] for name in JOBS} == {
        "usual": 2, "wide": 2, "listed": 1, "wide-2": 2, "said-usual": 2,
    }  # fmt: skip


def plan_of(jobs: Sequence[Job | BadJob], bundle: Path) -> list[list[Job]]:
    settings = read_settings(Bundle.open(bundle).manifest)
    planned = group_jobs(jobs, partial(together, settings=settings), 4)
    return [[task.job for task in item] for item in planned if not isinstance(item, Failed)]


def names(groups: list[list[Job]]) -> list[list[str]]:
    return [[job.id for job in group] for group in groups]


def test_the_command_says_it_for_all_others(jobs: Path, bundle: Path) -> None:
    assert batch(jobs, bundle, "--canvas", "192x128") == 3
    shapes = {name: image(jobs.parent / "out" / f"{name}.png").shape[:2] for name in JOBS}
    assert shapes == SHAPES | {"usual": (128, 192)}


def test_a_model_of_one_size_says_so(jobs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    jobs.write_text(json.dumps({"pose": "pose.json", "prompt": "x", "canvas": "256x128"}) + "\n")
    assert main(["batch", str(jobs), "-o", str(jobs.parent / "out"), "--engine", "cpu"]) == 3
    assert "size of the picture: this model paints 192x192 alone, got 256x128; leave it out" in capsys.readouterr().err
