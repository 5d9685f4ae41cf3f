"""The embedded demo as a stranger runs it: in an empty folder, where torch and its kin cannot be imported."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from handfirst.engines.bundle import Bundle, demo_bundle_path
from handfirst.runtime.systems import two_stage
from handfirst.runtime.systems.two_stage.settings import TwoStageSettings

LEAN = """
import sys
for name in ("torch", "diffusers", "transformers", "onnx", "onnxscript", "accelerate", "safetensors"):
    sys.modules[name] = None
from handfirst.runtime.cli.main import main
sys.exit(main())
"""


def handfirst(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """The command in a Python of its own, started in `folder`."""
    return subprocess.run(
        [sys.executable, "-c", LEAN, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


def read(path: Path) -> NDArray[np.uint8]:
    """A PNG as it is stored; colours as RGB."""
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image is not None, path
    return np.asarray(image if image.ndim == 2 else image[..., ::-1], dtype=np.uint8)


@pytest.fixture(scope="module")
def settings() -> TwoStageSettings:
    return TwoStageSettings.model_validate(Bundle.open(demo_bundle_path()).manifest.settings)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("empty")


@pytest.fixture(scope="module")
def printed(folder: Path) -> dict[str, Any]:
    """What `handfirst demo --json` says; its pictures lie in `folder`/first."""
    done = handfirst(folder, "demo", "--out", "first", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_one_object_says_what_was_made(printed, folder, settings):
    assert printed["seed"] == 0
    assert printed["bundle"]["name"] == Bundle.open(demo_bundle_path()).manifest.name
    assert printed["bundle"]["id"]
    assert printed["warnings"] == []
    assert {"hands", "body", "total"} <= set(printed["seconds"])
    assert sum(v for k, v in printed["seconds"].items() if k != "total") <= printed["seconds"]["total"] + 0.01
    made = {Path(entry["path"]).name for entry in printed["files"]}
    assert made == {path.name for path in (folder / "first").iterdir()}
    assert {"result.png", "sheet.png", "pose.png", "canvas.png", "mask.png"} <= made
    result = next(entry for entry in printed["files"] if entry["kind"] == "result")
    assert (result["height"], result["width"]) == (settings.body.height, settings.body.width)


def test_every_picture_has_the_size_that_was_told(printed, folder):
    for entry in printed["files"]:
        assert read(folder / entry["path"]).shape[:2] == (entry["height"], entry["width"])


def test_both_hands_were_made(printed, folder, settings):
    hands = [read(folder / entry["path"]) for entry in printed["files"] if entry["kind"] == "hand"]
    assert [hand.shape for hand in hands] == [(settings.hand.size, settings.hand.size, 3)] * 2


def test_kept_pixels_equal_the_canvas(printed, folder):
    result, canvas, mask = (read(folder / "first" / f"{name}.png") for name in ("result", "canvas", "mask"))
    assert set(np.unique(mask)) == {0, 255}
    kept = mask == 255
    assert kept.sum() > 100
    assert np.array_equal(result[kept], canvas[kept])
    assert not np.array_equal(result, canvas)


def test_a_second_run_gives_the_same_bytes(printed, folder):
    done = handfirst(folder, "demo", "--out", "second")
    assert (done.returncode, done.stderr) == (0, "")
    assert "second/result.png" in done.stdout
    names = sorted(path.name for path in (folder / "first").iterdir())
    assert names == sorted(path.name for path in (folder / "second").iterdir())
    assert all((folder / "first" / n).read_bytes() == (folder / "second" / n).read_bytes() for n in names)


def test_another_seed_gives_another_picture(printed, folder):
    assert handfirst(folder, "demo", "--out", "other", "--seed", "1").returncode == 0
    assert not np.array_equal(read(folder / "first/result.png"), read(folder / "other/result.png"))


def test_the_embedded_bundle_verifies(folder):
    done = handfirst(folder, "verify", "--json")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["ok"], done.stderr) == (0, True, "")
    assert answer["checks"]


def test_render_paints_the_same_picture_as_the_demo(printed, folder):
    """The demo is nothing special: the same pose, prompt and seed through `render`."""
    from handfirst.runtime.systems.two_stage.job import PROMPT

    pose = Path(two_stage.__file__).with_name("demo_pose.json")
    done = handfirst(folder, "render", "--pose", str(pose), "--prompt", PROMPT, "--out", "rendered.png")
    assert (done.returncode, done.stderr) == (0, "")
    assert (folder / "rendered.png").read_bytes() == (folder / "first/result.png").read_bytes()
