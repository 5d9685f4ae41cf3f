"""The denoiser on rendered hands: what samples hold, the loss by hand, widened networks, and what a run writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from PIL import Image
from pydantic import ValidationError
from support.finetuning import SHORT, leave_no_process_state
from support.tiny_annotated import tiny_base, tiny_config, write_tiny_annotated, write_tiny_widened
from torch import Tensor
from typer.testing import CliRunner

from handfirst.engines.errors import UserError
from handfirst.runtime.cli.main import app
from handfirst.runtime.pose.topology import HANDS
from handfirst.runtime.systems.annotated.recover import recover
from handfirst.training.data.example import Example
from handfirst.training.data.prepare.examples import Helpers, examples
from handfirst.training.data.prepare.filters import NO_MASK, rejection
from handfirst.training.data.prepare.settings import Origin, PrepareSettings
from handfirst.training.data.procedural.writer import render_dataset
from handfirst.training.data.record import Record
from handfirst.training.data.shards import open_shards
from handfirst.training.data.sources.folder import Folder
from handfirst.training.loop.journal import VALIDATION, read_journal
from handfirst.training.loop.run import Data, train_stage
from handfirst.training.systems import stages_of
from handfirst.training.systems.annotated.config import SHIPPED, load_config
from handfirst.training.systems.annotated.drawing import draw
from handfirst.training.systems.annotated.model_folder import AnnotatedFolder
from handfirst.training.systems.annotated.options import DenoiserOptions
from handfirst.training.systems.annotated.training import AnnotatedMaker


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six hands of 32 x 32 pixels."""
    folder = tmp_path_factory.mktemp("hands")
    render_dataset("hand", folder, 6, 32, workers=1, progress=False)
    return folder


