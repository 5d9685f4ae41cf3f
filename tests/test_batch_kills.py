"""benchmarks/batch_kills.py, small: `handfirst batch` is killed a few times and loses nothing."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "batch_kills.py"


def test_four_kills_of_twelve_jobs(tmp_path):
    out = tmp_path / "kills.json"
    arguments = ["--jobs", "12", "--kills", "4", "--steps", "1", "--batch-size", "1", "--out", str(out)]
    done = subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(out.read_text())
    assert report["kills"]["count"] == 4
    assert report["found"] == {
        "lines": 12,
        "pictures": 12,
        "wrong": {"missing": 0, "twice": 0, "broken": 0, "pictures_without_line": 0, "other_files": 0},
    }
    assert report["last_run"]["said"][0].startswith("12 of 12 jobs done, 0 failed")
    assert report["run_after_the_last"]["said"][1].startswith("0 painted now")
