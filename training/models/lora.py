"""Low-rank adapters (LoRA, arXiv 2106.09685) as people share them: one file, read under any of its names, and merged.

kohya's and SGM's names, diffusers' old and new ones and peft's are written with underscores for dots and looked up
among the names of a network's own layers (lora_names.py): underscores tell no longer where dots were, so nothing is
parsed. Whatever is not understood is refused by its name. Knows nothing about model folders, or about training
(adapters.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from handfirst.engines.errors import UserError
from handfirst.engines.files import sha256
from handfirst.training.models.adapters import CONFIG
from handfirst.training.models.lora_names import Target, layers_by_name, spoken
from handfirst.training.pretrained.weights import read_metadata, read_weights

_FACTOR = re.compile(
    r"(?P<name>.+?)(_lora|\.lora|\.lora_linear_layer)?\.(lora_(?P<long>down|up|A|B)|(?P<short>down|up))(\.default)?\.weight"
)
_ALPHA = re.compile(r"(?P<name>.+)\.alpha")
_DORA = ("dora_scale", "lora_magnitude_vector", "lora_magnitude_vector.weight", "lora_magnitude_vector.default.weight")
SHOWN = 3
"""Names in a message."""


@dataclass(frozen=True)
class LoraFile:
    """A file of somebody's, and how much of its change is wanted: 1 is all of it, less than 0 its opposite."""

    path: Path
    weight: float = 1.0

    @classmethod
    def read(cls, text: str) -> LoraFile:
        """FILE or FILE:WEIGHT.

        Raises:
            UserError: the weight is no number that makes sense.
        """
        file, colon, weight = text.rpartition(":")
        if not colon or Path(text).exists():
            return cls(Path(text))
        try:
            number = float(weight)
        except ValueError:
            raise UserError(f"--lora {text}: expected FILE or FILE:WEIGHT, such as style.safetensors:0.8") from None
        if not -10 <= number <= 10:
            raise UserError(f"--lora {text}: expected a weight from -10 to 10, got {weight}")
        return cls(Path(file), number)

    def __str__(self) -> str:
        return f"{self.path.name} (sha256 {sha256(self.path.read_bytes())[:12]}) x {self.weight:g}"


@dataclass(frozen=True, eq=False)
class Change:
    """Of one layer: scale x up down.

    Attributes:
        name: as the file writes it.
        down: [r, in] or [r, in, k, k]; up: [out, r] or [out, r, 1, 1].
        scale: alpha / r.
    """

    name: str
    down: Tensor
    up: Tensor
    scale: float

    def fits(self, weight: Tensor) -> bool:
        """Whether it changes such a weight, [out, in] or [out, in, k, k], or the first of its input channels."""
        out, into, *kernel = weight.shape
        rank = self.down.shape[0]
        kernels = self.down.shape[2:].numel() == torch.Size(kernel).numel() and self.up.shape[2:].numel() == 1
        return kernels and self.up.shape[:2] == (out, rank) and self.down.shape[1] <= into

    def delta(self, weight: Tensor) -> Tensor:
        """float32, like `weight`; zero for input channels that the file knows nothing of."""
        product = self.up.float().flatten(1) @ self.down.float().flatten(1)
        known = product.reshape(len(weight), self.down.shape[1], *weight.shape[2:])
        whole = torch.zeros(weight.shape)
        whole[:, : known.shape[1]] = self.scale * known
        return whole


def read_lora(file: Path) -> dict[Target, dict[str, Change]]:
    """The changes of a file: for the UNet and for the text encoder, by `lora_names.spoken` names.

    Without an alpha of its own a layer's is its rank, as diffusers and peft have it.

    Raises:
        UserError: it cannot be read, is no LoRA, or holds what a merge cannot keep (DoRA, other adapters).
    """
    tensors = read_weights(file)
    if dora := [name for name in tensors if name.rpartition(".")[2] in _DORA or name.endswith(_DORA)]:
        raise UserError(
            f"{file}: expected a plain LoRA, got DoRA ({len(dora)} magnitudes, such as {dora[0]}), which is not merged "
            "here; merge it with the program that made it, and give the checkpoint to handfirst init"
        )
    factors: dict[str, dict[str, Tensor]] = {}
    unknown = []
    for name, tensor in tensors.items():
        if match := _FACTOR.fullmatch(name):
            side = match["long"] or match["short"]
            factors.setdefault(match["name"], {})[{"A": "down", "B": "up"}.get(side, side)] = tensor
        elif match := _ALPHA.fullmatch(name):
            factors.setdefault(match["name"], {})["alpha"] = tensor
        else:
            unknown.append(name)
    halves = [name for name, found in factors.items() if not found.keys() >= {"down", "up"}]
    if unknown or halves or not factors:
        raise UserError(
            f"{file}: expected a LoRA, two factors for every layer, got {_some(unknown or halves or ['nothing'])}; "
            "give a LoRA under kohya's, diffusers' or peft's names"
        )
    for name, found in factors.items():
        if any(found[side].dim() < 2 or not found[side].numel() for side in ("down", "up")):
            shapes = [list(found[side].shape) for side in ("down", "up")]
            raise UserError(
                f"{file}: {name}: expected factors [rank, in] and [out, rank], got {shapes[0]} and {shapes[1]}"
            )
        if "alpha" in found and found["alpha"].numel() != 1:
            raise UserError(f"{file}: {name}.alpha: expected one number, got {list(found['alpha'].shape)}")
    alphas = _Alphas(file)
    changes: dict[Target, dict[str, Change]] = {"unet": {}, "text": {}}
    for name, found in factors.items():
        target, key = spoken(name)
        if key in changes[target]:
            raise UserError(f"{file}: expected every layer once, got {name} under two names")
        changes[target][key] = Change(name, found["down"], found["up"], alphas.scale(name, found))
    return changes


