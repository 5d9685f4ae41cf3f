"""Whole short runs of both stages: what is trained, what is left alone, what comes out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch
from support.finetuning import SHORT, body_options, hand_options, train
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from handfirst.engines.errors import UserError
from handfirst.training.loop.config import load_options
from handfirst.training.loop.journal import LOSSES, VALIDATION, read_journal
from handfirst.training.systems import stages_of
from handfirst.training.systems.two_stage.model_folder import ModelFolder, load_model
from handfirst.training.systems.two_stage.options import HandOptions


def state(folder: Path, name: Any) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = ModelFolder(folder).network(name).state_dict()
    return weights


def changed(before: Path, after: Path, name: Any) -> set[str]:
    a, b = state(before, name), state(after, name)
    return {key for key in a if not torch.equal(a[key], b[key])}


def options(stage: str, config: str | None, **changes: Any) -> Any:
    kind = stages_of("two-stage")[stage]
    return load_options(kind.options, kind.configs, config, changes)


@pytest.fixture(scope="module")
def hand_run(tiny: Path, hands: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("hand")
    train(tiny, hands, hand_options(ema=0), out)
    return out


@pytest.fixture(scope="module")
def body_run(tiny: Path, people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("body")
    options = body_options(settings={"body": {"blend_source": "clean"}}, kept_region="expanded", validate_every=3)
    train(tiny, people, options, out)
    return out


def test_minutes_take_the_place_of_a_default_number_of_steps() -> None:
    plain = options("hand", None)
    timed = options("hand", None, minutes=10.0)
    assert plain.steps is not None and plain.minutes is None
    assert (timed.steps, timed.minutes) == (None, 10)
    with pytest.raises(UserError, match="expected steps or minutes, one of them"):
        options("hand", None, minutes=10.0, steps=5)


def test_stage_1_trains_the_hand_generator_alone(tiny: Path, hand_run: Path) -> None:
    model = hand_run / "model"
    assert changed(tiny, model, "hand") == set(state(tiny, "hand"))
    for name in ("base", "controlnet", "text_encoder", "autoencoder"):
        assert changed(tiny, model, name) == set()
    note = load_model(model).training["hand"]
    assert note["steps"] == 6 and note["samples"] == 24 and note["options"]["mask_weight"] == 0.5
    assert note["validation"]["step"] == 6


def test_stage_2_trains_the_controlnet_alone_and_carries_its_decisions(tiny: Path, body_run: Path) -> None:
    model = body_run / "model"
    assert changed(tiny, model, "controlnet") == set(state(tiny, "controlnet"))
    for name in ("hand", "base", "text_encoder", "autoencoder"):
        assert changed(tiny, model, name) == set()
    assert ModelFolder(tiny).settings.body.blend_source == "noised"
    assert ModelFolder(model).settings.body.blend_source == "clean"


def test_what_a_run_says(hand_run: Path, body_run: Path) -> None:
    for run, figures in ((hand_run, {"noise", "mask", "mask_iou", "drawn_mask_iou"}), (body_run, {"noise"})):
        validated = read_journal(run / VALIDATION)
        assert set(validated[-1]) == {"step", *figures} and validated[0]["step"] == 0
        assert all(0 <= row[name] <= 1 for row in validated for name in figures if name.endswith("iou"))
        assert [row["step"] for row in read_journal(run / LOSSES)] == [1, 2, 3, 4, 5, 6]
        board = EventAccumulator(str(run / "board")).Reload()
        assert [event.step for event in board.Scalars("noise")] == [1, 2, 3, 4, 5, 6]
        assert "sheet" in board.Tags()["images"] and "samples_per_second" in board.Tags()["scalars"]
    assert [row["step"] for row in read_journal(body_run / VALIDATION)] == [0, 3, 6]
    sheet = cv2.imread(str(hand_run / "sheet-0000006.png"))
    assert sheet is not None and sheet.shape == (3 * 64, 2 * 64, 3)  # drawn, mask, true; two samples


def test_the_learning_rate_warms_up(hand_run: Path) -> None:
    assert [row["lr"] for row in read_journal(hand_run / LOSSES)] == pytest.approx([5e-4, 1e-3, 1e-3, 1e-3, 1e-3, 1e-3])


def test_parts_of_a_batch_and_kept_activations_change_nothing(
    tiny: Path, hands: Path, hand_run: Path, tmp_path: Path
) -> None:
    train(tiny, hands, hand_options(ema=0, accumulate=2, checkpoint_activations=True, workers=1), tmp_path)
    for row, other in zip(read_journal(hand_run / LOSSES), read_journal(tmp_path / LOSSES), strict=True):
        assert row == pytest.approx(other, rel=2e-4)


def test_bfloat16_and_adafactor_train(tiny: Path, people: Path, tmp_path: Path) -> None:
    train(tiny, people, body_options(precision="bf16", optimizer="adafactor", steps=3, lr=1e-2), tmp_path)
    assert changed(tiny, tmp_path / "model", "controlnet")
    assert changed(tiny, tmp_path / "model", "base") == set()  # it computed in bfloat16; its file did not change
    weights = torch.load(tmp_path / "checkpoints" / "step-0000003.pt", weights_only=True)["weights"]
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}


@pytest.mark.parametrize("stage", ["hand", "body"])
def test_the_papers_configuration_trains_with_every_option_of_memory_and_speed(
    stage: str, tiny: Path, hands: Path, people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At a tiny width, two steps of 4 samples in bfloat16; what is kept and buckets are the body's alone."""
    changes = {
        **{name: value for name, value in SHORT.items() if name not in ("lr", "warmup", "precision")}, "steps": 2,
        "memory_gb": 1.0, "attention": "plain", "tf32": True,
        **({"keep_latents": True, "buckets": 2.0} if stage == "body" else {}),
    }  # fmt: skip
    train(tiny, hands if stage == "hand" else people, options(stage, "paper", **changes), tmp_path)
    assert "memory: 4 samples a step in 1 parts of 4, activations kept" in capsys.readouterr().err
    assert changed(tiny, tmp_path / "model", "hand" if stage == "hand" else "controlnet")
    note = load_model(tmp_path / "model").training[stage]
    assert (note["options"]["lr"], note["options"]["precision"], note["steps"]) == (1e-5, "bf16", 2)
    assert (tmp_path / "latents.sqlite").exists() is (stage == "body")


