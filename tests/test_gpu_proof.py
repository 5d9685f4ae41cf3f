"""benchmarks/gpu_proof.py as a person calls it, on a machine without a GPU."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from support.fake_stream_engine import FakeStreamEngine

from handfirst.engines.bundle import Bundle
from handfirst.engines.cuda.lane import Lane
from handfirst.engines.installed import importable
from handfirst.runtime.systems.two_stage.settings import read_settings
from handfirst.runtime.systems.two_stage.system import TwoStage
from handfirst.training.systems.two_stage.model_folder import ModelFolder

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "engines" / "bundles" / "demo"
CPU = ("--device", "cpu", "--rounds", "1", "--one-process", "--minutes", "600")  # a busy machine may take its time


@pytest.fixture
def proof(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Runs the script in this process; its exit code and what it said on stderr."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    import gpu_proof

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["gpu_proof.py", *arguments])
        code = gpu_proof.main()
        return code, capsys.readouterr().err

    return run


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "no NVIDIA GPU here"),
        (("--device", "cpu"), "add --tiny"),
        (("--roles", "nose", *CPU, "--tiny"), "no role nose"),
        (("--model", ".", *CPU, "--tiny"), "give --bundle too"),
    ],
)
def test_what_cannot_run_is_said_in_one_line(
    arguments: tuple[str, ...], said: str, proof: Callable[..., tuple[int, str]]
) -> None:
    code, error = proof(*arguments)
    assert code == 2 and said in error and len(error.splitlines()) == 1, error


def test_the_dry_run_measures_writes_and_adds(tmp_path: Path, proof: Callable[..., tuple[int, str]]) -> None:
    out = ("--out", str(tmp_path), "--name", "here", "--parts", "graphs", "--graphs", str(tmp_path / "kept"), *CPU)
    for role in ("mask_head", "hint_encoder"):
        assert proof("--tiny", "--roles", role, "--precisions", "float16", "float32", *out)[0] == 0
    report = json.loads((tmp_path / "gpu-here.json").read_text())
    rows = {(r["role"], r["precision"], r["contestant"]): r for r in report["graphs"]}
    assert {path.name for path in (tmp_path / "kept" / "tiny").iterdir()} == {
        f"{role}-{precision}" for role in ("mask_head", "hint_encoder") for precision in ("float16", "float32")
    }
    assert len(rows) == len(report["graphs"]) == 2 * 2 * 4
    assert all(row["milliseconds"] > 0 for row in rows.values())
    assert rows["mask_head", "float32", "onnxruntime resident"]["relative_error"] < 1e-5
    assert rows["hint_encoder", "float16", "onnxruntime"]["relative_error"] < 1e-2
    again = ("--tiny", "--roles", "mask_head", "--precisions", "float32", *out)
    for more in ((), ("--again",)):  # what is there stays; or graphs that were kept are read, and run, once more
        before = (tmp_path / "gpu-here.json").read_text()
        assert proof(*again, *more)[0] == 0
        assert ((tmp_path / "gpu-here.json").read_text() == before) == (not more)
    if importable("matplotlib"):
        assert (tmp_path / "gpu-here.png").read_bytes().startswith(b"\x89PNG")
    code, error = proof("--bundle", str(DEMO), "--roles", "mask_head", *out)
    assert code == 2 and "give another --name" in error  # never mixed with another model's


def test_kernel_and_jobs_in_the_dry_run_and_nothing_is_measured_twice(
    tmp_path: Path,
    proof: Callable[..., tuple[int, str]],
    free_sizes: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The kernel's source on the processor equals NumPy; what needs a GPU says that it was skipped. Graphs are those
    of a bundle that other tests use too, as their export takes longest."""
    import gpu_proof

    folder, bundle = ModelFolder(free_sizes[0]), Bundle.open(free_sizes[1])
    model = SimpleNamespace(
        settings=read_settings(bundle.manifest), network=folder.network, outline=folder.outline,
        tokenizer=bundle.tokenizer,
    )  # fmt: skip
    store = SimpleNamespace(model=model, graph=lambda role, precision: bundle.graph(role))
    monkeypatch.setattr(gpu_proof, "_store", lambda options: store)
    out = ("--tiny", "--parts", "kernel", "jobs", "--out", str(tmp_path), "--name", "here", *CPU)
    jobs = ("--batches", "1", "--steps", "1", "--job-rounds", "1", "--no-compile")
    assert proof(*out, *jobs)[0] == 0
    report = json.loads((tmp_path / "gpu-here.json").read_text())
    (kernel,) = report["kernel"]
    assert "skipped" in kernel or (kernel["bit_equal"] == kernel["values"] > 10_000 and kernel["worst_ulp"] == 0)
    engine, eager = report["jobs"]
    assert (engine["contestant"], eager["contestant"]) == ("onnxruntime", "torch eager")
    assert engine["NumPy loop"]["milliseconds"] > 0 and "no GPU" in engine["loop on the GPU"]["skipped"]
    assert eager["milliseconds"] > 0
    import proof_jobs
    import proof_torch

    for module in (proof_jobs, proof_torch):
        monkeypatch.setattr(module, "times", None)  # nobody is timed any more
    assert proof(*out, *jobs)[0] == 0
    assert json.loads((tmp_path / "gpu-here.json").read_text()) == report
    assert proof(*out, *jobs, "--again")[0] == 0
    assert all("refused" in row for row in json.loads((tmp_path / "gpu-here.json").read_text())["jobs"])


