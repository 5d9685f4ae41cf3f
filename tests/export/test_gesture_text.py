"""Gestures become a bundle: every graph as torch, the loop as peft's and diffusers', gestures of one batch as alone."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from peft import PeftModel
from safetensors.torch import load_file
from support.tiny_gesture import write_tiny_gestures
from typer.testing import CliRunner

import handfirst
from handfirst.engines.bundle import Bundle
from handfirst.engines.engine import Engine
from handfirst.engines.errors import BundleError, UserError
from handfirst.engines.files import sha256
from handfirst.engines.manifest import FileEntry, write_manifest
from handfirst.export.bundle_writer import export_bundle
from handfirst.export.options import ExportOptions
from handfirst.export.systems.gesture_text.parts import part_makers
from handfirst.export.systems.gesture_text.rehearsal import rehearse
from handfirst.export.systems.gesture_text.source import Source
from handfirst.runtime.cli.main import app, main
from handfirst.runtime.diffusion.table import ddim_table
from handfirst.runtime.errors import RequestError
from handfirst.runtime.systems.gesture_text.request import GestureRequest
from handfirst.runtime.systems.gesture_text.roles import check_roles
from handfirst.runtime.systems.gesture_text.settings import read_settings
from handfirst.training.models.lora import LoraFile
from handfirst.training.systems.gesture_text.model_folder import GestureTextFolder

PROMPT = "a woman in a red shirt"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gestures(tmp_path_factory.mktemp("gestures") / "model", "ok", "fist")


@pytest.fixture(scope="module")
def bundle(model: Path) -> Bundle:
    return Bundle.open(export_bundle(model, model.parent / "bundle", ExportOptions("tiny", "float32")))


@pytest.fixture(scope="module")
def opened(bundle: Bundle):
    system = handfirst.open(bundle.path, engine="cpu", threads=1)
    yield system
    system.close()


def test_every_graph_is_what_torch_computes_and_what_the_runtime_expects(model: Path, bundle: Bundle) -> None:
    engines = bundle.manifest.engines
    assert list(engines) == ["text_encoder", "unet", "vae_decoder"]
    assert {role: entry.measured_psnr >= 60 for role, entry in engines.items()} == dict.fromkeys(engines, True)
    settings, specs = read_settings(bundle.manifest), {role: entry.spec for role, entry in engines.items()}
    assert settings == GestureTextFolder(model).settings and settings.names == ("ok", "fist")
    assert sorted(bundle.manifest.assets) == ["gesture_fist", "gesture_ok"]
    check_roles(settings, specs)
    more = settings.adapter.model_copy(update={"values": settings.adapter.values + 1})
    with pytest.raises(BundleError, match=r"unet: input 'adapter': expected float32"):
        check_roles(settings.model_copy(update={"adapter": more}), specs)


@torch.no_grad()
def reference(folder: Path, name: str | None, prompt: str, mu: float, seed: int, steps: int, guidance: float, eta=0.0):
    """x_0 by diffusers' scheduler, peft's merged UNet and the paper's formula; of ours nothing but reading files."""
    source = GestureTextFolder(folder)
    said, unet = source.settings, source.unet()
    if name is not None:
        unet = PeftModel.from_pretrained(unet, str(folder / "gestures" / name / "adapter")).merge_and_unload()
    encoder, tokenizer = source.text_encoder(), source.tokenizer

    def encoded(words: str) -> torch.Tensor:
        tokens = tokenizer.encode(words, add_special_tokens=False).ids[: said.text.length - 2]
        ids = [said.text.begin, *tokens, said.text.end]
        ids += [said.text.pad] * (said.text.length - len(ids))
        return encoder(torch.tensor([ids])).last_hidden_state

    E = encoded(prompt)
    if name is not None:
        files = load_file(folder / "gestures" / name / "fusion.safetensors")
        g = torch.from_numpy(np.load(folder / "gestures" / name / "feature.npy"))
        x = torch.cat([E.flatten(), g])
        F = E + (files["U"] @ (files["V"] @ x)).view(E.shape)
        E = mu * E + (1 - mu) * F
    schedule = said.schedule
    scheduler = DDIMScheduler(
        schedule.train_steps, schedule.beta_start, schedule.beta_end, schedule.betas, clip_sample=False,
        set_alpha_to_one=schedule.set_alpha_to_one, steps_offset=schedule.steps_offset,
        prediction_type=schedule.prediction, timestep_spacing=schedule.spacing,
    )  # fmt: skip
    scheduler.set_timesteps(steps)
    draws = torch.randn((1 + (steps if eta else 0), 4, 8, 8), generator=torch.Generator().manual_seed(seed))
    x_t, both = draws[:1], torch.cat([encoded(""), E])
    for i, t in enumerate(scheduler.timesteps):
        u, c = unet(torch.cat([x_t, x_t]), t, encoder_hidden_states=both).sample.chunk(2)
        noise = draws[1 + i : 2 + i] if eta else None
        x_t = scheduler.step(u + guidance * (c - u), t, x_t, eta=eta, variance_noise=noise).prev_sample
    image = source.autoencoder().model.decode(x_t / source.autoencoder().model.config.scaling_factor).sample
    return x_t.numpy(), np.rint((image.clamp(-1, 1).permute(0, 2, 3, 1).numpy()[0] + 1) * 127.5)


