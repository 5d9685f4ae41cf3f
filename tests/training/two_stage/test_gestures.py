"""Two stages on rendered hands: the feature, what the loss is by hand, what is learnt and what stays, bit for bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from safetensors.torch import load_file
from support.finetuning import SHORT, leave_no_process_state
from support.tiny_hand_gestures import write_hand_gestures
from support.tiny_model import save_tiny_model
from torch import Tensor

from handfirst.engines.errors import UserError
from handfirst.runtime.pose.topology import HANDS
from handfirst.training.data.example import Example
from handfirst.training.data.procedural.writer import render_dataset
from handfirst.training.data.shards import open_shards
from handfirst.training.gestures.feature import mean_feature
from handfirst.training.gestures.options import FeatureOptions
from handfirst.training.loop.run import Data, train_stage
from handfirst.training.systems import stages_of
from handfirst.training.systems.two_stage.gestures import EmbeddingMaker
from handfirst.training.systems.two_stage.model_folder import ModelFolder
from handfirst.training.systems.two_stage.options import EmbeddingOptions


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six hands of 64 x 64 pixels that show ok."""
    folder = tmp_path_factory.mktemp("hands")
    render_dataset("hand", folder, 6, 64, workers=1, progress=False, gesture="ok")
    return folder


@pytest.fixture(scope="module")
def hands(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Example]:
    opened = open_shards(shards, tmp_path_factory.mktemp("index"))
    return [opened.read(i) for i in range(len(opened))]


def run(stage: str, model: Path, shards: Path, out: Path, **changes: Any) -> Path:
    leave_no_process_state()
    kind = stages_of("two-stage")[stage]
    options = kind.options.model_validate({**SHORT, "steps": 3, "batch": 2, "gesture": "ok", **changes})
    trained = train_stage(stage, kind, model, Data((shards,), (1.0,)), options, out, show=False)
    assert trained is not None
    return trained


def stacked(sample: dict[str, Any]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(np.asarray(value))[None] for name, value in sample.items()}


def weights(folder: Path) -> dict[str, bytes]:
    files = [*folder.rglob("*.safetensors"), *folder.rglob("*.npy")]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def test_two_stages_and_what_each_leaves_alone(shards: Path, hands: list[Example], tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "model")
    first = run("feature", tmp_path / "model", shards, tmp_path / "a", rank=3)
    added = "gestures/ok/feature.npy"
    before, after = weights(tmp_path / "model"), weights(first)
    assert {name: after[name] for name in before} == before and set(after) == {*before, added}
    said = ModelFolder(first).settings.gesture("ok")
    assert (said.words, said.rank, said.mu) == ("making the ok hand gesture", 3, 0.7)
    told = json.loads((first / "training.json").read_text())["ok feature"]
    assert 0 < told["pictures"] <= len(hands) and np.load(first / added).shape == (63,)

    second = run("embedding", first, shards, tmp_path / "b")
    learnt = weights(second)
    assert {name: learnt[name] for name in after} == after and set(learnt) == {*after, "gestures/ok/fusion.safetensors"}
    assert load_file(second / "gestures/ok/fusion.safetensors")["U"].abs().max() > 0
    told = json.loads((second / "training.json").read_text())
    assert told["ok feature"]["pictures"] and told["ok embedding"]["parameters"] == 3 * (2 * 16 * 32 + 63)

    third = run_hand(second, shards, tmp_path / "c")  # other hands: a fusion that was learnt with the old ones goes
    assert (third / added).exists() and not (third / "gestures/ok/fusion.safetensors").exists()
    assert ModelFolder(third).settings.gesture_names == ("ok",)


def test_a_feature_of_crops_by_hand(hands: list[Example]) -> None:
    found, count = mean_feature(hands, FeatureOptions(gesture="ok"))
    points = [each.keypoints[HANDS["left" if each.attributes["side"] == "left" else "right"]] for each in hands]
    whole = [rows[:, :2] / 64 for rows in points if (rows[:, 2] > 0).all()]
    assert count == len(whole) > 0
    np.testing.assert_allclose(found.reshape(21, 3)[:, :2], np.mean(whole, 0), rtol=1e-5, atol=1e-6)


