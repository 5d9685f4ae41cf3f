"""A bundle with TAESD's decoder: exported through the gate; previews equal diffusers' AutoencoderTiny."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny
from support.arithmetic_model import FUNCTIONS, SETTINGS, Tape, request, spec, tokenizer
from support.fake_engine import FakeEngine
from support.tiny_model import save_tiny_model, tiny_settings

import handfirst
from handfirst.engines.bundle import Bundle
from handfirst.engines.errors import BundleError, UserError
from handfirst.export.options import ExportOptions
from handfirst.export.systems.two_stage.parts import preview_decoder
from handfirst.runtime.diffusion.settings import LatentSettings, ScheduleSettings
from handfirst.runtime.systems.two_stage.job import demo_pose
from handfirst.runtime.systems.two_stage.roles import PREVIEW, check_roles, runs
from handfirst.runtime.systems.two_stage.system import TwoStage

if TYPE_CHECKING:
    from support.exports import Exports


@pytest.fixture(scope="module")
def taesd() -> AutoencoderTiny:
    """Random weights in TAESD's own layout."""
    torch.manual_seed(0)
    return AutoencoderTiny().eval()


def test_previews_of_a_bundle_are_diffusers(taesd: AutoencoderTiny, exports: Exports, tmp_path: Path) -> None:
    taesd.save_pretrained(tmp_path / "taesd")
    to_one = ScheduleSettings(set_alpha_to_one=True)  # the last step ends in x_0 itself
    settings = save_tiny_model(tmp_path / "model", settings=tiny_settings(schedule=to_one)).settings
    options = ExportOptions("small", weights="float32", preview=tmp_path / "taesd")
    exports.export_bundle(tmp_path / "model", tmp_path / "bundle", options)
    assert Bundle.open(tmp_path / "bundle").manifest.engines[PREVIEW].measured_psnr > 60
    mean, std = (np.array(v, np.float32)[:, None, None] for v in (settings.latent.mean, settings.latent.std))
    model = handfirst.open(tmp_path / "bundle", engine="cpu", threads=1)
    asked = handfirst.Request(pose=demo_pose(), prompt="a person", steps=2, hand_steps=1)
    seen = 0
    for progress in model.steps(asked):
        if progress.stage == "body" and progress.step == progress.total:
            picture = progress.preview()
        if progress.result is not None:
            raw = torch.from_numpy(progress.result.latents * std + mean)[None]
            with torch.no_grad():
                image = taesd.decode(raw * 0.18215).sample.clamp(-1, 1)[0].permute(1, 2, 0).numpy()
            assert np.abs(picture.astype(float) - (image + 1) * 127.5).max() <= 0.51
            seen += 1
    assert seen == 1
    model.close()


def test_a_small_decoder_is_asked_for_looks_alone() -> None:
    """Of hands and bodies; pictures come from the decoder itself."""

    def grey(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        rows, _, height, width = inputs["latent"].shape
        return {"image": np.zeros((rows, 3, 8 * height, 8 * width), np.float32)}

    small = Tape(grey)
    engines = {role: FakeEngine(spec(role), role, FUNCTIONS[role]) for role in FUNCTIONS}
    engines[PREVIEW] = FakeEngine(spec("vae_decoder"), PREVIEW, small)
    model = TwoStage(SETTINGS, engines, tokenizer())
    for progress in model.steps(request()):
        if progress.stage == "body":
            assert (progress.preview() == 128).all()
    assert len(small.inputs) == 6 and {given["latent"].shape for given in small.inputs} == {(1, 4, 8, 8)}
    assert progress.result is not None and np.ptp(progress.result.image) > 0


def test_its_tensors_are_checked_and_its_shapes_told() -> None:
    specs = {role: spec(role) for role in FUNCTIONS} | {PREVIEW: spec("vae_decoder")}
    check_roles(SETTINGS, specs)
    assert runs(SETTINGS, specs, 3)[PREVIEW].shapes == [(1, (4, 4)), (2, (4, 4)), (1, (8, 8))]
    with pytest.raises(BundleError, match="preview_decoder: inputs: expected latent, got image"):
        check_roles(SETTINGS, specs | {PREVIEW: spec("vae_encoder")})


def test_other_latents_are_refused_before_anything_is_exported(taesd: AutoencoderTiny, tmp_path: Path) -> None:
    taesd.save_pretrained(tmp_path)
    with pytest.raises(UserError, match="--preview: expected a model with 8 pixels to a latent cell"):
        preview_decoder(tmp_path, LatentSettings(factor=4))
