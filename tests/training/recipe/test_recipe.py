"""The whole recipe at toy size through the command line: render, train every phase, go on after a kill."""

from __future__ import annotations

import json
import re
import shutil
import sys
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from handfirst.engines.errors import UserError
from handfirst.training.cli import app
from handfirst.training.evaluate.judging.held_out import held_out, person_of, render
from handfirst.training.evaluate.judging.looks import whole_hands
from handfirst.training.loop.checkpoints import averaged_weights
from handfirst.training.loop.journal import read_journal
from handfirst.training.models.autoencoder import build_autoencoder
from handfirst.training.recipe.carry import carry_in, carry_out
from handfirst.training.recipe.cli import total_minutes
from handfirst.training.recipe.look import look
from handfirst.training.recipe.recipe import train_autoencoder
from handfirst.training.recipe.run import Recipe
from handfirst.training.systems.two_stage.config import load_config
from handfirst.training.systems.two_stage.model_folder import load_model

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))
import baselines

pytestmark = pytest.mark.long

STEPS = 8


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """demo.toml with a handful of pictures, trained for a few steps a phase."""
    folder = tmp_path_factory.mktemp("recipe")
    text = (resources.files("handfirst.training.systems.two_stage") / "configs" / "demo.toml").read_text()
    for key, value in {
        "hands": 6,
        "people": 6,
        "held_out": 2,
        "painted": 3,
        "vocabulary": 280,
        "batch": 2,
        "warmup": 2,
    }.items():
        text = re.sub(rf"^{key} = .*$", f"{key} = {value}", text, flags=re.M)
    (folder / "toy.toml").write_text(text)
    out = folder / "run"
    arguments = ["demo", str(out), "--config", str(folder / "toy.toml"), "--steps", str(STEPS), "--quiet"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("handfirst.training.recipe.run.usable_cores", lambda: 1)  # a process costs more than its pictures
        done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    return out


def test_every_phase_left_its_losses_and_its_sheet(run: Path) -> None:
    for phase in ("autoencoder", "text", "hand", "body", "decoder"):
        rows = [json.loads(line) for line in (run / phase / "losses.jsonl").read_text().splitlines()]
        assert rows[-1]["step"] == STEPS
        if phase != "text":
            assert (run / phase / f"sheet-{STEPS:07d}.png").stat().st_size > 1000


def test_the_model_loads_and_has_the_shapes_of_its_settings(run: Path) -> None:
    model = load_model(run / "model")
    settings = model.settings
    assert model.hand.unet.config.in_channels == settings.latent.channels + 11 * settings.hand.condition.fold**2
    assert set(model.training["phases"]) == {"autoencoder", "text", "hand", "body", "decoder"}
    assert min(settings.latent.std) > 0 and settings.latent.mean != (0.0,) * 12
    sample = torch.zeros(1, model.hand.unet.config.in_channels, 16, 16)
    context = torch.zeros(1, settings.text.length, settings.text.width)
    prediction, feature = model.hand(sample, torch.tensor([5]), context)
    assert prediction.shape == (1, 12, 16, 16)
    assert model.hand.mask(feature).shape == (1, 1, settings.hand.size, settings.hand.size)


def test_the_encoder_is_frozen_while_the_decoder_learns_on(run: Path) -> None:
    first, last = averaged_weights(run / "autoencoder"), averaged_weights(run / "decoder")
    assert not any(".encoder." in k for k in last)
    assert any(not torch.equal(first[k], last[f"autoencoder.{k}"]) for k in first if ".decoder." in k)
    both = load_model(run / "model").autoencoder.state_dict()
    assert all(torch.equal(first[k], both[k]) for k in first if ".encoder." in k)
    assert all(torch.equal(both[k], last[f"autoencoder.{k}"]) for k in both if ".decoder." in k)


def test_a_short_run_warns_of_a_weak_autoencoder_and_notes_its_figures(run: Path) -> None:
    figures = json.loads((run / "notes.json").read_text())["autoencoder"]
    assert set(figures) == {"hands", "people", "face", "hand"} and figures["people"] < 32


def test_a_look_draws_what_is_held_out(run: Path) -> None:
    done = CliRunner().invoke(app, ["look", str(run), "--config", str(run.parent / "toy.toml")])
    assert done.exit_code == 0, done.output
    figures = json.loads(done.stdout)
    assert figures["hand"]["n"] == figures["body"]["n"] == 2 and 0 <= figures["hand"]["mask_iou"] <= 1
    assert set(figures["body"]) == {"n", "painted", "reconstructed", "true"}
    assert (run / f"look-body-{STEPS:07d}.png").stat().st_size > 1000
    with pytest.raises(UserError, match="saved at least once"):
        look(Recipe(load_config("demo"), run / "nowhere"))


def test_a_full_run_stops_at_the_gate_keeps_its_state_and_goes_on_when_told_to(run: Path) -> None:
    """After its last step the autoencoder is not trained again: what counts is what the gate makes of it."""
    (run / "settings.json").unlink()
    full = Recipe(load_config(run.parent / "toy.toml"), run, show=False)
    checkpoint = run / "autoencoder" / "checkpoints" / f"step-{STEPS:07d}.pt"
    state = torch.load(checkpoint, weights_only=True)
    torch.save({**state, "seconds": 1e9}, checkpoint)
    with pytest.raises(UserError, match=r"too weak .* people .* needed 32.0.*--no-gate") as caught:
        train_autoencoder(full)
    assert "\n" not in str(caught.value) and not (run / "settings.json").exists()
    train_autoencoder(replace(full, gate=False))
    assert (run / "settings.json").exists()


def test_minutes_count_the_longer_branch() -> None:
    phases = load_config("demo").train
    m = {k: v.minutes for k, v in phases.items()}
    expected = m["autoencoder"] + m["text"] + max(m["hand"], m["body"]) + m["decoder"]
    assert total_minutes(phases) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["demo", "demo-gpu", "sd15"])
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