def run_hand(model: Path, shards: Path, out: Path) -> Path:
    leave_no_process_state()
    kind = stages_of("two-stage")["hand"]
    options = kind.options.model_validate({**SHORT, "steps": 1, "batch": 2})
    trained = train_stage("hand", kind, model, Data((shards,), (1.0,)), options, out, show=False)
    assert trained is not None
    return trained


@torch.no_grad()
def test_the_loss_by_hand(tmp_path: Path, hands: list[Example]) -> None:
    model = write_hand_gestures(tmp_path / "model", "ok")
    maker = EmbeddingMaker(model, EmbeddingOptions(gesture="ok", share=0.6))
    stage, sample = maker.stage(), stacked(maker.samples.fix(hands[0], np.random.default_rng(0), 300))
    source, t = ModelFolder(model), torch.tensor([300])
    tokens = source.tokenizer.encode(f"{hands[0].caption}, making the ok hand gesture", add_special_tokens=False).ids
    assert sample["ids"][0].tolist()[: 1 + len(tokens[:14])] == [0, *tokens[:14]]
    raw = source.network("autoencoder").encode(sample["rgb"].permute(0, 3, 1, 2) / 127.5 - 1)
    latent, said = source.settings.latent, source.settings.schedule
    mean, std = (torch.tensor(each)[:, None, None] for each in (latent.mean, latent.std))
    files = load_file(model / "gestures/ok/fusion.safetensors")
    E = source.network("text_encoder")(sample["ids"]).last_hidden_state
    g = torch.from_numpy(np.load(model / "gestures/ok/feature.npy"))
    F = E + (files["U"] @ (files["V"] @ torch.cat([E.flatten(), g]))).view(E.shape)
    scheduler = DDIMScheduler(1000, said.beta_start, said.beta_end, said.betas)
    x_t = scheduler.add_noise((raw - mean) / std, sample["eps"], t)
    hand = source.network("hand")
    prediction, feature = hand(torch.cat([x_t, sample["c_p"]], 1), t, 0.6 * E + 0.4 * F)
    losses = stage.losses(sample)
    torch.testing.assert_close(losses["noise"], ((prediction - sample["eps"]) ** 2).mean(), rtol=1e-4, atol=1e-6)
    wrong = (hand.mask(feature)[:, 0] - sample["mask"].float()) ** 2
    torch.testing.assert_close(losses["mask"], 0.5 * wrong.mean(), rtol=1e-4, atol=1e-6)
    drawn = stage.draw(sample, 2, 0)
    assert [row.shape for row in drawn.rows] == [(1, 64, 64, 3), (1, 64, 64), (1, 64, 64, 3)]
    plain, told = stage.drawing(sample)
    assert plain is not stage.task.model
    torch.testing.assert_close(told, 0.4 * E + 0.6 * F, rtol=1e-4, atol=1e-5)


def test_gradients_reach_the_fusion_and_nothing_else(tmp_path: Path, hands: list[Example]) -> None:
    maker = EmbeddingMaker(write_hand_gestures(tmp_path / "model", "ok"), EmbeddingOptions(gesture="ok"))
    stage = maker.stage()
    losses = stage.losses(stacked(maker.samples.draw(hands[0], np.random.default_rng(0))))
    (losses["noise"] + losses["mask"]).backward()
    reached = {name for name, p in stage.task.model.named_parameters() if p.grad is not None}
    assert reached == {"fusion.U", "fusion.V"}


def test_what_is_refused(tmp_path: Path, hands: list[Example]) -> None:
    model = write_hand_gestures(tmp_path / "model", "ok", "fist")
    with pytest.raises(UserError, match=r"gesture 'like': expected one of the model's \(ok, fist\)"):
        EmbeddingMaker(model, EmbeddingOptions(gesture="like"))
    with pytest.raises(UserError, match="share: expected less than 1"):
        EmbeddingMaker(model, EmbeddingOptions(gesture="ok", share=1))
    with pytest.raises(ValueError, match="text_dropout"):
        EmbeddingOptions(gesture="ok", text_dropout=0.1)
    maker = EmbeddingMaker(model, EmbeddingOptions(gesture="fist"))
    with pytest.raises(UserError, match="expected pictures of the gesture fist alone, got"):
        maker.samples.draw(hands[0], np.random.default_rng(0))