def test_a_loss_that_is_not_finite_stops_the_run(tiny: Path, hands: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the loss of step \d+ is not finite"):
        train(tiny, hands, hand_options(lr=1e30, warmup=0, clip=1e30), tmp_path)
    assert not (tmp_path / "model").exists()


def test_the_papers_numbers_are_the_shipped_ones() -> None:
    hand, body = options("hand", "paper"), options("body", None)
    assert isinstance(hand, HandOptions)
    assert (hand.batch, hand.lr, hand.steps, hand.mask_weight, hand.mask_dropout) == (32, 1e-5, 30_000, 0.5, 0.5)
    assert (body.batch, body.lr, body.steps) == (32, 1e-5, 6_000)
    assert hand.colours.active and not body.colours.active
    assert hand == HandOptions()  # file and defaults say the same


def test_bad_options_are_one_clear_line(tiny: Path, hands: Path, tmp_path: Path) -> None:
    (tmp_path / "odd.toml").write_text("[colours]\nshfit = 3\n")
    with pytest.raises(UserError, match=r"odd\.toml: colours\.shfit"):
        options("hand", str(tmp_path / "odd.toml"))
    with pytest.raises(UserError, match="no training configuration 'nothing': give paper or the path of a TOML file"):
        options("body", "nothing")
    with pytest.raises(UserError, match=r"settings\.latent is part of the networks"):
        train(tiny, hands, hand_options(settings={"latent": {"channels": 3}}), tmp_path)
    with pytest.raises(UserError, match=r"settings\.hand\.size is part of the networks: expected 64, got 128"):
        changes = {"hand": {"size": 128, "condition": {"grid": 32}}}
        train(tiny, hands, hand_options(settings=changes), tmp_path)
    assert list(tmp_path.iterdir()) == [tmp_path / "odd.toml"]
    assert json.loads((tiny / "settings.json").read_text())["hand"]["size"] == 64
