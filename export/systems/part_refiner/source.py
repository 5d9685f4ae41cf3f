"""A part refiner as export sees it; see `Source` in export/systems."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from handfirst.engines.bundle import Bundle
from handfirst.export.options import ExportOptions
from handfirst.export.part import PartMaker
from handfirst.export.source import FolderSource, refuse_loras, refuse_preview, refuse_sizes
from handfirst.export.systems.part_refiner.decisions import decisions
from handfirst.export.systems.part_refiner.parts import part_makers
from handfirst.export.systems.part_refiner.rehearsal import rehearse
from handfirst.runtime.systems.part_refiner.settings import CONTEXT, PartRefinerSettings
from handfirst.training.systems.part_refiner.model_folder import CONTEXT_FILE, PartRefinerFolder


class Source(FolderSource[PartRefinerFolder]):
    """A model folder (training/systems/part_refiner/model_folder.py).

    Raises:
        UserError: no part refiner, or a size, a LoRA, a preset or a preview is asked for.
    """

    def __init__(self, folder: Path, options: ExportOptions) -> None:
        super().__init__(PartRefinerFolder(folder), options)
        side = self.settings.part.size
        refuse_sizes(options, f"every part is drawn at {side} x {side}")
        refuse_loras(options, "a part refiner, whose networks take no LoRA here")
        refuse_preview(options, "a part refiner")

    @property
    def settings(self) -> PartRefinerSettings:
        """What the model is."""
        return self._model.settings

    @property
    def assets(self) -> Mapping[str, tuple[str, bytes]]:
        """What the second stage is told, where it reads no text."""
        if self._model.context() is None:
            return {}
        return {CONTEXT: (CONTEXT_FILE, (self._model.folder / CONTEXT_FILE).read_bytes())}

    def parts(self) -> dict[str, PartMaker]:
        """By role."""
        return part_makers(self._model)

    def decisions(self) -> dict[str, str]:
        """In words."""
        return decisions(self.settings, self._options.weights, self._options.precision)

    def rehearse(self, bundle: Bundle) -> float:
        """One part through both stages, two steps each."""
        return rehearse(self._model, bundle, self._options.rounded)