def test_eight_bits_carry_a_unet_within_half_a_step_of_its_rows(run: Path, tmp_path: Path) -> None:
    carried, there = tmp_path / "carried", tmp_path / "run"
    done = CliRunner().invoke(app, ["carry", str(run), str(carried), "--eight-bits"])
    assert done.exit_code == 0, done.output
    carry_in(carried, there)
    before, after = averaged_weights(run / "body"), averaged_weights(there / "body")
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        if tensor.dim() < 2:
            torch.testing.assert_close(after[name], tensor, rtol=1e-3, atol=1e-6)
            continue
        rows, off = tensor.flatten(1), (after[name] - tensor).flatten(1).abs().amax(1)
        assert (off <= 1.01 * rows.abs().amax(1) / 127 / 2 + 1e-6).all(), name  # the scale itself has 11 bits
    half = tmp_path / "half"
    carry_out(run, half)
    sizes = [(folder / "body.safetensors").stat().st_size for folder in (carried, half)]
    assert sizes[0] < 0.7 * sizes[1]  # the toy's vectors and names weigh more than a real network's
    pictures = [load_file(folder / "autoencoder.safetensors") for folder in (carried, half)]
    assert all(torch.equal(tensor, pictures[1][name]) for name, tensor in pictures[0].items())


def test_a_run_is_carried_elsewhere_and_goes_on(run: Path, tmp_path: Path) -> None:
    carried, there = tmp_path / "carried", tmp_path / "run"
    done = CliRunner().invoke(app, ["carry", str(run), str(carried)])
    assert done.exit_code == 0, done.output
    carry_in(carried, there)
    before, after = averaged_weights(run / "body"), averaged_weights(there / "body")
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        torch.testing.assert_close(after[name], tensor, rtol=1e-3, atol=1e-6)  # 11 bits
    shutil.copytree(run / "shards", there / "shards")
    config = load_config(run.parent / "toy.toml")
    train_autoencoder(Recipe(config, there, max_steps=STEPS + 2, show=False))
    rows = read_journal(there / "autoencoder" / "losses.jsonl")
    assert [row["step"] for row in rows] == [STEPS, STEPS + 2]  # what was carried; two steps with a new optimizer
    trained, fresh = (
        averaged_weights(there / "autoencoder"),
        dict(build_autoencoder(config.autoencoder).named_parameters()),
    )
    old = averaged_weights(run / "autoencoder")

    def apart(weights: dict[str, torch.Tensor]) -> float:
        return sum(float((weights[name] - old[name]).detach().square().sum()) for name in old)

    assert 0 < apart(trained) < 0.2 * apart(fresh)
    with pytest.raises(UserError, match="has begun already"):
        carry_in(carried, there)
    (carried / "text.safetensors").write_bytes(b"{}")
    with pytest.raises(UserError, match=r"text.safetensors: not a file of"):
        carry_in(carried, tmp_path / "other")
    assert not (tmp_path / "other").exists()
    with pytest.raises(UserError, match="found none"):
        carry_in(tmp_path, tmp_path / "other")


def test_the_baselines_of_table_one_go_on_from_the_body_and_repair_inside_the_outlines_alone(
    run: Path, tmp_path: Path
) -> None:
    config = load_config(run.parent / "toy.toml")
    whole, single = Recipe(config, run, show=False), Recipe(config, tmp_path, show=False)
    baselines.train_single_stage(whole, single, minutes=1, steps=2)
    before, after = averaged_weights(run / "body"), averaged_weights(tmp_path / "body")
    assert before.keys() == after.keys() and any(not torch.equal(before[k], after[k]) for k in before)

    painters = baselines.Baselines(whole, single, steps=4)
    poses = held_out(2, 0)
    samples = [render(pose, painters.size) for pose in poses]
    other = [replace(s, keypoints=samples[1 - i].keypoints) for i, s in enumerate(samples)]
    assert np.array_equal(painters.text_only(poses, samples), painters.text_only(poses, other))
    painted = painters.single_stage(poses, samples)
    assert not np.array_equal(painted, painters.single_stage(poses, other))
    repaired = painters.repaired(poses, samples, painted)
    for sample, old, new in zip(samples, painted, repaired, strict=True):
        changed = (old != new).any(-1)
        person = person_of(sample)
        points = np.concatenate([person.hand(side) for side in whole_hands(sample)])
        rows, columns = np.nonzero(changed)
        distance = np.linalg.norm(np.stack([columns, rows], 1)[:, None] + 0.5 - points, axis=2).min(1)
        assert changed.any() and distance.max() < 0.25 * np.ptp(points, 0).max() + 8
