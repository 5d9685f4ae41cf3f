"""Where a model of gestures begins: a UNet of a two-stage model, without what told it a pose."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from support.tiny_model import save_tiny_model

from handfirst.training.systems.gesture_text.config import Base, new_model
from handfirst.training.systems.gesture_text.model_folder import GestureTextFolder


def test_the_hand_generator_without_its_pose_is_what_it_draws_with_an_empty_one(tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "two-stage")
    base = Base.of_folder(tmp_path / "two-stage", "hand")
    said = json.loads((tmp_path / "two-stage" / "settings.json").read_text())
    assert base.size == said["hand"]["size"] and base.defaults.guidance == said["defaults"]["hand_guidance"]
    whole = UNet2DConditionModel.from_pretrained(tmp_path / "two-stage" / "hand_unet")
    c, more = said["latent"]["channels"], whole.config.in_channels - said["latent"]["channels"]
    assert more > 0
    x_t, context = torch.randn(1, c, 8, 8), torch.randn(1, 4, base.text.width)
    with torch.no_grad():
        expected = whole(torch.cat([x_t, torch.zeros(1, more, 8, 8)], 1), 3, context).sample
        torch.testing.assert_close(base.unet(x_t, 3, context).sample, expected)
    new_model(base, tmp_path / "model", 2)
    assert GestureTextFolder(tmp_path / "model").unet().config.in_channels == c
