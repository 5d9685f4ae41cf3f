"""A model of gestures in words as export sees it; see `Source` in export/systems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from handfirst.engines.bundle import Bundle
from handfirst.export.gestures import gesture_asset
from handfirst.export.options import ExportOptions
from handfirst.export.part import PartMaker
from handfirst.export.source import FolderSource, refuse_loras, refuse_preview, refuse_sizes
from handfirst.export.systems.gesture_text.decisions import decisions
from handfirst.export.systems.gesture_text.parts import part_makers
from handfirst.export.systems.gesture_text.rehearsal import rehearse
from handfirst.runtime.diffusion.gesture import asset
from handfirst.runtime.systems.gesture_text.settings import GestureTextSettings
from handfirst.training.models.adapters import has_adapter
from handfirst.training.systems.gesture_text.model_folder import ADAPTER, GestureTextFolder


class Source(FolderSource[GestureTextFolder]):
    """A model folder (training/systems/gesture_text/model_folder.py).

    Raises:
        UserError: no such model, or a size, a LoRA, a preset or a preview is asked for.
    """

    def __init__(self, folder: Path, options: ExportOptions) -> None:
        super().__init__(GestureTextFolder(folder), options)
        refuse_sizes(options, f"this model draws {self.settings.size} x {self.settings.size}")
        refuse_loras(options, "a model of gestures in words, whose gestures have adapters of their own")
        refuse_preview(options, "a model of gestures in words")

    @property
    def settings(self) -> GestureTextSettings:
        """What the model is."""
        return self._model.settings

    @property
    def assets(self) -> Mapping[str, tuple[str, bytes]]:
        """A file for every gesture: its feature, its fusion and its adapter; raises a UserError where half precision
        cannot hold them."""
        weights = self._options.weights
        return {asset(name): gesture_asset(name, self._model.values(name), weights) for name in self.settings.names}

    @property
    def warnings(self) -> Sequence[str]:
        """Gestures that were not trained to the end."""
        return tuple(
            f"gesture {name}: no adapter was tuned; its pictures are the base model's, with another embedding at most"
            for name in self.settings.names
            if not has_adapter(self._model.place(name) / ADAPTER)
        )

    def parts(self) -> dict[str, PartMaker]:
        """By role."""
        return part_makers(self._model)

    def decisions(self) -> dict[str, str]:
        """In words."""
        return decisions(self.settings, self._options.weights, self._options.precision)

    def rehearse(self, bundle: Bundle) -> float:
        """One picture, two steps."""
        return rehearse(self._model, bundle, self._options.rounded)