class _Alphas:
    """What a file, or the adapter_config.json beside one of peft's, says of its alphas."""

    def __init__(self, file: Path) -> None:
        self._file = file
        said = read_metadata(file).get("lora_adapter_metadata")
        beside = file.with_name(CONFIG)
        self._said: dict[str, Any] | None = None
        try:
            if said is not None:
                self._said = dict(json.loads(said))
            elif beside.is_file():
                self._said = dict(json.loads(beside.read_bytes()))
        except ValueError as error:
            raise UserError(f"{file}: expected the LoRA's settings as JSON, got what is none ({error})") from error

    def scale(self, name: str, found: Mapping[str, Tensor]) -> float:
        """alpha / rank of a layer."""
        rank = found["down"].shape[0]
        if "alpha" in found:
            return float(found["alpha"]) / rank
        if name.startswith("base_model.") and self._said is None:
            raise UserError(
                f"{self._file}: expected {CONFIG} beside it, which holds the alpha of peft's adapters; put it there"
            )
        said = self._of(name)
        patterns = dict(said.get("alpha_pattern") or {})
        own = (value for key, value in patterns.items() if re.fullmatch(rf"(.*\.)?{key}", name))
        alpha = float(next(own, said.get("lora_alpha", rank)))
        if said.get("use_dora") or said.get("fan_in_fan_out"):
            raise UserError(f"{self._file}: expected a plain LoRA, got one with use_dora or fan_in_fan_out")
        return alpha / (sqrt(rank) if said.get("use_rslora") else rank)

    def _of(self, name: str) -> dict[str, Any]:
        """diffusers writes the settings of every network under its name."""
        said = self._said or {}
        prefix = f"{name.partition('.')[0]}."
        own = {key.removeprefix(prefix): value for key, value in said.items() if key.startswith(prefix)}
        return own or said


def fitted(network: nn.Module, target: Target, file: LoraFile) -> list[tuple[str, Change]]:
    """Every change of a file for such a network, with the name of the layer that it changes.

    Args:
        network: may lie on torch's meta device.

    Raises:
        UserError: the file has a layer that the network lacks, or one of another size.
    """
    known = layers_by_name(network, target)
    changes = read_lora(file.path)[target]
    if strangers := [change.name for key, change in changes.items() if key not in known]:
        raise UserError(
            f"{file.path}: expected layers of a Stable Diffusion 1.x {_CALLED[target]}, got {_some(strangers)}; give a "
            "LoRA that was made for this model"
        )
    found = [(known[key], change) for key, change in changes.items()]
    for layer, change in found:
        weight = _weight(network, layer)
        if not change.fits(weight):
            raise UserError(
                f"{file.path}: {change.name}: expected factors of {list(weight.shape)}, got {list(change.up.shape)} "
                f"and {list(change.down.shape)}; give a LoRA that was made for this model"
            )
    return found


@torch.no_grad()
def merge(network: nn.Module, target: Target, files: tuple[LoraFile, ...]) -> None:
    """Adds what the files change to the network's float32 weights, in place; raises as `fitted`."""
    for file in files:
        for layer, change in fitted(network, target, file):
            weight = _weight(network, layer)
            weight += file.weight * change.delta(weight)


def narrow(network: nn.Module, target: Target, file: LoraFile) -> Iterator[str]:
    """Names of layers with more input channels than the file knows of."""
    for layer, change in fitted(network, target, file):
        if change.down.shape[1] < _weight(network, layer).shape[1]:
            yield layer


def _weight(network: nn.Module, layer: str) -> Tensor:
    """Of a linear layer or convolution."""
    weight = network.get_submodule(layer).weight
    assert isinstance(weight, Tensor)
    return weight


_CALLED: dict[Target, Literal["UNet", "text encoder"]] = {"unet": "UNet", "text": "text encoder"}


def _some(names: list[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(name[:100] for name in names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
