"""A two-stage model with gestures becomes a bundle: its assets, E'' as torch computes it, and the whole loop."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from support.exports import Exports
from support.tiny_hand_gestures import write_hand_gestures

from handfirst.engines.bundle import Bundle
from handfirst.engines.errors import BundleError, UserError
from handfirst.engines.manifest import write_manifest
from handfirst.export.options import ExportOptions
from handfirst.export.systems.two_stage.source import Source
from handfirst.runtime.cli.main import main
from handfirst.runtime.diffusion.gesture import Gestures, read_gesture
from handfirst.runtime.diffusion.text import Text
from handfirst.runtime.systems.two_stage.hands import find_hands
from handfirst.runtime.systems.two_stage.job import demo_pose
from handfirst.runtime.systems.two_stage.request import Request
from handfirst.runtime.systems.two_stage.settings import read_settings
from handfirst.runtime.systems.two_stage.system import TwoStage
from handfirst.training.systems.two_stage.model_folder import ModelFolder

PROMPT = "a man in a green coat"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_hand_gestures(tmp_path_factory.mktemp("gestures") / "model", "ok", "fist")


@pytest.fixture(scope="module")
def bundle(model: Path, exports: Exports) -> Bundle:
    return Bundle.open(exports.export_bundle(model, model.parent / "bundle", ExportOptions("tiny", "float32")))


@torch.no_grad()
def told(folder: Path, name: str, mu: float) -> np.ndarray:
    """E'' by transformers and the paper's formula, in torch."""
    source = ModelFolder(folder)
    tokens = source.tokenizer.encode(f"{PROMPT}, making the {name} hand gesture", add_special_tokens=False).ids[:14]
    ids = [0, *tokens, 1]
    ids += [1] * (16 - len(ids))
    E = source.network("text_encoder")(torch.tensor([ids])).last_hidden_state.double()
    files = load_file(folder / "gestures" / name / "fusion.safetensors")
    g = torch.from_numpy(np.load(folder / "gestures" / name / "feature.npy")).double()
    F = E + (files["U"].double() @ (files["V"].double() @ torch.cat([E.flatten(), g]))).view(E.shape)
    return (mu * E + (1 - mu) * F)[0].numpy()


class TextInTorch:
    """The text encoder as an engine."""

    def __init__(self, folder: Path) -> None:
        self._encoder = ModelFolder(folder).network("text_encoder")

    @torch.no_grad()
    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"context": self._encoder(torch.from_numpy(inputs["ids"])).last_hidden_state.numpy()}


@pytest.mark.parametrize(("name", "mu"), [("ok", 0.4), ("fist", 0.0)])
def test_the_numbers_of_an_asset_make_what_torch_computes(model: Path, name: str, mu: float) -> None:
    source = Source(model, ExportOptions("tiny", "float32"))
    settings = source.settings
    assert not source.warnings and sorted(source.assets) == ["gesture_fist", "gesture_ok"]
    file, data = source.assets[f"gesture_{name}"]
    gesture = read_gesture(data, settings.gesture(name), settings.text, "here")
    assert file == f"gesture_{name}.npy" and gesture.more.shape == (0,)
    text = Text(source.tokenizer, settings.text, TextInTorch(model))  # type: ignore[arg-type]
    found, expected = (
        Gestures(settings.gestures, {name: gesture}, text).context(PROMPT, name, mu),
        told(model, name, mu),
    )
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize(("name", "mu"), [("ok", None), ("fist", 0.0), ("fist", 0.9)])
def test_what_hands_are_told_is_what_torch_computes(model: Path, bundle: Bundle, name: str, mu: float | None) -> None:
    system = TwoStage.open(bundle.path, engine="cpu", threads=1)
    request = Request(pose=demo_pose(), prompt=PROMPT, gesture=name, mu=mu).resolve(system.settings)
    hands = find_hands(request, system.settings)
    guided = system._gestured(hands, system._guided(hands, system._tables(request)[0]))
    system.close()
    expected = told(model, name, 0.4 if mu is None else mu)
    assert len(hands) == 2 and np.abs(expected).max() > 1
    assert np.abs(guided.conditional["context"] - expected).max() <= 1e-5 * np.abs(expected).max()


def test_a_bundle_lists_its_gestures_and_the_loop_is_rehearsed(model: Path, bundle: Bundle) -> None:
    assert sorted(bundle.manifest.assets) == ["gesture_fist", "gesture_ok"]
    assert read_settings(bundle.manifest) == ModelFolder(model).settings and "gestures" in bundle.manifest.decisions
    source = Source(model, ExportOptions("tiny", "float32"))
    assert not source.warnings and source.rehearse(bundle) >= 50
    values = np.load(io.BytesIO(bundle.asset("gesture_ok")))
    assert values.dtype == np.float32 and values.shape == (63 + 2 * (2 * 16 * 32 + 63),)
    np.testing.assert_array_equal(values[:63], np.load(model / "gestures/ok/feature.npy"))


def test_the_command_line_takes_a_gesture_and_the_picture_tells_it(bundle: Bundle, tmp_path: Path, capsys) -> None:
    pose, out = tmp_path / "pose.json", tmp_path / "a.png"
    from importlib.resources import files

    pose.write_bytes((files("handfirst.runtime.systems.two_stage") / "demo_pose.json").read_bytes())
    line = ["render", "--out", str(out), "--bundle", str(bundle.path), "--pose", str(pose), "--prompt", PROMPT]
    assert main([*line, "--gesture", "like"]) == 2
    assert "gesture: expected one of ok, fist, got 'like'" in capsys.readouterr().err and not out.exists()
    assert main([*line, "--gesture", "ok", "--set", "mu=0.3", "--steps", "2"]) == 0
    capsys.readouterr()
    assert main(["show", str(out)]) == 0
    said = capsys.readouterr().out
    assert "ok" in said and "0.3" in said and "gesture" in said
    assert main([*line[:3], *line[5:], "--gesture", "ok"]) == 2
    assert "gesture: expected none, as this model has no gestures" in capsys.readouterr().err


def test_a_bundle_whose_asset_is_missing_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    shutil.copytree(bundle.path, out)
    assets = {name: file for name, file in bundle.manifest.assets.items() if name != "gesture_ok"}
    files = {name: entry for name, entry in bundle.manifest.files.items() if name != "gesture_ok.npy"}
    (out / "gesture_ok.npy").unlink()
    write_manifest(out, bundle.manifest.model_copy(update={"assets": assets, "files": files}))
    with pytest.raises(BundleError, match="gesture_ok") as refused:
        TwoStage.open(out, engine="cpu")
    assert "\n" not in str(refused.value)


def test_a_gesture_without_a_trained_fusion_is_told_of(tmp_path: Path) -> None:
    folder = write_hand_gestures(tmp_path / "model", "ok")
    (folder / "gestures/ok/fusion.safetensors").unlink()
    source = Source(folder, ExportOptions())
    (line,) = source.warnings
    assert line.startswith("gesture ok: no fusion was trained")
    assert not np.load(io.BytesIO(source.assets["gesture_ok"][1]))[63:].any()
    np.save(folder / "gestures/ok/feature.npy", np.full(63, 1e5, np.float32))
    with pytest.raises(UserError, match=r"gesture ok: expected numbers that float16 can hold, got 1e\+05"):
        _ = source.assets
