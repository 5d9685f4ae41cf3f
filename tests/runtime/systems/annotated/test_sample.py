"""Pictures out of noise with their annotation: the loop, batches, candidates, the server, and the commands."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.annotated_loop import diffusers_loop
from support.tiny_annotated import write_tiny_annotated
from typer.testing import CliRunner

import handfirst
from handfirst.engines.bundle import demo_bundle_path
from handfirst.export.bundle_writer import export_bundle
from handfirst.export.options import ExportOptions
from handfirst.runtime.batch.groups import group_jobs
from handfirst.runtime.batch.read_jobs import read_jobs
from handfirst.runtime.cli.main import app, main
from handfirst.runtime.diffusion.table import ddim_table
from handfirst.runtime.errors import PoseError, RequestError
from handfirst.runtime.metadata import read
from handfirst.runtime.profile.profile import Plan, measure
from handfirst.runtime.systems.annotated.job import JOBS, example
from handfirst.runtime.systems.annotated.request import SampleRequest
from handfirst.runtime.systems.annotated.roles import runs
from handfirst.runtime.systems.annotated.seam import together
from handfirst.training.systems.annotated.model_folder import AnnotatedFolder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_annotated(tmp_path_factory.mktemp("annotated") / "model")


@pytest.fixture(scope="module")
def bundle(folder: Path) -> Path:
    return export_bundle(folder, folder.parent / "bundle", ExportOptions("tiny", "float32"))


@pytest.fixture(scope="module")
def model(bundle: Path):
    opened = handfirst.open(bundle, engine="cpu", threads=1)
    yield opened
    opened.close()


@pytest.mark.parametrize(("label", "guidance", "eta"), [(None, 1.0, 0.0), ("palm", 3.0, 0.0), ("fist", 1.0, 1.0)])
def test_the_loop_is_that_of_torch_and_diffusers(model, folder, label, guidance, eta) -> None:
    request = SampleRequest(label=label, guidance=guidance, eta=eta, seed=7, steps=5).resolve(model.settings)
    table = ddim_table(model._schedule, 5, guidance, eta)
    *_, last = model.denoised([7], model._guided([request], table), table)
    told = torch.tensor([[name == label for name in model.settings.classes]], dtype=torch.float32)
    source = AnnotatedFolder(folder)
    expected = diffusers_loop(source.denoiser(), source.settings, (torch.zeros_like(told), told), 7, 5, guidance, eta)
    np.testing.assert_allclose(np.asarray(last.x_t), expected, atol=1e-3)
    shown = np.rint((expected[0].clip(-1, 1).transpose(1, 2, 0) + 1) * 127.5)
    result = model.render(request)
    for found, wanted in ((result.image, shown[..., :3]), (result.annotation, shown[..., 3:])):
        assert found.shape == (16, 16, 3) and np.abs(found.astype(int) - wanted).max() <= 1


def test_alone_step_by_step_and_together_it_is_the_same(model) -> None:
    requests = [
        SampleRequest(label="fist", seed=1),
        SampleRequest(seed=2, steps=3),
        SampleRequest(label="palm", seed=3),
    ]
    alone = [model.render(each) for each in requests]
    for one, other in zip(alone, model.render_batch(requests), strict=True):
        assert np.abs(one.image.astype(int) - other.image).max() <= 1
        assert one.seed == other.seed and other.asked["steps"] == (one.request.steps or 4)
    steps = list(model.steps(requests[0]))
    assert [(step.stage, step.step, step.total) for step in steps] == [
        *(("sample", i, 4) for i in (1, 2, 3, 4)), ("recover", 1, 1),
    ]  # fmt: skip
    assert steps[0].preview().shape == (16, 16, 3)
    np.testing.assert_array_equal(steps[-1].result.image, alone[0].image)
    assert not np.array_equal(alone[0].image, model.render(SampleRequest(label="palm", seed=1)).image)


def test_the_best_of_some_is_the_most_consistent(model, monkeypatch) -> None:
    """A random network draws no hands, so the scores are given; what is kept is the picture of the best one's seed."""
    scores = iter([0.2, 0.7, 0.5, 0.7])
    monkeypatch.setattr("handfirst.runtime.systems.annotated.system.consistency", lambda *_: next(scores))
    request = SampleRequest(seed=5, best_of=4, steps=2)
    progress = list(model.steps(request))
    result = progress[-1].result
    assert (result.candidate, result.consistency, result.scores) == (1, 0.7, (0.2, 0.7, 0.5, 0.7))
    assert [step.total for step in progress[:-1]] == [8] * 8 and progress[7].step == 8
    scores = iter([0.0])
    plain = model.render(SampleRequest(seed=request.candidate_seed(1), steps=2))
    np.testing.assert_array_equal(result.image, plain.image)
    assert result.asked["consistency"] == 0.7 and request.candidate_seed(0) == 5


