"""The second system's networks in torch, and the folder that a trained model of it is."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from support.mosaic.runtime import CHANNELS, MosaicSettings
from torch import nn

from handfirst.engines.errors import UserError

PALETTE = b'{"red": [255, 0, 0], "blue": [0, 0, 255], "grey": [128, 128, 128]}'


class Mixer(nn.Module):
    """A colour in [-1, 1], [B, 3] -> what the denoiser is told, [B, 4]."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.eye(CHANNELS, 3))
        self.bias = nn.Parameter(torch.tensor([0.0, 0.0, 0.0, 0.25]))

    def forward(self, colour):
        return colour @ self.weight.T + self.bias


class Denoiser(nn.Module):
    """x_0 = share x_t + context: what is asked for, and a little of what is there."""

    def __init__(self):
        super().__init__()
        self.share = nn.Parameter(torch.tensor(0.125))

    def forward(self, sample, timestep, context):
        return self.share * sample + context[:, :, None, None] + 0 * timestep[:, None, None, None].float()


class Networks(nn.Module):
    def __init__(self):
        super().__init__()
        self.mixer, self.denoiser = Mixer(), Denoiser()

    def forward(self, x_t, t, colour):
        return self.denoiser(x_t, t, self.mixer(colour))


def save(folder: Path, networks: Networks, settings: MosaicSettings, training: dict) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "system").write_text("mosaic\n")
    (folder / "palette.json").write_bytes(PALETTE)
    (folder / "training.json").write_text(json.dumps(training))
    save_file({name: tensor.detach().clone() for name, tensor in networks.state_dict().items()}, folder / "weights")
    (folder / "settings.json").write_text(settings.model_dump_json())
    return folder


def load(folder: Path) -> tuple[Networks, MosaicSettings, dict]:
    if not (folder / "settings.json").is_file():
        raise UserError(f"{folder}: not a trained model (no settings.json)")
    networks = Networks()
    networks.load_state_dict(load_file(folder / "weights"))
    settings = MosaicSettings.model_validate_json((folder / "settings.json").read_text())
    return networks, settings, json.loads((folder / "training.json").read_text())