@pytest.mark.parametrize(("name", "mu", "eta"), [("ok", 0.7, 0.0), ("fist", 0.2, 1.0), (None, None, 0.0)])
def test_the_loop_is_that_of_peft_and_diffusers(model: Path, opened, name, mu, eta) -> None:
    words = PROMPT if name is None else f"{PROMPT}, making the {name} hand gesture"
    expected, shown = reference(model, name, words, mu or 0, 3, 4, 2.5, eta)
    request = GestureRequest(PROMPT, name, seed=3, steps=4, guidance=2.5, eta=eta, mu=mu).resolve(opened.settings)
    table = ddim_table(opened._schedule, 4, 2.5, eta)
    *_, last = opened.denoised([3], opened.guided([request], table), table)
    assert np.abs(np.asarray(last.x_t) - expected).max() <= 1e-3 * max(1.0, np.abs(expected).max())
    result = opened.render(request)
    assert result.image.shape == (16, 16, 3) and np.abs(result.image.astype(int) - shown).max() <= 1
    assert result.asked["prompt"] == PROMPT and result.asked.get("gesture") == name


def test_gestures_in_one_batch_are_what_they_are_alone(opened) -> None:
    asked = [
        GestureRequest(PROMPT, "ok", seed=1, steps=3),
        GestureRequest(PROMPT, "fist", seed=1, steps=3, mu=0.1),
        GestureRequest(PROMPT, None, seed=1, steps=3),
        GestureRequest("a man", "ok", seed=2, steps=3),
    ]
    alone = [opened.render(request).image.astype(int) for request in asked]
    together = opened.render_batch(asked)
    for one, result, request in zip(alone, together, asked, strict=True):
        assert np.abs(one - result.image).max() <= 1
        assert result.request.gesture == request.gesture
    assert all(np.abs(alone[0] - other).max() > 8 for other in alone[1:])  # neither gesture nor words are ignored


def test_a_story_has_steps_and_a_preview(opened) -> None:
    told = list(opened.steps(GestureRequest(PROMPT, "ok", steps=2)))
    assert [(each.stage, each.step, each.total) for each in told[:-1]] == [("sample", 1, 2), ("sample", 2, 2)]
    assert told[0].preview().shape == (16, 16, 3) and told[-1].result.seconds.keys() == {
        "text", "sample", "decode", "total",
    }  # fmt: skip


def test_what_a_request_may_not_say(opened) -> None:
    with pytest.raises(RequestError, match="gesture: expected one of ok, fist, got 'peace'"):
        opened.render(GestureRequest(PROMPT, "peace"))
    with pytest.raises(RequestError, match=r"mu: expected it beside a gesture, got 0\.5 without one"):
        GestureRequest(PROMPT, mu=0.5)
    with pytest.raises(RequestError, match="mu: expected a number from 0 to 1"):
        GestureRequest(PROMPT, "ok", mu=1.5)
    schedule = opened.settings.schedule.model_copy(update={"train_steps": 999})
    with pytest.raises(RequestError, match="steps: expected at most 999"):
        GestureRequest(PROMPT, steps=1000).resolve(opened.settings.model_copy(update={"schedule": schedule}))


def test_the_command_line_lists_the_gestures_there_are(bundle: Bundle, tmp_path: Path, capsys) -> None:
    out = tmp_path / "a.png"
    line = ["sample", "-o", str(out), "--bundle", str(bundle.path), "--prompt", PROMPT, "--steps", "2"]
    assert main([*line, "--gesture", "peace"]) == 2
    assert "gesture: expected one of ok, fist, got 'peace'" in capsys.readouterr().err and not out.exists()
    found = CliRunner().invoke(app, [*line, "--gesture", "ok", "--count", "2", "--set", "mu=0.5", "--json"])
    assert found.exit_code == 0, found.output
    assert (tmp_path / "a-1.png").exists() and (tmp_path / "a-2.png").exists()
    assert main(["sample", "-o", str(out), "--bundle", str(bundle.path), "--label", "x"]) == 2
    assert "--label: this model knows no label" in capsys.readouterr().err
    assert main(["render", "--out", str(out), "--bundle", str(bundle.path), "--gesture", "ok", "--steps", "2"]) == 0


