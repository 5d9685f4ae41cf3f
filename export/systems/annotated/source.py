"""A model of annotated hands as export sees it; see Source in export/systems/__init__.py."""

from __future__ import annotations

from pathlib import Path

from handfirst.engines.bundle import Bundle
from handfirst.export.options import ExportOptions
from handfirst.export.part import PartMaker
from handfirst.export.source import FolderSource, refuse_loras, refuse_preview, refuse_sizes
from handfirst.export.systems.annotated.decisions import decisions
from handfirst.export.systems.annotated.parts import part_makers
from handfirst.export.systems.annotated.rehearsal import rehearse
from handfirst.runtime.systems.annotated.settings import AnnotatedSettings
from handfirst.training.systems.annotated.model_folder import AnnotatedFolder


class Source(FolderSource[AnnotatedFolder]):
    """A model folder (training/systems/annotated/model_folder.py).

    Raises:
        UserError: no model of annotated hands, or a size, a LoRA, a preset or a preview is asked for.
    """

    def __init__(self, folder: Path, options: ExportOptions) -> None:
        super().__init__(AnnotatedFolder(folder), options)
        refuse_sizes(options, f"this model draws {self.settings.size} x {self.settings.size}")
        refuse_loras(options, "a model of annotated hands, which takes no LoRA here")
        refuse_preview(options, "a model of annotated hands")

    @property
    def settings(self) -> AnnotatedSettings:
        """What the model is."""
        return self._model.settings

    def parts(self) -> dict[str, PartMaker]:
        """By role."""
        return part_makers(self._model)

    def decisions(self) -> dict[str, str]:
        """In words."""
        return decisions(self.settings, self._options.weights, self._options.precision)

    def rehearse(self, bundle: Bundle) -> float:
        """One picture, two steps."""
        return rehearse(self._model, bundle, self._options.rounded)
