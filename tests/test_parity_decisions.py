"""Other decisions than the defaults, from settings to a picture: exported, opened, and against the torch reference."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.exports import Exports
from support.tiny_model import tiny_model, tiny_settings
from support.two_stage_reference import check, make_requests, spread_masks

from handfirst.engines.bundle import Bundle
from handfirst.export.options import ExportOptions
from handfirst.export.weights import round_weights
from handfirst.runtime.diffusion.masks import mask_table
from handfirst.runtime.systems.two_stage.settings import BodySettings, MaskHeadSettings
from handfirst.runtime.systems.two_stage.system import TwoStage
from handfirst.training.systems.two_stage.model_folder import load_model, save_model

pytestmark = pytest.mark.long


def test_a_picture_equals_the_torch_reference(exports: Exports, tmp_path: Path) -> None:
    settings = tiny_settings(
        hand=tiny_settings().hand.model_copy(update={"mask_head": MaskHeadSettings(source="up_block")}),
        body=BodySettings(height=64, width=64, mask_schedule="latent", mask_count=3),
    )
    fresh = tiny_model(settings)
    spread_masks(fresh, 0.8)
    save_model(fresh, tmp_path / "model")
    bundle = exports.export_bundle(tmp_path / "model", tmp_path / "bundle", ExportOptions("tiny"))
    words = Bundle.open(bundle).manifest.decisions
    assert "4 transposed convolutions on what the last upsampler gets" in words["mask_head"]
    assert "in 3 masks, one latent cell at a time" in words["blend_schedule"]
    model = load_model(tmp_path / "model")
    for network in model.networks().values():
        round_weights(network)
    (request,) = make_requests(1)
    result = TwoStage.open(bundle, engine="cpu").render(request)
    kept = mask_table([result.mask], 20, "expansion", settings.body, 8).sum((1, 2))
    assert 0 < kept[-1] < kept[0] <= 64, "nothing is blended, or everything: the comparison below proves little"
    check(model, request, result)