def test_a_detector_looks_where_it_is_asked_to(model) -> None:
    looked = []

    def detector(picture):
        looked.append(picture)
        raise PoseError("mediapipe is not installed")

    model._detector, before = detector, model._detector
    try:
        assert model.render(SampleRequest(steps=2)).asked.get("check") is False and not looked
        result = model.render(SampleRequest(steps=2, check=True))
        assert len(looked) == 1 and "not checked (mediapipe is not installed)" in result.warnings
        model._detector = lambda picture: ()
        assert model.render(SampleRequest(steps=2, check=True)).consistency == 0
    finally:
        model._detector = before


def test_what_the_model_has_not_is_named(model) -> None:
    for asked, says in (
        ({"label": "peace"}, "label: expected one of fist, palm, got 'peace'"),
        ({"prompt": "a hand"}, "prompt: expected none, as this model reads no text"),
        ({"steps": 51}, "steps: expected at most 50"),
        ({"best_of": 65}, "best_of: expected a whole number from 1 to 64, got 65"),
        ({"seed": -1}, "seed"),
        ({"check": "yes"}, "check: expected true or false"),
        ({"label": 3}, "label: expected text"),
    ):
        with pytest.raises(RequestError, match=says):
            model.render(SampleRequest(**asked))


def test_a_server_a_profile_and_engines_ahead(model, bundle: Path) -> None:
    with handfirst.Server(model, workers=2) as server:
        jobs = [server.submit(SampleRequest(seed=seed, steps=2)) for seed in range(3)]
        for job in jobs:
            assert np.abs(job.result(60).image.astype(int) - model.render(job.request).image).max() <= 1
    found = measure(model, example(steps=2), Plan(1, 2, 2, 1), lambda *_: None)
    assert found.asked == {"steps": 2, "guidance": 2.0, "best_of": 1, "size": 16, "resident": "all"}
    assert {("sample", "denoiser"), ("sample", "step"), ("recover", "recovery")} <= {
        (part.stage, part.part) for part in found.parts
    }
    specs = {role: entry.spec for role, entry in model.bundle.manifest.engines.items()}
    assert runs(model.settings, specs, 3)["denoiser"].shapes == [(6, (16, 16))]


def test_a_batch_needs_no_file(model, tmp_path: Path) -> None:
    (tmp_path / "jobs.jsonl").write_text('{"label": "fist", "best_of": 2}\n{"seed": 4}\n{"pose": "x"}\n')
    jobs = read_jobs(JOBS, tmp_path / "jobs.jsonl")
    assert jobs[2].reason.startswith("unknown field 'pose'; a job has id, prompt, label, seed")
    first, second = (job.request() for job in jobs[:2])
    assert (first, second) == (SampleRequest(label="fist", best_of=2), SampleRequest(seed=4))
    assert together(first, model.settings) != together(second, model.settings)
    groups = list(group_jobs(jobs, partial(together, settings=model.settings), 4))
    assert len(groups) == 3


def run(*arguments: object):
    return CliRunner().invoke(app, [str(each) for each in arguments])


def test_the_command_writes_pictures_and_tells_their_consistency(bundle: Path, model, tmp_path: Path) -> None:
    words = ("sample", "-o", tmp_path / "out.png", "--bundle", bundle, "--engine", "cpu", "--threads", 1, "--steps", 2)
    done = run(*words, "--count", 2, "--seed", 8, "--annotation", "--sheet", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert [Path(file["path"]).name for file in told["files"]] == [
        f"out-{i}{kind}.png" for i in (1, 2) for kind in ("", "-annotation", "-sheet")
    ]
    assert [set(each) for each in told["pictures"]] == [{"consistency", "candidate"}] * 2
    results = model.render_batch([SampleRequest(seed=seed, steps=2) for seed in (8, 9)])
    for i, result in enumerate(results, 1):
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / f"out-{i}.png")), result.image)
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / f"out-{i}-annotation.png")), result.annotation)
    assert read(tmp_path / "out-2.png")["request"]["seed"] == 9
    done = run(*words, "--label", "palm")
    assert done.exit_code == 0 and "seed 0: consistency" in done.stdout


def test_what_cannot_be_sampled_is_said_in_a_line(bundle: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out.png"
    for arguments, says in (
        (["--bundle", str(bundle), "--label", "peace"], "label: expected one of fist, palm, got 'peace'"),
        (["--bundle", str(bundle), "--set", "pose=x"], "this model knows no pose"),
        (["--bundle", "demo"], "expected a model that samples, and 'demo' needs pose and prompt"),
        (["--gesture", "ok"], "this model knows no gesture"),
    ):
        assert main(["sample", "-o", str(out), *arguments]) == 2
        assert says in capsys.readouterr().err and not out.exists()
    assert demo_bundle_path().exists()
