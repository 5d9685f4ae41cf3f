"""benchmarks/peers.py as a person calls it, on tiny networks: the same job for all, and its file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
EXACT = ("diffusers float32", "onnxruntime bare", "handfirst cpu")
OTHERS = ("handfirst cpu fastest", "DeepCache bfloat16", "stable-diffusion.cpp")


@pytest.mark.long
def test_all_do_the_same_job(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARKS / "peers.py"), str(tmp_path), "--weights", "tiny", "--rounds", "2"]
    command += ["--steps", "8", "4", "--sizes", "192", "--batches", "2", "--workers", "1"]
    for name in (*EXACT, *OTHERS):
        command += ["--contender", name]
    out = tmp_path / "peers.json"
    found = subprocess.run([*command, "--out", str(out)], capture_output=True, text=True, timeout=600)
    assert found.returncode == 0, found.stderr[-2000:]
    report = json.loads(out.read_text())
    assert [job["job"] for job in report["jobs"]] == [
        {"size": 128, "batch": 1, "steps": 8}, {"size": 128, "batch": 1, "steps": 4},
        {"size": 192, "batch": 1, "steps": 4}, {"size": 128, "batch": 2, "steps": 4},
    ]  # fmt: skip
    for job in report["jobs"]:
        figures = job["contenders"]
        assert figures["diffusers float32"]["relative_error"] == 0
        for name in EXACT:
            assert figures[name]["relative_error"] < 1e-4
            assert len(figures[name]["rounds"]) == 2 and figures[name]["peak_memory_bytes"] > 50e6
        assert figures["handfirst cpu"]["to_bare"] > 0
        assert figures["stable-diffusion.cpp"]["missing"] == "takes networks of the full size alone"
    main = report["jobs"][0]["contenders"]
    assert 1e-4 < main["handfirst cpu fastest"]["relative_error"] < 1
    assert report["workers"][0]["pictures_a_second"]["handfirst cpu"] > 0


def test_an_unknown_contender_is_said_before_anything_is_made(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARKS / "peers.py"), str(tmp_path), "--contender", "nobody"]
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.returncode == 2 and "expected some of diffusers float32" in found.stderr
    assert not any(tmp_path.iterdir())
