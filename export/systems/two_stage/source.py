"""A trained two-stage model as export sees it; see `Source` in export/systems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from handfirst.engines.bundle import Bundle
from handfirst.export.gestures import gesture_asset
from handfirst.export.options import ExportOptions
from handfirst.export.part import Part, PartMaker
from handfirst.export.systems.two_stage.decisions import decisions
from handfirst.export.systems.two_stage.loras import Merged
from handfirst.export.systems.two_stage.parts import part_makers, preview_decoder
from handfirst.export.systems.two_stage.presets import few_steps
from handfirst.export.systems.two_stage.rehearsal import rehearse
from handfirst.export.systems.two_stage.sizes import chosen, free_canvas
from handfirst.runtime.diffusion.gesture import asset
from handfirst.runtime.systems.two_stage.roles import PREVIEW
from handfirst.runtime.systems.two_stage.settings import TwoStageSettings
from handfirst.training.gestures.folder import has_fusion, read_numbers
from handfirst.training.systems.two_stage.model_folder import ModelFolder


class Source:
    """A model folder (training/checkpoint.py) on the canvas that the options choose.

    Raises:
        UserError: it is none, or the options do not fit it.
    """

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
    def assets(self) -> Mapping[str, tuple[str, bytes]]:
        """A file for every gesture: its feature and its fusion; raises a UserError where half precision cannot hold
        them."""
        weights, folder, text = self._options.weights, self._model.folder, self.settings.text
        values = {each.name: read_numbers(folder, each, text).numpy() for each in self.settings.gestures}
        return {asset(name): gesture_asset(name, numbers, weights) for name, numbers in values.items()}

    @property
    def warnings(self) -> Sequence[str]:
        """Of LoRA files that may not suit the networks, and of gestures that were not trained to the end."""
        idle = [each.name for each in self.settings.gestures if not has_fusion(self._model.folder, each)]
        return (
            *self._merged.warnings,
            *(f"gesture {name}: no fusion was trained with these hands; its words alone are heard" for name in idle),
        )

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