@pytest.fixture(scope="module")
def example(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Example:
    return open_shards(shards, tmp_path_factory.mktemp("index")).read(0)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_annotated(tmp_path_factory.mktemp("annotated") / "model")


@pytest.fixture(scope="module")
def widened(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_widened(tmp_path_factory.mktemp("widened") / "model")


def stacked(sample: dict[str, Any]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(np.asarray(value))[None] for name, value in sample.items()}


def test_a_sample_is_a_picture_and_its_annotation(model: Path, example: Example) -> None:
    maker = AnnotatedMaker(model, DenoiserOptions())
    sample = maker.samples.fix(example, np.random.default_rng(0), 5)
    assert example.point_depths is not None and np.ptp(example.point_depths[example.keypoints[:, 2] > 0]) > 1
    small = {**vars(example), "rgb": sample["rgb"], "keypoints": example.keypoints * np.float32([0.5, 0.5, 1])}
    np.testing.assert_array_equal(sample["annotation"], draw(Example(**small), "channels"))
    assert sample["rgb"].shape == sample["annotation"].shape == (16, 16, 3) and sample["eps"].shape == (6, 16, 16)
    assert not sample["label"].any()  # its gesture is no class of this model's
    known = Example(**{**vars(example), "attributes": {"gesture": "palm"}})
    assert maker.samples.fix(known, np.random.default_rng(0), 5)["label"].tolist() == [0, 1]
    dropped = AnnotatedMaker(model, DenoiserOptions(told_dropout=1)).samples.draw(known, np.random.default_rng(0))
    assert not dropped["label"].any()


@pytest.mark.parametrize("loss", ["l1", "l2"])
def test_the_loss_by_hand(model: Path, example: Example, loss: str) -> None:
    maker = AnnotatedMaker(model, DenoiserOptions(loss=loss))
    stage, sample = maker.stage(), stacked(maker.samples.fix(example, np.random.default_rng(0), 30))
    x_0 = torch.cat([sample[name].permute(0, 3, 1, 2) / 127.5 - 1 for name in ("rgb", "annotation")], 1)
    settings = stage.settings.schedule
    scheduler = DDIMScheduler(50, settings.beta_start, settings.beta_end, "linear", prediction_type="v_prediction")
    t = torch.tensor([30])
    x_t = scheduler.add_noise(x_0, sample["eps"], t)
    error = stage.task.model(x_t, t, sample["label"]) - scheduler.get_velocity(x_0, sample["eps"], t)
    expected = error.abs().mean() if loss == "l1" else (error**2).mean()
    torch.testing.assert_close(stage.losses(sample)["noise"], expected, rtol=1e-4, atol=1e-6)


def test_a_patch_is_a_square_of_cells_as_channels(tmp_path: Path) -> None:
    """Channel c of the cell (2i + a, 2j + b) is the UNet's channel 4c + 2a + b at (i, j), and back."""
    denoiser = AnnotatedFolder(write_tiny_annotated(tmp_path / "model", patch=2)).denoiser()
    x_t, t, label = torch.randn(2, 6, 16, 16), torch.tensor([3, 40]), torch.eye(2)
    seen = x_t.reshape(2, 6, 8, 2, 8, 2).permute(0, 1, 3, 5, 2, 4).reshape(2, 24, 8, 8)
    with torch.no_grad():
        told = denoiser.unet(seen, t, class_labels=denoiser.label(label)).sample
        expected = told.reshape(2, 6, 2, 2, 8, 8).permute(0, 1, 4, 2, 5, 3).reshape(2, 6, 16, 16)
        torch.testing.assert_close(denoiser(x_t, t, label), expected)
    with pytest.raises(ValidationError, match="patch: expected a divisor of 16, got 3"):
        tiny_config(patch=3)


def test_a_widened_checkpoint_draws_what_it_drew(widened: Path) -> None:
    """New input channels are zero, so the annotation changes nothing; new output channels are zero, too."""
    base, denoiser = tiny_base(), AnnotatedFolder(widened).denoiser()
    x_t, context = torch.randn(2, 4, 8, 8), torch.randn(2, 8, 32)
    t = torch.tensor([5, 700])
    with torch.no_grad():
        expected = base.unet(x_t, t, context).sample
        found = denoiser(torch.cat([x_t, torch.randn(2, 4, 8, 8)], 1), t, context)
    torch.testing.assert_close(found[:, :4], expected)
    assert not found[:, 4:].any()
    denoiser(torch.randn(2, 8, 8, 8), t, context).square().sum().backward()
    assert denoiser.unet.conv_in.weight.grad[:, 4:].abs().max() > 0  # it learns all the same


def test_picture_and_annotation_are_encoded_apart(widened: Path, example: Example) -> None:
    maker = AnnotatedMaker(widened, DenoiserOptions())
    stage = maker.stage()
    first = stacked(maker.samples.fix(example, np.random.default_rng(0), 5))
    vae, scale = AnnotatedFolder(widened).autoencoder().model, 0.18215
    with torch.no_grad():
        latents = [
            vae.encode(first[name].permute(0, 3, 1, 2) / 127.5 - 1).latent_dist.mode() * scale
            for name in ("rgb", "annotation")
        ]
    torch.testing.assert_close(stage.encode(first).x_0, torch.cat(latents, 1), rtol=1e-4, atol=1e-5)
    assert stage.encode(first).told.shape == (1, 8, 32)
    drawn = stage.draw(first, 2, 0)
    assert [row.shape for row in drawn.rows] == [(1, 16, 16, 3)] * 4 and drawn.figures["consistency"].shape == (1,)


def test_a_run_writes_the_denoiser_and_nothing_else(shards: Path, tmp_path: Path) -> None:
    model = write_tiny_annotated(tmp_path / "model", classes=("left", "right"))
    leave_no_process_state()
    kind = stages_of("annotated")["denoiser"]
    options = kind.options.model_validate({**SHORT, "steps": 4, "batch": 2, "accumulate": 1, "label_from": "side"})
    trained = train_stage("denoiser", kind, model, Data((shards,), (1.0,)), options, tmp_path / "run", show=False)
    assert trained is not None
    files = sorted(path.relative_to(model) for path in model.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(trained) for path in trained.rglob("*") if path.is_file())
    differ = {str(file) for file in files if (model / file).read_bytes() != (trained / file).read_bytes()}
    networks = {"unet/diffusion_pytorch_model.safetensors", "unet/label.safetensors"}
    assert networks <= differ <= {*networks, "training.json", "unet/config.json"}  # diffusers notes where it read it
    assert json.loads((trained / "training.json").read_text())["denoiser"]["steps"] == 4
    assert list((tmp_path / "run").glob("sheet-*.png"))
    assert 0 <= read_journal(tmp_path / "run" / VALIDATION)[-1]["consistency"] <= 1


def test_a_folder_of_pictures_with_key_points_needs_no_mask(tmp_path: Path) -> None:
    Image.new("RGB", (100, 120), "grey").save(tmp_path / "a.png")
    points = [(50 + 5 * (f - 2) * j, 100 - 12 * j - 10 * (j > 0)) for f in range(5) for j in range(1, 5)]
    row = [float(value) for x, y in [(50, 100), *points] for value in (x, y, 1)]
    people = [{"pose_keypoints_2d": [], "hand_right_keypoints_2d": row}]
    (tmp_path / "a.json").write_text(json.dumps({"canvas_width": 100, "canvas_height": 120, "people": people}))
    (record,) = Folder(tmp_path)
    origin = Origin(kind="folder", path=str(tmp_path))
    settings = PrepareSettings(stage="hand", origins=(origin,), size=128, outside=1, without_masks=True)
    assert isinstance(record, Record) and rejection(record, settings) is None
    assert rejection(record, settings.model_copy(update={"without_masks": False})) == NO_MASK
    (made,) = examples(record, settings, Helpers())
    assert isinstance(made, Example) and not made.hands.any() and made.attributes["mask_from"] == "none"
    (hand,) = recover(draw(made, "channels"), "channels")
    assert hand.side == "right" and hand.bones.all()
    np.testing.assert_allclose(hand.points, made.keypoints[HANDS["right"], :2], atol=4)


def test_a_model_of_three_channels_has_no_annotation(tmp_path: Path, example: Example) -> None:
    maker = AnnotatedMaker(
        write_tiny_annotated(tmp_path / "model", annotation="none", classes=(), defaults={"steps": 4}),
        DenoiserOptions(),
    )
    sample = maker.samples.fix(example, np.random.default_rng(0), 5)
    assert set(sample) == {"rgb", "eps", "t"} and sample["eps"].shape == (3, 16, 16)
    stage = maker.stage()
    assert torch.isfinite(stage.losses(stacked(sample))["noise"])
    assert len(stage.draw(stacked(sample), 2, 0).rows) == 2


def test_shipped_configurations_make_models(tmp_path: Path) -> None:
    assert [load_config(name).settings.size for name in SHIPPED] == [128, 64, 128]
    assert load_config("paper").settings.channels == 6 and load_config("latent").settings.channels == 24
    made = CliRunner().invoke(app, ["init", "annotated", str(tmp_path / "model")])
    assert made.exit_code == 0, made.output
    assert AnnotatedFolder(tmp_path / "model").settings == load_config("demo").settings
    for name in ("paper", "demo"):
        kind = stages_of("annotated")["denoiser"]
        assert kind.configs[name].is_file()
    again = CliRunner().invoke(app, ["init", "annotated", str(tmp_path / "model")])
    assert isinstance(again.exception, UserError) and "exists already" in str(again.exception)
    needs = CliRunner().invoke(app, ["init", "annotated", str(tmp_path / "other"), "--config", "latent"])
    assert "expected --vae MODEL" in str(needs.exception) and not (tmp_path / "other").exists()
