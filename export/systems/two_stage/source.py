"""A trained two-stage model as export sees it; see `Source` in export/systems."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from handfirst.engines.bundle import Bundle
from handfirst.export.options import ExportOptions
from handfirst.export.part import Part, PartMaker
from handfirst.export.systems.two_stage.decisions import decisions
from handfirst.export.systems.two_stage.parts import part_makers
from handfirst.export.systems.two_stage.rehearsal import rehearse
from handfirst.export.systems.two_stage.sizes import chosen, free_canvas
from handfirst.runtime.systems.two_stage.settings import TwoStageSettings
from handfirst.training.systems.two_stage.model_folder import ModelFolder


class Source:
    """A model folder (training/checkpoint.py) on the canvas that the options choose."""

    assets: Mapping[str, tuple[str, bytes]] = MappingProxyType({})

    def __init__(self, folder: Path, options: ExportOptions) -> None:
        self._model = ModelFolder(folder)
        self._model.settings = chosen(options, self._model.settings)
        self._options = options

    @property
    def settings(self) -> TwoStageSettings:
        """What the model is."""
        return self._model.settings

    @property
    def training(self) -> dict[str, Any]:
        """What the weights cost."""
        return self._model.training

    @property
    def tokenizer(self) -> bytes:
        """Its `tokenizer.json`."""
        return self._model.tokenizer.to_str().encode()

    def parts(self) -> dict[str, PartMaker]:
        """By role, with the sizes that the settings promise."""
        return {role: partial(_free, make, self.settings) for role, make in part_makers(self._model).items()}

    def decisions(self) -> dict[str, str]:
        """In words."""
        return decisions(self.settings, self._options.weights, self._options.precision)

    def rehearse(self, bundle: Bundle) -> float:
        """One picture, two steps per stage."""
        return rehearse(self._model, self.tokenizer, bundle, self._options.rounded)


def _free(make: PartMaker, settings: TwoStageSettings) -> Part:
    return free_canvas(make(), settings)
