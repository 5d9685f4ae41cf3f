"""RealisHuman's public layout, narrow: every tensor ends where it belongs, and what is missing is named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from support.original_layout import networks, original_checkpoint, write_tokenizer
from support.realishuman_layout import (
    pose_guider,
    stage1_weights,
    unet_of,
    write_bases,
    write_checkpoint,
    write_dino,
)
from torch import nn

from handfirst.engines.errors import UserError
from handfirst.runtime.cli.main import main
from handfirst.runtime.diffusion.settings import ScheduleSettings
from handfirst.training.pretrained.realishuman import read_dino, write_refiner
from handfirst.training.pretrained.realishuman_places import Places, find_places
from handfirst.training.systems.part_refiner.model_folder import PartRefinerFolder
from handfirst.training.systems.part_refiner.networks import fix_positions


def layout(folder: Path, wrapped: bool = True, old: bool = True) -> dict[str, nn.Module]:
    """Both checkpoints and the base models; what is in the checkpoints."""
    torch.manual_seed(0)
    parts: dict[str, nn.Module] = {
        "main_unet": unet_of(1), "reference_unet": unet_of(2), "pose_guider": pose_guider(),
        "projector": nn.Sequential(nn.LayerNorm(48), nn.Linear(48, 64)), "inpaint_unet": unet_of(8, inputs=9),
    }  # fmt: skip
    nn.init.normal_(parts["projector"][0].weight)
    first = stage1_weights(*(parts[name] for name in ("main_unet", "reference_unet", "pose_guider", "projector")))
    write_checkpoint(folder / "checkpoint" / "stage1_hand" / "checkpoint-stage1-hand.ckpt", first, wrapped)
    second = {f"unet_main.{name}": value for name, value in parts["inpaint_unet"].state_dict().items()}
    write_checkpoint(folder / "checkpoint" / "stage2_hand" / "checkpoint-stage2-hand.ckpt", second, wrapped)
    write_bases(folder, old)
    return parts


def same(found: nn.Module, expected: nn.Module) -> None:
    got, wanted = found.state_dict(), expected.state_dict()
    assert got.keys() == wanted.keys()
    assert all(torch.equal(got[name], value) for name, value in wanted.items())


@pytest.mark.parametrize(("wrapped", "old"), [(True, True), (False, False)], ids=["module., old names", "bare, new"])
def test_the_public_layout(wrapped: bool, old: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts = layout(tmp_path / "public", wrapped, old)
    assert main(["init", "realishuman", str(tmp_path / "public"), str(tmp_path / "model")]) == 0
    assert "note" not in capsys.readouterr().err
    model = PartRefinerFolder(tmp_path / "model")
    for name in ("main_unet", "reference_unet", "pose_guider", "inpaint_unet"):
        same(model.network(name), parts[name])  # type: ignore[arg-type]
    image = model.network("image_encoder")
    same(image.projector, parts["projector"])
    same(image.encoder, write_dino(tmp_path / "again", old=False))
    _, vae, _, _ = networks(seed=4)
    same(model.network("autoencoder").model, vae)
    _, _, text, _ = networks(seed=5)
    same(model.network("text_encoder"), text)
    settings = model.settings
    assert settings.schedule == ScheduleSettings(zero_snr=True)
    assert (settings.image_encoder.size, settings.image_encoder.tokens, settings.image_encoder.width) == (224, 257, 64)
    assert settings.part.size == 512 and list(settings.part.kinds) == ["hand"] and settings.text is not None


def test_without_checkpoints_the_base_models_begin(tmp_path: Path) -> None:
    write_bases(tmp_path / "public", old_dino=True)
    places = find_places(tmp_path / "public", "face", Places())
    notes = write_refiner(places, "face", 0, tmp_path / "model")
    assert len(notes) == 2 and all("no checkpoint" in note for note in notes)
    model = PartRefinerFolder(tmp_path / "model")
    base, _, _, _ = networks(seed=3)
    same(model.network("main_unet"), base)
    same(model.network("reference_unet"), base)
    same(model.network("inpaint_unet"), unet_of(6, inputs=9))
    assert list(model.settings.part.kinds) == ["face"]
    assert model.settings.part.kinds["face"].mask_threshold == 0.2


def test_an_inpainting_checkpoint_in_one_file(tmp_path: Path) -> None:
    write_bases(tmp_path / "public", old_dino=True)
    _, vae, text, _ = networks(seed=9)
    unet = unet_of(10, inputs=9)
    file = tmp_path / "inpainting.safetensors"
    save_file(original_checkpoint(unet, vae, text), file)
    given = Places(inpainting=file)
    with pytest.raises(UserError, match=r"a single file carries no tokenizer; give one with --tokenizer"):
        write_refiner(find_places(tmp_path / "public", "hand", given), "hand", 0, tmp_path / "model")
    assert not list(tmp_path.glob("*model*"))
    given = Places(inpainting=file, tokenizer=write_tokenizer(tmp_path / "tokenizer"))
    write_refiner(find_places(tmp_path / "public", "hand", given), "hand", 0, tmp_path / "model")
    model = PartRefinerFolder(tmp_path / "model")
    same(model.network("inpaint_unet"), unet)
    same(model.network("text_encoder"), text)


def test_positions_shrink_as_the_encoder_interpolates_them(tmp_path: Path) -> None:
    whole = write_dino(tmp_path / "dino", old=True)
    found = fix_positions(read_dino(tmp_path / "dino"), 28)
    assert found.embeddings.position_embeddings.shape == (1, 5, 48)
    picture = torch.randn(2, 3, 28, 28)
    with torch.no_grad():
        expected = whole(pixel_values=picture).last_hidden_state
        torch.testing.assert_close(found(pixel_values=picture).last_hidden_state, expected, rtol=1e-5, atol=1e-6)


def test_what_is_missing_or_wrong_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected a folder with RealisHuman's checkpoints, found nothing"):
        find_places(tmp_path / "nothing", "hand", Places())
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"expected checkpoint-stage1-hand\.ckpt, or a Stable Diffusion 1\.x folder"):
        find_places(tmp_path / "empty", "hand", Places())
    write_bases(tmp_path / "public", old_dino=True)
    plain = tmp_path / "public" / "pretrained_models" / "RV" / "rv-5-1"
    with pytest.raises(UserError, match="input channels of the UNet: expected 9, got 4"):
        places = find_places(tmp_path / "public", "hand", Places(inpainting=plain))
        write_refiner(places, "hand", 0, tmp_path / "model")
    shutil.copytree(plain, plain.with_name("sd-1-5"))
    places = find_places(tmp_path / "public", "hand", Places())
    assert places.base == plain and len(places.notes) == 1
    assert "2 of the kind 'base'" in places.notes[0] and "rv-5-1 is taken; --base chooses another" in places.notes[0]
    chosen = find_places(tmp_path / "public", "hand", Places(base=plain.with_name("sd-1-5")))
    assert chosen.base == plain.with_name("sd-1-5") and not chosen.notes
    file = tmp_path / "public" / "checkpoint-stage1-hand.ckpt"
    write_checkpoint(file, {"unet_main.conv_in.weight": torch.zeros(1)}, wrapped=True)
    with pytest.raises(UserError, match=r"checkpoint-stage1-hand\.ckpt: not RealisHuman's stage 1 \(clip_projector"):
        write_refiner(find_places(tmp_path / "public", "hand", Places()), "hand", 0, tmp_path / "model")
    assert not list(tmp_path.glob("*model*"))
