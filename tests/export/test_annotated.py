"""A widened Stable Diffusion becomes a bundle: every graph as torch, the loop as diffusers', halves not exchanged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support.annotated_loop import diffusers_loop
from support.tiny_annotated import write_tiny_annotated, write_tiny_widened

import handfirst
from handfirst.engines.bundle import Bundle
from handfirst.engines.engine import Engine
from handfirst.engines.errors import BundleError, UserError
from handfirst.export.bundle_writer import export_bundle
from handfirst.export.options import ExportOptions
from handfirst.export.systems.annotated.parts import part_makers
from handfirst.export.systems.annotated.rehearsal import rehearse
from handfirst.export.systems.annotated.source import Source
from handfirst.runtime.diffusion.table import ddim_table
from handfirst.runtime.diffusion.text import token_ids
from handfirst.runtime.systems.annotated.request import SampleRequest
from handfirst.runtime.systems.annotated.roles import check_roles
from handfirst.runtime.systems.annotated.settings import read_settings
from handfirst.training.models.lora import LoraFile
from handfirst.training.models.text_encoder import TextContext
from handfirst.training.systems.annotated.model_folder import AnnotatedFolder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With an output for the annotation that says something, which a freshly widened one does not."""
    folder = write_tiny_widened(tmp_path_factory.mktemp("widened") / "model")
    source = AnnotatedFolder(folder)
    denoiser = source.denoiser()
    with torch.no_grad():
        torch.nn.init.normal_(denoiser.unet.conv_out.weight[4:], std=0.05, generator=torch.Generator().manual_seed(0))
    denoiser.unet.save_pretrained(folder / "unet")
    return folder


@pytest.fixture(scope="module")
def bundle(model: Path) -> Bundle:
    return Bundle.open(export_bundle(model, model.parent / "bundle", ExportOptions("tiny", "float32")))


def test_every_graph_is_what_torch_computes_and_what_the_runtime_expects(model: Path, bundle: Bundle) -> None:
    engines = bundle.manifest.engines
    assert list(engines) == ["text_encoder", "denoiser", "vae_decoder"]
    assert {role: entry.measured_psnr >= 60 for role, entry in engines.items()} == dict.fromkeys(engines, True)
    settings, specs = read_settings(bundle.manifest), {role: entry.spec for role, entry in engines.items()}
    assert settings == AnnotatedFolder(model).settings and (settings.channels, settings.cells) == (8, 8)
    check_roles(settings, specs)
    with pytest.raises(BundleError, match=r"denoiser: input 'sample': expected float32 \[\*,4,8,8\]"):
        check_roles(settings.model_copy(update={"annotation": "none"}), specs)


def test_the_loop_is_that_of_torch_and_diffusers(model: Path, bundle: Bundle) -> None:
    source, opened = AnnotatedFolder(model), handfirst.open(bundle.path, engine="cpu", threads=1)
    settings, text = source.settings, source.settings.text
    encoder = TextContext(source.text_encoder())
    with torch.no_grad():
        told = [
            encoder(torch.from_numpy(token_ids(source.tokenizer, words, text)[0])[None])
            for words in ("", "palm of a left hand")
        ]
        expected = diffusers_loop(source.denoiser(), settings, told, 3, 4, 2.0)
        mean, std = (torch.tensor(each)[:, None, None] for each in (settings.latent.mean, settings.latent.std))
        halves = torch.cat(torch.from_numpy(expected).chunk(2, 1)) * std + mean
        decoded = source.autoencoder().decode(halves).clamp(-1, 1).numpy()
    request = SampleRequest(prompt="palm of a left hand", seed=3, steps=4, guidance=2.0).resolve(settings)
    table = ddim_table(opened._schedule, 4, 2.0)
    *_, last = opened.denoised([3], opened._guided([request], table), table)
    assert np.abs(np.asarray(last.x_t) - expected).max() <= 1e-3 * max(1.0, np.abs(expected).max())
    result = opened.render(request)
    opened.close()
    shown = np.rint((decoded.transpose(0, 2, 3, 1) + 1) * 127.5)
    for found, wanted in zip((result.image, result.annotation), shown, strict=True):
        assert found.shape == (16, 16, 3) and np.abs(found.astype(int) - wanted).max() <= 1


def test_squares_of_cells_go_into_the_graph(tmp_path: Path) -> None:
    model = write_tiny_annotated(tmp_path / "model", patch=2)
    bundle = Bundle.open(export_bundle(model, tmp_path / "bundle", ExportOptions("tiny", "float32")))
    denoiser = AnnotatedFolder(model).denoiser()
    x_t, label = np.random.default_rng(0).standard_normal((2, 6, 16, 16), dtype=np.float32), np.eye(2, dtype=np.float32)
    t = np.array([3, 40])
    with torch.no_grad():
        expected = denoiser(torch.from_numpy(x_t), torch.from_numpy(t), torch.from_numpy(label)).numpy()
    found = bundle.engine("denoiser", "cpu").run({"sample": x_t, "timestep": t, "label": label})["prediction"]
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


class Exchanged:
    """A denoiser that takes the picture's channels for the annotation's."""

    def __init__(self, engine: Engine) -> None:
        self.name, self.spec, self._engine = engine.name, engine.spec, engine

    def run(self, inputs, wanted=None):
        return {name: np.roll(value, 4, axis=1) for name, value in self._engine.run(inputs).items()}

    def close(self) -> None:
        self._engine.close()


def test_exchanged_channels_are_found(model: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, opens = AnnotatedFolder(model), Bundle.engine
    assert rehearse(folder, bundle, rounded=False) >= 50

    def engine(self: Bundle, role: str, *rest: object) -> Engine:
        opened = opens(self, role, *rest)  # type: ignore[arg-type]
        return Exchanged(opened) if role == "denoiser" else opened

    monkeypatch.setattr(Bundle, "engine", engine)
    with pytest.raises(UserError, match=r"all graphs together: the denoiser's loop is [\d.]+ dB from torch"):
        rehearse(folder, bundle, rounded=False)


def test_what_does_not_fit_is_refused_before_anything_is_exported(tmp_path: Path) -> None:
    plain = write_tiny_annotated(tmp_path / "plain")
    with pytest.raises(UserError, match="this model draws 16 x 16 pixels"):
        Source(plain, ExportOptions(size=(128, 128)))
    with pytest.raises(UserError, match="--lora, --preset: expected none for a model of annotated hands"):
        Source(plain, ExportOptions(loras=(LoraFile(tmp_path / "a.safetensors", 1.0),)))
    folder = AnnotatedFolder(plain)
    folder.settings = folder.settings.model_copy(update={"annotation": "none"})
    with pytest.raises(UserError, match="UNet input channels: expected 3 by the settings, the network has 6"):
        part_makers(folder)
