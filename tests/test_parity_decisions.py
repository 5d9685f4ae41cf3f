"""Other decisions than the defaults, from settings to a picture: exported, opened, and against the torch reference."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.tiny_model import tiny_model, tiny_settings
from support.two_stage_reference import check, make_requests, spread_masks

from handfirst.engines.bundle import Bundle
from handfirst.export.bundle_writer import export_bundle
from handfirst.export.options import ExportOptions
from handfirst.export.weights import round_weights
from handfirst.runtime.settings import BodySettings, MaskHeadSettings
from handfirst.runtime.systems.two_stage import TwoStage
from handfirst.training.checkpoint import load_model, save_model

WAYS = {
    "up_block, latent masks": (MaskHeadSettings(source="up_block"), "latent"),
    "last with 3 layers": (MaskHeadSettings(layers=3), "pixels"),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_picture_equals_the_torch_reference(way: str, tmp_path: Path) -> None:
    head, schedule = WAYS[way]
    settings = tiny_settings(
        hand=tiny_settings().hand.model_copy(update={"mask_head": head}),
        body=BodySettings(height=64, width=64, mask_schedule=schedule, mask_count=3),  # type: ignore[arg-type]
    )
    fresh = tiny_model(settings)
    spread_masks(fresh)
    save_model(fresh, tmp_path / "model")
    bundle = export_bundle(tmp_path / "model", tmp_path / "bundle", ExportOptions("tiny"))
    words = Bundle.open(bundle).manifest.decisions
    assert f"{head.layers} transposed convolutions" in words["mask_head"]
    assert ("3 masks" in words["blend_schedule"]) == (schedule == "latent")
    model = load_model(tmp_path / "model")
    for network in model.networks().values():
        round_weights(network)
    (request,) = make_requests(1)
    result = TwoStage.open(bundle, engine="cpu").render(request)
    assert 0.01 < result.mask.mean() < 0.9
    check(model, request, result)
