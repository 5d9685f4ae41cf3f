"""TAESD's decoder in its real layout with random weights, from every kind of file, against AutoencoderTiny."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderTiny
from safetensors.torch import save_file

from handfirst.engines.errors import UserError
from handfirst.training.pretrained.tiny_decoder import read_tiny_decoder


@pytest.fixture(scope="module")
def taesd() -> AutoencoderTiny:
    """Its class' own defaults are TAESD's layout: 64 channels, blocks 3, 3, 3, 1."""
    torch.manual_seed(0)
    return AutoencoderTiny().eval()


def authors(taesd: AutoencoderTiny, prefix: str = "") -> dict[str, torch.Tensor]:
    """The decoder's tensors as its author numbers them: a clamp comes first, which has no weights."""
    made = {}
    for name, value in taesd.decoder.state_dict().items():
        _, number, rest = name.split(".", 2)
        made[f"{prefix}{int(number) + 1}.{rest}"] = value.contiguous()
    return made


def write(kind: str, taesd: AutoencoderTiny, folder: Path) -> Path:
    file = folder / f"{kind}.safetensors"
    if kind == "folder":
        taesd.save_pretrained(folder / kind)
        return folder / kind
    if kind == "whole":
        save_file({name: value.contiguous() for name, value in taesd.state_dict().items()}, file)
    elif kind == "decoder":
        save_file(authors(taesd), file)
    elif kind == "both halves":
        save_file(authors(taesd, "decoder.") | {"encoder.0.weight": torch.zeros(2)}, file)
    elif kind == "half precision":
        save_file({name: value.half() for name, value in authors(taesd).items()}, file)
    else:
        file = folder / "taesd_decoder.pth"
        torch.save(authors(taesd), file)
    return file


@pytest.mark.parametrize("kind", ["folder", "whole", "decoder", "both halves", "pickled"])
def test_every_kind_of_file_decodes_as_diffusers_does(kind: str, taesd: AutoencoderTiny, tmp_path: Path) -> None:
    decoder = read_tiny_decoder(write(kind, taesd, tmp_path), 4)
    latents = 2 * torch.randn(2, 4, 5, 7)
    with torch.no_grad():
        expected = taesd.decode(latents).sample
        assert expected.shape == (2, 3, 40, 56)
        assert torch.equal(decoder(latents), expected)


def test_half_precision_is_widened(taesd: AutoencoderTiny, tmp_path: Path) -> None:
    decoder = read_tiny_decoder(write("half precision", taesd, tmp_path), 4)
    assert {parameter.dtype for parameter in decoder.parameters()} == {torch.float32}


def test_what_is_something_else_is_refused_in_a_line(taesd: AutoencoderTiny, tmp_path: Path) -> None:
    whole = write("decoder", taesd, tmp_path)
    with pytest.raises(UserError, match="expected a small decoder of 12 latent channels, got one of 4"):
        read_tiny_decoder(whole, 12)
    save_file({"model.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match="not TAESD's decoder; give"):
        read_tiny_decoder(tmp_path / "other.safetensors", 4)
    lacking = {name: value for name, value in authors(taesd).items() if not name.startswith("19.")}
    save_file(lacking, tmp_path / "lacking.safetensors")
    with pytest.raises(UserError, match=r"not TAESD's decoder .*; give"):
        read_tiny_decoder(tmp_path / "lacking.safetensors", 4)
    with pytest.raises(UserError, match="expected a diffusers folder of AutoencoderTiny"):
        read_tiny_decoder(tmp_path, 4)
    with pytest.raises(UserError, match="no such file"):
        read_tiny_decoder(tmp_path / "nothing.safetensors", 4)
