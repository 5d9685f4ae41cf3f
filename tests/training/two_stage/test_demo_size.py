"""The demo's own configuration through the same command: the losses fall, resuming is exact."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from support.finetuning import leave_no_process_state
from typer.testing import CliRunner

from handfirst.training.cli import app
from handfirst.training.data.procedural.writer import read_dataset, render_dataset
from handfirst.training.loop.journal import LOSSES, VALIDATION, read_journal
from handfirst.training.models.autoencoder import build_autoencoder, latent_statistics
from handfirst.training.models.encoders import Encoders
from handfirst.training.models.text_encoder import build_text_encoder, train_tokenizer
from handfirst.training.systems.two_stage.config import load_config
from handfirst.training.systems.two_stage.model_folder import TwoStageModel, save_model
from handfirst.training.systems.two_stage.networks import new_body, new_hand

pytestmark = pytest.mark.long

STEPS, AGAIN = 120, 114
CONFIG = f"""
steps = {STEPS}
batch = 2
lr = 8e-4
warmup = 20
ema = 0.95
precision = "no"
workers = 1
attention = "plain"
save_every = {AGAIN}
validate_every = {STEPS}
validation_samples = 6
sheet_samples = 2
sheet_steps = 2
held_out = 0.2
log_every = 1
"""


@pytest.fixture(scope="module")
def hands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """18 hands of the demo's size."""
    folder = tmp_path_factory.mktemp("demo-hands")
    render_dataset("hand", folder, 18, 128, workers=1, progress=False)
    return folder


@pytest.fixture(scope="module")
def model(hands: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fresh networks of demo.toml, the latents standardised as its recipe does."""
    config = load_config("demo")
    samples = list(read_dataset(hands))
    captions = [sample.caption for sample in samples]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        autoencoder = build_autoencoder(config.autoencoder).eval()
        tokenizer = train_tokenizer(captions, 300)
        settings = config.settings
        text = build_text_encoder(config.text_encoder, settings.text.length, settings.text.width, 300)
        rgb = torch.stack([torch.from_numpy(sample.rgb) for sample in samples])
        mean, std = latent_statistics(Encoders(autoencoder, text, settings.latent).latents(rgb))
        settings = settings.model_copy(update={"latent": settings.latent.model_copy(update={"mean": mean, "std": std})})
        fresh = TwoStageModel(settings, tokenizer, text, autoencoder, new_hand(config), new_body(config))
    folder = tmp_path_factory.mktemp("demo") / "model"
    save_model(fresh, folder)
    return folder


def test_a_hundred_and_twenty_steps(model: Path, hands: Path, tmp_path: Path) -> None:
    (tmp_path / "demo.toml").write_text(CONFIG)

    def train(out: Path) -> None:
        leave_no_process_state()
        words = [
            "two-stage",
            "hand",
            str(model),
            "--data",
            str(hands),
            "--out",
            str(out),
            "--config",
            str(tmp_path / "demo.toml"),
        ]
        done = CliRunner().invoke(app, [*words, "--quiet"])
        assert done.exit_code == 0, done.output

    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    train(whole)
    first, last = read_journal(whole / VALIDATION)
    assert (first["step"], last["step"]) == (0, STEPS)
    assert last["noise"] < 0.7 * first["noise"]
    assert last["mask"] < 0.7 * first["mask"]
    shutil.copytree(whole, resumed, ignore=shutil.ignore_patterns("model", f"step-{STEPS:07d}.pt"))
    train(resumed)
    for name in (LOSSES, VALIDATION):
        assert (resumed / name).read_bytes() == (whole / name).read_bytes()