def test_both_loops_of_a_job_are_compared_and_counted(proof: Callable[..., tuple[int, str]]) -> None:
    """The GPU's side over the stand-in for one: equal latents, one wait per stage."""
    import proof_jobs
    from support.arithmetic_model import FUNCTIONS, SETTINGS, spec, tokenizer
    from support.fake_cuda import FakeCuda
    from support.fake_engine import FakeEngine

    cuda = FakeCuda()

    class Clocked(proof_jobs.Counting):  # type: ignore[misc]
        """Engines move the stand-in's clock."""

        now = property(lambda self: cuda.now, lambda self, now: setattr(cuda, "now", now))

    counting = Clocked(cuda)
    lane = Lane(counting, cuda.stream())
    engines = {role: FakeEngine(spec(role), role, FUNCTIONS[role]) for role in FUNCTIONS}
    on_stream = {role: FakeStreamEngine(engines[role], lane) for role in ("hand_unet", "controlnet", "body_unet")}
    plain = {role: proof_jobs.Plain(engine) for role, engine in engines.items()}
    models = [TwoStage(SETTINGS, each, tokenizer()) for each in ({**engines, **on_stream}, plain)]
    jobs = proof_jobs.Jobs(None, b"", "float32", (2,), 3, 1)
    row = proof_jobs._compared(jobs, *models, counting, 2)
    assert row["latents_max_abs_difference"] == row["pixels_that_differ"] == row["pixels_max_difference"] == 0
    assert row["latents_max_abs"] > 0
    assert row["loop on the GPU"]["device_milliseconds"] == 1e3 * FakeStreamEngine.takes * 3 * (1 + 2)
    asked = row["loop on the GPU"]["asked_of_cuda"]
    assert (asked["wait"], asked["launch"]) == (2, 6)


def test_the_distance_of_floats_is_counted_in_their_own_steps(proof: Callable[..., tuple[int, str]]) -> None:
    import proof_kernel

    one = np.float32(1)
    a = np.array([1, 1, 0, -1, 1e-45], np.float32)
    b = np.array([1, np.nextafter(one, np.float32(2)), -0.0, np.nextafter(-one, -np.float32(2)), -1e-45], np.float32)
    assert proof_kernel.ulps(a, b).tolist() == [0, 1, 0, 1, 2]


def test_a_bundle_is_held_against_its_golden_tensors(tmp_path: Path, proof: Callable[..., tuple[int, str]]) -> None:
    assert proof("--bundle", str(DEMO), "--roles", "mask_head", "--out", str(tmp_path), "--name", "demo", *CPU)[0] == 0
    rows = json.loads((tmp_path / "gpu-demo.json").read_text())["graphs"]
    assert [row["contestant"] for row in rows] == ["onnxruntime", "onnxruntime resident"]
    assert all(row["psnr_db"] == "inf" or row["psnr_db"] > 60 for row in rows)
