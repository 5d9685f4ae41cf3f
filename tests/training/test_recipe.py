"""The whole recipe at toy size through the command line: render, train every phase, go on after a kill."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from handfirst.engines.errors import UserError
from handfirst.training.checkpoint import load_model
from handfirst.training.cli import app, total_minutes
from handfirst.training.config import load_config
from handfirst.training.run_folder import ema_weights

STEPS = 25


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """demo.toml with a handful of pictures, trained for a few steps a phase."""
    folder = tmp_path_factory.mktemp("recipe")
    text = (resources.files("handfirst.training") / "configs" / "demo.toml").read_text()
    for key, value in {"hands": 6, "people": 6, "painted": 3, "vocabulary": 280, "batch": 2, "warmup": 2}.items():
        text = re.sub(rf"^{key} = .*$", f"{key} = {value}", text, flags=re.M)
    (folder / "toy.toml").write_text(text)
    out = folder / "run"
    arguments = ["demo", str(out), "--config", str(folder / "toy.toml"), "--steps", str(STEPS), "--quiet"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    return out


def test_every_phase_left_its_losses_and_its_sheet(run: Path) -> None:
    for phase in ("autoencoder", "text", "hand", "base", "body", "decoder", "polish"):
        rows = [json.loads(line) for line in (run / phase / "losses.jsonl").read_text().splitlines()]
        assert rows[-1]["step"] == STEPS
        if phase != "text":
            assert (run / phase / "sheet-final.png").stat().st_size > 1000


def test_the_model_loads_and_has_the_shapes_of_its_settings(run: Path) -> None:
    model = load_model(run / "model")
    settings = model.settings
    assert model.hand.unet.config.in_channels == settings.latent.channels + 11 * settings.hand.condition.fold**2
    assert set(model.training["phases"]) == {"autoencoder", "text", "hand", "base", "body", "decoder", "polish"}
    assert min(settings.latent.std) > 0 and settings.latent.mean != (0.0,) * 8
    sample = torch.zeros(1, model.hand.unet.config.in_channels, 16, 16)
    context = torch.zeros(1, settings.text.length, settings.text.width)
    prediction, feature = model.hand(sample, torch.tensor([5]), context)
    assert prediction.shape == (1, 8, 16, 16)
    assert model.hand.mask(feature).shape == (1, 1, settings.hand.size, settings.hand.size)


def test_the_base_is_frozen_while_the_controlnet_trains(run: Path) -> None:
    base = torch.load(run / "base" / "checkpoint.pt", weights_only=True)["ema"]
    body = torch.load(run / "body" / "checkpoint.pt", weights_only=True)["ema"]
    unet = [k for k in base if k.startswith("module.unet.")]
    assert unet and all(torch.equal(base[k], body[k]) for k in unet)
    assert any(not torch.equal(base[k], body[k]) for k in base if k.startswith("module.controlnet."))


def test_the_encoder_is_frozen_while_the_decoder_is_polished(run: Path) -> None:
    first, last = ema_weights(run, "autoencoder"), ema_weights(run, "polish")
    assert all(torch.equal(first[k], last[f"autoencoder.{k}"]) for k in first if ".encoder." in k)
    assert any(not torch.equal(first[k], last[f"autoencoder.{k}"]) for k in first if ".decoder." in k)
    decoder = load_model(run / "model").autoencoder.state_dict()
    assert all(torch.equal(decoder[k], last[f"autoencoder.{k}"]) for k in decoder)


def test_minutes_count_the_longer_branch() -> None:
    phases = load_config("demo").train
    m = {k: v.minutes for k, v in phases.items()}
    expected = m["autoencoder"] + m["text"] + max(m["hand"], m["base"] + m["body"]) + m["decoder"] + m["polish"]
    assert total_minutes(phases) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["demo", "sd15"])
def test_shipped_configurations_load(name: str) -> None:
    config = load_config(name)
    assert config.settings.hand.size % config.settings.latent.factor == 0


def test_bad_configurations_are_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no training configuration"):
        load_config(tmp_path / "missing.toml")
    (tmp_path / "broken.toml").write_text("[settings")
    with pytest.raises(UserError, match="not a TOML file"):
        load_config(tmp_path / "broken.toml")
    (tmp_path / "odd.toml").write_text("[settings.latent]\nchanels = 4\n")
    with pytest.raises(UserError, match="chanels") as caught:
        load_config(tmp_path / "odd.toml")
    assert "\n" not in str(caught.value)
