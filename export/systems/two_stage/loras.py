"""LoRA files in the networks of a two-stage model: merged as each network is read, checked before anything is exported.

Knows nothing about what a file's layers are called (training/models/lora.py), or about presets.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from torch import nn

from handfirst.engines.errors import one_line
from handfirst.engines.files import sha256
from handfirst.export.options import LoraStage
from handfirst.runtime.systems.two_stage.settings import TwoStageSettings
from handfirst.training.models.lora import LoraFile, fitted, merge, narrow
from handfirst.training.models.lora_names import Target
from handfirst.training.systems.two_stage.model_folder import ModelFolder, NetworkName

LONGEST_LINE = 2000
"""Of what a manifest says in words; `told` holds all of it."""
CALLED: dict[NetworkName, str] = {"base": "body UNet", "hand": "hand UNet", "text_encoder": "text encoder"}


class Merged:
    """A ModelFolder whose networks hold LoRA files.

    Args:
        stage: whose UNet they change; what a file has for the text encoder serves both.

    Attributes:
        warnings: what whoever exports should know, a line each.

    Raises:
        UserError: a file cannot be read, or does not fit.
    """

    def __init__(self, model: ModelFolder, files: Sequence[LoraFile], stage: LoraStage) -> None:
        self._model, self._files, self._stage = model, tuple(files), stage
        self._layers: list[dict[NetworkName, int]] = []
        self.warnings: list[str] = []
        if self._files:
            outlines = {name: _changed(model.outline(name), name) for name in self._networks}
            for file in self._files:
                self._check(file, outlines)

    @property
    def settings(self) -> TwoStageSettings:
        """The model's own."""
        return self._model.settings

    def network(self, name: NetworkName) -> Any:
        """As the folder's, with the files in its weights."""
        network = self._model.network(name)
        if name in self._networks:
            merge(_changed(network, name), _target(name), self._files)
        return network

    def outline(self, name: NetworkName) -> Any:
        """As the folder's."""
        return self._model.outline(name)

    def told(self) -> list[dict[str, Any]]:
        """What a manifest says of the files: name, hash, weight, and how many layers of what they changed."""
        return [
            {
                "file": file.path.name,
                "sha256": sha256(file.path.read_bytes()),
                "weight": file.weight,
                "layers": {CALLED[name]: count for name, count in layers.items()},
            }
            for file, layers in zip(self._files, self._layers, strict=True)
        ]

    def decisions(self) -> dict[str, str]:
        """The same in words; nothing where there are no files."""
        said = [
            f"{file} in " + ", ".join(f"the {CALLED[name]} (layers: {count})" for name, count in layers.items())
            for file, layers in zip(self._files, self._layers, strict=True)
        ]
        return {"loras": one_line("merged in this order: " + "; ".join(said))[:LONGEST_LINE]} if said else {}

    @property
    def _networks(self) -> tuple[NetworkName, ...]:
        return ("base", "text_encoder") if self._stage == "body" else ("base", "hand", "text_encoder")

    def _check(self, file: LoraFile, outlines: dict[NetworkName, nn.Module]) -> None:
        found = {name: len(fitted(network, _target(name), file)) for name, network in outlines.items()}
        self._layers.append({name: count for name, count in found.items() if count})
        for name in outlines:
            if layers := list(narrow(outlines[name], _target(name), file)):
                self.warnings.append(
                    f"{file.path.name} was made for fewer input channels than {layers[0]} of the {CALLED[name]} has: "
                    "the others stay as they are"
                )
        if "hand" in self._layers[-1]:
            own, usual = (_input_channels(outlines[name]) for name in ("hand", "base"))
            if own != usual:
                self.warnings.append(
                    f"{file.path.name} changes the hand UNet, which has {own} input channels; LoRA files are made for "
                    f"{usual}: look at its hands, or leave it to the body (--lora-stage body)"
                )
        if self._stage == "body" and "text_encoder" in self._layers[-1]:
            self.warnings.append(
                f"{file.path.name} also changes the text encoder, through which the words of the hands go as well"
            )


def _input_channels(unet: nn.Module) -> int:
    first = unet.get_submodule("conv_in")
    assert isinstance(first, nn.Conv2d)
    return first.in_channels


def _target(name: NetworkName) -> Target:
    return "text" if name == "text_encoder" else "unet"


def _changed(network: Any, name: NetworkName) -> nn.Module:
    """What a file's names are names in: of the hand generator the UNet, with its conv_out back in its place."""
    if name != "hand":
        assert isinstance(network, nn.Module)
        return network
    shell: nn.Module = copy.copy(network.unet)
    shell._modules = dict(network.unet._modules)
    shell.conv_out = network.conv_out
    return shell
