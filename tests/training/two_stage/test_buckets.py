"""The body on canvases of several shapes: trained, killed and resumed, with kept latents, exported, painted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.exports import Exports
from support.finetuning import SHORT, body_options, hand_options, train
from support.tiny_model import tiny_model
from support.two_stage_reference import check, make_requests, spread_masks

from handfirst.engines.errors import UserError
from handfirst.engines.spec import AxisLimits
from handfirst.export.options import ExportOptions
from handfirst.export.systems.two_stage.sizes import chosen
from handfirst.export.weights import round_weights
from handfirst.runtime.systems.two_stage.system import TwoStage
from handfirst.training.data.example import cover, encode
from handfirst.training.data.shards import new_shard, open_shards
from handfirst.training.loop.journal import LOSSES, VALIDATION, read_journal
from handfirst.training.systems.two_stage.model_folder import ModelFolder, load_model, save_model

pytestmark = pytest.mark.long

SIZES = ((48, 80), (64, 64), (80, 48))
"""Up to twice as long as wide, in multiples of 8 x 2: 48 x 96 has more area than 64 x 64, 32 x 128 is too long."""
CHANGES: dict[str, Any] = {"steps": 8, "save_every": 3, "validate_every": 4, "batch": 2, "buckets": 2.0}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "model"
    fresh = tiny_model()
    spread_masks(fresh)
    save_model(fresh, folder)
    return folder


@pytest.fixture(scope="module")
def shapes(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each of the 8 people once on each canvas, and once on one that is none."""
    folder = tmp_path_factory.mktemp("shapes")
    shards = open_shards(people, folder / "index")
    with new_shard(folder / "shapes.tar") as out:
        for i in range(len(shards)):
            for size in (*SIZES, (60, 100)):
                shown = cover(shards.read(i), size)
                out.write(f"{shown.key}-{size[0]}x{size[1]}", encode(shown))
    return folder


