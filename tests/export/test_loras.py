"""LoRA files at export: in which networks they are, what the manifest says of them, presets, what is refused."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from handfirst.engines.bundle import Bundle
from handfirst.engines.errors import UserError
from handfirst.export import bundle_writer
from handfirst.export.options import ExportOptions, Preset
from handfirst.export.systems.two_stage.presets import few_steps
from handfirst.export.systems.two_stage.source import Source
from handfirst.runtime.cli.main import main
from handfirst.runtime.systems.two_stage.settings import Defaults
from handfirst.training.models.lora import LoraFile
from handfirst.training.systems.two_stage.model_folder import ModelFolder

CONV = "down_blocks.0.resnets.0.conv1"
QUERY = "text_model.encoder.layers.0.self_attn.q_proj"


def lora(file: Path, **shapes: tuple[int, ...]) -> LoraFile:
    """Random factors of rank 2 for weights [out, in, ...], by kohya's names; alpha 1."""
    random, made = torch.Generator().manual_seed(3), {}
    for name, (out, into, *kernel) in shapes.items():
        made[f"{name}.lora_down.weight"] = torch.randn(2, into, *kernel, generator=random)
        made[f"{name}.lora_up.weight"] = torch.randn(out, 2, *(1 for _ in kernel), generator=random)
        made[f"{name}.alpha"] = torch.tensor(1.0)
    save_file(made, file)
    return LoraFile(file, 0.5)


@pytest.fixture
def body(tmp_path: Path) -> LoraFile:
    """For a convolution that both UNets have, and the text encoder's attention."""
    names = {f"lora_unet_{CONV}".replace(".", "_"): (16, 16, 3, 3), f"lora_te_{QUERY}".replace(".", "_"): (32, 32)}
    return lora(tmp_path / "body.safetensors", **names)


def change(file: LoraFile, name: str, shape: torch.Size) -> Tensor:
    """weight x alpha / rank x up down, one kernel position after the other."""
    from safetensors.torch import load_file

    held = load_file(file.path)
    up, down = (held[f"{name}.lora_{side}.weight"].flatten(1) for side in ("up", "down"))
    return (file.weight * 1.0 / 2) * (up @ down).reshape(shape)


@pytest.mark.parametrize("stage", ["body", "both"])
def test_networks_of_a_source_hold_the_file_and_others_do_not(model_folder: Path, body: LoraFile, stage: Any) -> None:
    plain, source = ModelFolder(model_folder), Source(model_folder, ExportOptions(loras=(body,), lora_stage=stage))
    merged = source._merged
    for name, layer, called in (
        ("base", CONV, f"lora_unet_{CONV}"), ("hand", f"unet.{CONV}", f"lora_unet_{CONV}"),
        ("text_encoder", None, f"lora_te_{QUERY}"), ("controlnet", None, ""),
    ):  # fmt: skip
        before, after = plain.network(name).state_dict(), merged.network(name).state_dict()  # type: ignore[arg-type]
        changed = [key for key in before if not torch.equal(before[key], after[key])]
        if name == "controlnet" or (name, stage) == ("hand", "body"):
            assert not changed
            continue
        (key,) = changed
        assert key == f"{layer}.weight" if layer else key.endswith("layers.0.self_attn.q_proj.weight")
        wanted = before[key] + change(body, called.replace(".", "_"), before[key].shape)
        torch.testing.assert_close(after[key], wanted)


