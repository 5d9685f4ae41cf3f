"""A part refiner becomes a bundle: every graph as torch, tensors as the runtime expects them, the loop as a whole."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from diffusers import ControlNetModel
from support.exports import Exports
from support.tiny_refiner import write_tiny_control

import handfirst
from handfirst.engines.bundle import Bundle
from handfirst.engines.engine import Engine
from handfirst.engines.errors import UserError
from handfirst.export.options import ExportOptions
from handfirst.export.systems.part_refiner.parts import part_makers
from handfirst.export.systems.part_refiner.rehearsal import rehearse
from handfirst.export.systems.part_refiner.source import Source
from handfirst.runtime.diffusion.settings import LatentSettings
from handfirst.runtime.systems.part_refiner.job import example
from handfirst.runtime.systems.part_refiner.roles import check_roles
from handfirst.runtime.systems.part_refiner.settings import read_settings
from handfirst.training.systems.part_refiner.model_folder import PartRefinerFolder

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def model(tiny_refiner: tuple[Path, Path]) -> Path:
    return tiny_refiner[0]


@pytest.fixture(scope="module")
def bundle(tiny_refiner: tuple[Path, Path]) -> Bundle:
    return Bundle.open(tiny_refiner[1])


def test_every_graph_is_what_torch_computes_and_what_the_runtime_expects(model: Path, bundle: Bundle) -> None:
    engines = bundle.manifest.engines
    assert {role: entry.measured_psnr >= 60 for role, entry in engines.items()} == dict.fromkeys(engines, True)
    settings = read_settings(bundle.manifest)
    assert settings == PartRefinerFolder(model).settings
    check_roles(settings, {role: entry.spec for role, entry in engines.items()})
    context = np.load(io.BytesIO(bundle.asset("inpaint_context")))
    np.testing.assert_array_equal(context, np.load(model / "inpaint_context.npy"))
    assert bundle.manifest.tokenizer is None and bundle.manifest.system == "part-refiner"


def test_a_row_without_a_reference_reads_no_bank(bundle: Bundle) -> None:
    """In the graph itself: banks of one row may hold anything, and its answer is that of its own tokens."""
    engine = bundle.engine("main_unet", "cpu")
    rng = np.random.default_rng(0)
    given = {
        tensor.name: rng.standard_normal((2, *map(int, tensor.shape[1:])), dtype=np.float32)
        for tensor in engine.spec.inputs if tensor.dtype == "float32"
    }  # fmt: skip
    given |= {"timestep": np.array([10, 500]), "referenced": np.array([0, 1], np.float32)}
    other = {name: np.full_like(x, 9.0) if name.startswith("bank") else x for name, x in given.items()}
    first, second = (engine.run(each)["prediction"] for each in (given, other))
    np.testing.assert_allclose(first[0], second[0], rtol=0, atol=1e-6)
    assert np.abs(first[1] - second[1]).max() > 1e-3


class Swapped:
    """An engine two of whose outputs are exchanged."""

    def __init__(self, engine: Engine, a: str, b: str) -> None:
        self.name, self.spec, self._engine, self._names = engine.name, engine.spec, engine, {a: b, b: a}

    def run(self, inputs, wanted=None):
        outputs = self._engine.run(inputs)
        return {self._names.get(name, name): value for name, value in outputs.items()}

    def close(self) -> None:
        self._engine.close()


def test_swapped_banks_are_found(model: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, opens = PartRefinerFolder(model), Bundle.engine
    assert rehearse(folder, bundle, rounded=True) >= 50

    def engine(self: Bundle, role: str, *rest: object) -> Engine:
        opened = opens(self, role, *rest)  # type: ignore[arg-type]
        return Swapped(opened, "bank_00", "bank_02") if role == "reference_unet" else opened

    monkeypatch.setattr(Bundle, "engine", engine)
    with pytest.raises(UserError, match=r"all graphs together: the refiner's loop is [\d.]+ dB from torch"):
        rehearse(folder, bundle, rounded=True)


def test_what_does_not_fit_is_refused_before_anything_is_exported(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="every part is drawn at 64 x 64 pixels"):
        Source(model, ExportOptions(size=(128, 128)))
    folder = PartRefinerFolder(model)
    encoder = folder.settings.image_encoder.model_copy(update={"width": 40})
    folder.settings = folder.settings.model_copy(update={"image_encoder": encoder})
    with pytest.raises(UserError, match="main UNet context width: expected 40 by the settings, the network has 32"):
        part_makers(folder)


def test_a_model_that_is_drawn_by_control_becomes_a_bundle(tmp_path: Path, exports: Exports) -> None:
    """Both networks of its second stage are one graph; the loop as a whole is held against torch by the writer."""
    folder = write_tiny_control(tmp_path / "model")
    bundle = Bundle.open(exports.export_bundle(folder, tmp_path / "bundle", ExportOptions("tiny")))
    engines = bundle.manifest.engines
    assert list(engines) == ["pose_guider", "vae_encoder", "inpaint_unet", "vae_decoder"]
    assert all(entry.measured_psnr >= 60 for entry in engines.values())
    settings = read_settings(bundle.manifest)
    check_roles(settings, {role: entry.spec for role, entry in engines.items()})
    graph = bundle.engine("inpaint_unet", "cpu")
    rng = np.random.default_rng(0)
    given = {t.name: rng.standard_normal((1, *map(int, t.shape[1:])), np.float32) for t in graph.spec.inputs
             if t.dtype == "float32"}  # fmt: skip
    given["timestep"] = np.array([300])
    answers = [graph.run({**given, "pose_feature": shade * given["pose_feature"]})["prediction"]
               for shade in (np.float32(0), np.float32(1))]  # fmt: skip
    assert np.abs(answers[0] - answers[1]).max() > 1e-3
    graph.close()
    opened = handfirst.open(bundle.path, engine="cpu", threads=1)
    result = opened.render(example(steps=2))
    assert np.array_equal(result.image[~result.mask], result.request.image[~result.mask])
    assert result.parts[0].refined is None and (result.parts[0].after != result.parts[0].before).any()
    opened.close()


def test_a_controlnet_of_other_widths_is_named(tmp_path: Path) -> None:
    folder = PartRefinerFolder(write_tiny_control(tmp_path / "model"))
    folder.settings = folder.settings.model_copy(
        update={"latent": LatentSettings(channels=3, mean=(0,) * 3, std=(1,) * 3)}
    )
    with pytest.raises(UserError, match="ControlNet channels: expected 3 by the settings, the network has 4"):
        part_makers(folder)
    ControlNetModel(4, block_out_channels=(8,), norm_num_groups=4, down_block_types=["DownBlock2D"],
                    cross_attention_dim=16).save_pretrained(folder.folder / "controlnet")  # fmt: skip
    with pytest.raises(UserError, match="pose guider channels: expected 8 by the settings, the network has 16"):
        part_makers(PartRefinerFolder(folder.folder))
