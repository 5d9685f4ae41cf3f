"""A trained two-stage model as export sees it; see `Source` in export/systems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from handfirst.engines.bundle import Bundle
from handfirst.export.options import ExportOptions
from handfirst.export.part import Part, PartMaker
from handfirst.export.systems.two_stage.decisions import decisions
from handfirst.export.systems.two_stage.loras import Merged
from handfirst.export.systems.two_stage.parts import part_makers, preview_decoder
from handfirst.export.systems.two_stage.presets import few_steps
from handfirst.export.systems.two_stage.rehearsal import rehearse
from handfirst.export.systems.two_stage.sizes import chosen, free_canvas
from handfirst.runtime.systems.two_stage.roles import PREVIEW
from handfirst.runtime.systems.two_stage.settings import TwoStageSettings
from handfirst.training.systems.two_stage.model_folder import ModelFolder


class Source:
    """A model folder (training/checkpoint.py) on the canvas that the options choose.

    Raises:
        UserError: it is none, or the options do not fit it.
    """

    assets: Mapping[str, tuple[str, bytes]] = MappingProxyType({})

    def __init__(self, folder: Path, options: ExportOptions) -> None:
        self._model = ModelFolder(folder)
        settings = chosen(options, self._model.settings)
        if options.preset is not None:
            defaults = few_steps(settings.defaults, options.preset, options.lora_stage)
            settings = settings.model_copy(update={"defaults": defaults})
        self._model.settings = settings
        self._options = options
        self._merged = Merged(self._model, options.loras, options.lora_stage)

    @property
    def settings(self) -> TwoStageSettings:
        """What the model is."""
        return self._model.settings

    @property
    def training(self) -> dict[str, Any]:
        """What the weights cost, and what was merged into them."""
        return self._model.training | ({"loras": self._merged.told()} if self._options.loras else {})

    @property
    def warnings(self) -> Sequence[str]:
        """Of LoRA files that may not suit the networks."""
        return self._merged.warnings

    @property
    def tokenizer(self) -> bytes:
        """Its `tokenizer.json`."""
        return self._model.tokenizer.to_str().encode()

    def parts(self) -> dict[str, PartMaker]:
        """By role, with the sizes that the settings promise."""
        makers = part_makers(self._merged)
        if (path := self._options.preview) is not None:
            makers[PREVIEW] = partial(preview_decoder, path, self.settings.latent)
        return {role: partial(_free, make, self.settings) for role, make in makers.items()}

    def decisions(self) -> dict[str, str]:
        """In words."""
        found = decisions(self.settings, self._options.weights, self._options.precision)
        return found | self._merged.decisions()

    def rehearse(self, bundle: Bundle) -> float:
        """One picture, two steps per stage."""
        return rehearse(self._merged, self.tokenizer, bundle, self._options.rounded)


def _free(make: PartMaker, settings: TwoStageSettings) -> Part:
    return free_canvas(make(), settings)