def altered(bundle: Bundle, out: Path, data: bytes) -> Path:
    """The bundle with another file for the gesture ok, as somebody would make it who knows how."""
    out.mkdir()
    for file in bundle.path.iterdir():
        (out / file.name).write_bytes(file.read_bytes())
    (out / "gesture_ok.npy").write_bytes(data)
    entry = FileEntry(sha256=sha256(data), size=len(data))
    files = {**bundle.manifest.files, "gesture_ok.npy": entry}
    write_manifest(out, bundle.manifest.model_copy(update={"files": files}))
    return out


def _npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "expected an .npy file"),
        (_npy(np.zeros(5, np.float32)), r"numbers of float16 or float32, got float32 \[5\]"),
        (_npy(np.array([None], object)), "expected an .npy file"),
        (_npy(np.zeros(5, np.complex64)), r"got complex64 \[5\]"),
    ],
)
def test_a_gesture_that_is_none_is_refused_in_a_line(bundle: Bundle, tmp_path: Path, data: bytes, said: str) -> None:
    with pytest.raises(BundleError, match=said) as refused:
        handfirst.open(altered(bundle, tmp_path / "bundle", data), engine="cpu")
    assert "gesture ok" in str(refused.value) and "\n" not in str(refused.value)


def test_numbers_that_are_not_finite_are_refused(bundle: Bundle, tmp_path: Path) -> None:
    array = np.load(io.BytesIO(bundle.asset("gesture_ok")))
    array[7] = np.nan
    with pytest.raises(BundleError, match="finite"):
        handfirst.open(altered(bundle, tmp_path / "bundle", _npy(array)), engine="cpu")


class Deaf:
    """A UNet that does not hear adapters."""

    def __init__(self, engine: Engine) -> None:
        self.name, self.spec, self._engine = engine.name, engine.spec, engine

    def run(self, inputs, wanted=None):
        return self._engine.run({**inputs, "adapter": np.zeros_like(inputs["adapter"])}, wanted)

    def close(self) -> None:
        self._engine.close()


def test_an_adapter_that_is_not_heard_is_found(model: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, opens = GestureTextFolder(model), Bundle.engine
    assert rehearse(folder, bundle, rounded=False) >= 50

    def engine(self: Bundle, role: str, *rest: object) -> Engine:
        opened = opens(self, role, *rest)  # type: ignore[arg-type]
        return Deaf(opened) if role == "unet" else opened

    monkeypatch.setattr(Bundle, "engine", engine)
    with pytest.raises(UserError, match=r"all graphs together: the loop is [\d.]+ dB from torch"):
        rehearse(folder, bundle, rounded=False)


def test_what_does_not_fit_is_refused_before_anything_is_exported(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="this model draws 16 x 16 pixels"):
        Source(model, ExportOptions(size=(128, 128)))
    with pytest.raises(UserError, match="--lora, --preset: expected none"):
        Source(model, ExportOptions(loras=(LoraFile(tmp_path / "a.safetensors", 1.0),)))
    folder = GestureTextFolder(model)
    adapter = folder.settings.adapter.model_copy(update={"rank": 3})
    folder.settings = folder.settings.model_copy(update={"adapter": adapter})
    with pytest.raises(UserError, match=r"adapter\.values: expected"):
        part_makers(folder)


def test_a_gesture_without_adapter_is_told_of(tmp_path: Path) -> None:
    folder = write_tiny_gestures(tmp_path / "model", "ok")
    (folder / "gestures" / "ok" / "adapter" / "adapter_config.json").unlink()
    (line,) = Source(folder, ExportOptions()).warnings
    assert line.startswith("gesture ok: no adapter was tuned")
    array = np.load(io.BytesIO(Source(folder, ExportOptions()).assets["gesture_ok"][1]))
    assert array.dtype == np.float16 and not array[-GestureTextFolder(folder).settings.adapter.values :].any()
    assert json.loads((folder / "settings.json").read_text())["gestures"][0]["name"] == "ok"


def test_numbers_that_half_precision_cannot_hold_are_refused(tmp_path: Path) -> None:
    folder = write_tiny_gestures(tmp_path / "model", "ok")
    np.save(folder / "gestures" / "ok" / "feature.npy", np.full(63, 1e5, np.float32))
    with pytest.raises(UserError, match=r"gesture ok: expected numbers that float16 can hold, got 1e\+05"):
        _ = Source(folder, ExportOptions()).assets
    assert len(Source(folder, ExportOptions("x", "float32")).assets) == 1