@pytest.fixture(scope="module")
def whole(model: Path, shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in one go."""
    out = tmp_path_factory.mktemp("whole")
    train(model, shapes, body_options(**CHANGES, keep_latents=False), out)
    return out


def test_shards_tell_their_sizes(shapes: Path, people: Path, tmp_path: Path) -> None:
    shards = open_shards(shapes, tmp_path)
    sizes = shards.sizes()
    assert sizes.shape == (32, 2)
    for i in range(8):
        assert shards.read(i).rgb.shape == (sizes[i, 1], sizes[i, 0], 3)
    assert (open_shards(people, tmp_path).sizes() == 64).all()


def test_every_step_is_of_one_canvas_and_all_come(model: Path, shapes: Path, tmp_path: Path, monkeypatch: Any) -> None:
    from handfirst.training.systems.two_stage.tasks import BodyTask

    seen: list[tuple[int, ...]] = []
    whole = BodyTask.forward
    monkeypatch.setattr(BodyTask, "forward", lambda self, b: seen.append(tuple(b.hint.shape)) or whole(self, b))
    options = body_options(**{**CHANGES, "validate_every": None, "steps": 12}, keep_latents=False)
    train(model, shapes, options, tmp_path / "run")
    steps = seen[:12]
    assert {shape[:2] for shape in steps} == {(2, 4)}
    assert {shape[:1:-1] for shape in steps} == set(SIZES)
    note = ModelFolder(tmp_path / "run" / "model").training["body"]
    assert note["canvases"] == ["64x64", "48x80", "80x48"]


def test_after_kill_9_it_goes_on_bit_for_bit(model: Path, shapes: Path, whole: Path, tmp_path: Path) -> None:
    out, config = tmp_path / "killed", tmp_path / "killed.toml"
    options = {**SHORT, **CHANGES, "steps": 10_000, "keep_latents": False}
    config.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in options.items()))
    command = [sys.executable, "-m", "handfirst.runtime.cli.main", "train", "two-stage", "body", str(model)]
    command += ["--data", str(shapes), "--out", str(out), "--config", str(config), "--quiet"]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())})
    kept = out / "checkpoints" / "step-0000003.pt"
    while not kept.exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    for newer in (out / "checkpoints").glob("step-*.pt"):
        if newer != kept:
            newer.unlink()
    train(model, shapes, body_options(**CHANGES, keep_latents=False), out)
    for name in (LOSSES, VALIDATION):
        assert (out / name).read_bytes() == (whole / name).read_bytes()
    ours, theirs = (torch.load(run / "checkpoints" / "step-0000008.pt", weights_only=True) for run in (out, whole))
    assert all(torch.equal(ours["weights"][name], theirs["weights"][name]) for name in theirs["weights"])


def test_kept_latents_give_the_same_losses(model: Path, shapes: Path, whole: Path, tmp_path: Path) -> None:
    train(model, shapes, body_options(**CHANGES, keep_latents=True), tmp_path)
    rows = read_journal(tmp_path / LOSSES), read_journal(whole / LOSSES)
    assert len(rows[0]) == len(rows[1]) == 8
    for row, other in zip(*rows, strict=True):
        assert row["noise"] == pytest.approx(other["noise"], abs=1e-6)


def test_another_list_of_canvases_has_other_keys(model: Path) -> None:
    from handfirst.training.systems import stages_of

    def identity(**options: Any) -> bytes:
        maker = stages_of("two-stage")["body"].open(model, body_options(**options))
        keeper = maker.stage().keeper(maker.samples)
        assert keeper is not None
        return keeper.identity

    found = [identity(), identity(buckets=2.0), identity(buckets=("64x64", "48x80"))]
    assert identity(buckets="64x64,48x80") == found[2]  # as `prepare --buckets` takes them
    assert len(set(found)) == 3 and identity(buckets=2.0) == found[1]


@pytest.mark.parametrize(
    ("given", "said"),
    [(("64x64", "40x80"), "multiples of 16 pixels, .* got 40x80"), (0.2, "from 1, such as 2"), (("wide",), "WIDTHx")],
)
def test_buckets_that_cannot_be_are_one_line(model: Path, shapes: Path, tmp_path: Path, given: Any, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        train(model, shapes, body_options(buckets=given), tmp_path / "run")
    assert "\n" not in str(caught.value) and not (tmp_path / "run").exists()


def test_other_shapes_are_refused_without_buckets(model: Path, shapes: Path, tmp_path: Path) -> None:
    for options in (body_options(), hand_options()):
        with pytest.raises(UserError, match="expected square examples, got") as caught:
            train(model, shapes, options, tmp_path / type(options).__name__)
        assert "\n" not in str(caught.value)


def test_the_model_is_exported_for_all_canvases_and_paints_each(whole: Path, exports: Exports, tmp_path: Path) -> None:
    """Against the torch reference, at every size that was trained."""
    trained = load_model(whole / "model")
    body = trained.settings.body
    assert body.widths == body.heights == AxisLimits(least=48, usual=64, most=80, multiple=16)
    system = TwoStage.open(exports.export_bundle(whole / "model", tmp_path / "bundle", ExportOptions("shapes")), "cpu")
    for network in trained.networks().values():
        round_weights(network)
    for size in SIZES:
        request = replace(make_requests(1, *size)[0], size=size, steps=4)
        result = system.render(request)
        assert result.image.shape == (size[1], size[0], 3)
        check(trained, request, result)
    assert np.array_equal(system.render(replace(request, size=None)).image.shape, (64, 64, 3))


def test_one_canvas_can_be_chosen_all_the_same(whole: Path) -> None:
    settings = ModelFolder(whole / "model").settings
    one = chosen(ExportOptions(size=(64, 128)), settings).body
    assert (one.width, one.height, one.widths, one.heights) == (64, 128, None, None)
    narrow = settings.body.model_copy(update={"widths": AxisLimits(least=16, usual=64, most=64, multiple=16)})
    with pytest.raises(UserError, match="canvases of a width from 16, graphs of free size need 32"):
        chosen(ExportOptions(), settings.model_copy(update={"body": narrow}))
