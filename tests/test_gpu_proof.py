"""benchmarks/gpu_proof.py as a person calls it, on a machine without a GPU."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from handfirst.engines.installed import importable

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "engines" / "bundles" / "demo"
CPU = ("--device", "cpu", "--rounds", "1")


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
    out = ("--out", str(tmp_path), "--name", "here", *CPU)
    for role in ("mask_head", "hint_encoder"):
        assert proof("--tiny", "--roles", role, "--precisions", "float16", "float32", *out)[0] == 0
    report = json.loads((tmp_path / "gpu-here.json").read_text())
    rows = {(r["role"], r["precision"], r["contestant"]): r for r in report["graphs"]}
    assert len(rows) == len(report["graphs"]) == 2 * 2 * 4
    assert all(row["milliseconds"] > 0 for row in rows.values())
    assert rows["mask_head", "float32", "onnxruntime resident"]["relative_error"] < 1e-5
    assert rows["hint_encoder", "float16", "onnxruntime"]["relative_error"] < 1e-2
    if importable("matplotlib"):
        assert (tmp_path / "gpu-here.png").read_bytes().startswith(b"\x89PNG")
    code, error = proof("--bundle", str(DEMO), "--roles", "mask_head", *out)
    assert code == 2 and "give another --name" in error  # never mixed with another model's


def test_a_bundle_is_held_against_its_golden_tensors(tmp_path: Path, proof: Callable[..., tuple[int, str]]) -> None:
    assert proof("--bundle", str(DEMO), "--roles", "mask_head", "--out", str(tmp_path), "--name", "demo", *CPU)[0] == 0
    rows = json.loads((tmp_path / "gpu-demo.json").read_text())["graphs"]
    assert [row["contestant"] for row in rows] == ["onnxruntime", "onnxruntime resident"]
    assert all(row["psnr_db"] == "inf" or row["psnr_db"] > 60 for row in rows)