def test_the_manifest_says_which_files_are_in_it(
    model_folder: Path, body: LoraFile, two_parts: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of two graphs: what the text encoder gives is compared with torch at export, its LoRA included."""
    heard: list[str] = []
    options = ExportOptions("merged", loras=(body,))
    bundle_writer.export_bundle(model_folder, tmp_path / "bundle", options, warn=heard.append)
    manifest = Bundle.open(tmp_path / "bundle").manifest
    assert manifest.training["loras"] == [
        {
            "file": "body.safetensors",
            "sha256": hashlib.sha256(body.path.read_bytes()).hexdigest(),
            "weight": 0.5,
            "layers": {"body UNet": 1, "text encoder": 1},
        }
    ]
    said = manifest.decisions["loras"]
    assert "body.safetensors (sha256 " in said
    assert said.endswith("x 0.5 in the body UNet (layers: 1), the text encoder (layers: 1)")
    compare = ["compare", str(tmp_path / "bundle"), str(model_folder), "--role", "text_encoder"]
    assert main(compare) == 2
    assert "expected those that the bundle was exported with, body.safetensors:0.5" in capsys.readouterr().err
    assert main([*compare, "--lora", f"{body.path}:0.5"]) == 0
    (line,) = heard
    assert "text encoder, through which the words of the hands go" in line


def test_the_hand_unet_has_other_channels_and_that_is_said(model_folder: Path, tmp_path: Path) -> None:
    """4 latent channels and 44 of key points: a file for four changes the first four, and conv_out is in its place."""
    file = lora(tmp_path / "a", lora_unet_conv_in=(16, 4, 3, 3), lora_unet_conv_out=(4, 16, 3, 3))
    source = Source(model_folder, ExportOptions(loras=(file,), lora_stage="both"))
    first, second = source.warnings
    assert "fewer input channels than conv_in of the hand UNet" in first
    assert (
        "hand UNet, which has 48 input channels; LoRA files are made for 4" in second and "--lora-stage body" in second
    )
    plain, merged = ModelFolder(model_folder).network("hand"), source._merged.network("hand")
    moved = merged.unet.conv_in.weight - plain.unet.conv_in.weight
    wanted = change(file, "lora_unet_conv_in", torch.Size([16, 4, 3, 3]))
    torch.testing.assert_close(moved[:, :4], wanted, atol=1e-6, rtol=1e-4)
    assert not moved[:, 4:].any()
    wanted = plain.conv_out.weight + change(file, "lora_unet_conv_out", plain.conv_out.weight.shape)
    torch.testing.assert_close(merged.conv_out.weight, wanted)
    assert not Source(model_folder, ExportOptions(loras=(file,))).warnings


def test_a_file_that_does_not_fit_is_said_before_anything_is_exported(model_folder: Path, tmp_path: Path) -> None:
    file = lora(tmp_path / "a", lora_unet_up_blocks_9_resnets_0_conv1=(16, 16, 3, 3))
    with pytest.raises(UserError, match=r"expected layers of a Stable Diffusion 1\.x UNet, got lora_unet_up_blocks_9"):
        Source(model_folder, ExportOptions(loras=(file,)))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--lora", "nowhere.safetensors"], "nowhere.safetensors: no such file"),
        (["--lora", "a.safetensors:much"], "expected FILE or FILE:WEIGHT"),
        (
            ["--preset", "turbo"],
            "--preset: expected lcm or hyper-sd, with steps from 1 to 8 such as lcm:4, got 'turbo'",
        ),
        (["--preset", "lcm:9"], "got 'lcm:9'"),
        (["--preset", "lcm:"], "got 'lcm:'"),
        (["--lora-stage", "hands"], "'hands' is not one of"),
    ],
)
def test_wrong_options_are_one_line(
    options: list[str], said: str, model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(model_folder), str(tmp_path / "out"), *options, "--quiet"]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "stage", "wanted"),
    [
        ("lcm:4", "body", Defaults(steps=4, solver="lcm", guidance=1.5, hand_steps=30, hand_solver="ddim")),
        ("lcm", "both", Defaults(steps=8, solver="lcm", guidance=1.5, hand_guidance=1.5)),
        (
            "hyper-sd:2",
            "body",
            Defaults(steps=2, solver="ddim-trailing", guidance=1, hand_steps=30, hand_solver="ddim"),
        ),
        ("hyper-sd", "both", Defaults(steps=8, solver="ddim-trailing", guidance=1, hand_guidance=1)),
    ],
)
def test_presets(text: str, stage: Any, wanted: Defaults, model_folder: Path) -> None:
    assert few_steps(Defaults(steps=30), Preset.read(text), stage) == wanted
    settings = Source(model_folder, ExportOptions(preset=Preset.read(text), lora_stage=stage)).settings
    assert (settings.defaults.solver, settings.defaults.steps) == (wanted.solver, wanted.steps)
    assert settings.defaults.hand_steps == (None if stage == "both" else 4)  # what the model was saved with
