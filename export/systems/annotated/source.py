"""A model of annotated hands as export sees it; see Source in export/systems/__init__.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from handfirst.engines.bundle import Bundle
from handfirst.engines.errors import UserError
from handfirst.export.options import ExportOptions
from handfirst.export.part import PartMaker
from handfirst.export.systems.annotated.decisions import decisions
from handfirst.export.systems.annotated.parts import part_makers
from handfirst.export.systems.annotated.rehearsal import rehearse
from handfirst.runtime.systems.annotated.settings import AnnotatedSettings
from handfirst.training.systems.annotated.model_folder import AnnotatedFolder


class Source:
    """A model folder (training/systems/annotated/model_folder.py).

    Raises:
        UserError: no model of annotated hands, or a size, a LoRA or a preset is asked for.
    """

    warnings: Sequence[str] = ()

    def __init__(self, folder: Path, options: ExportOptions) -> None:
        self._model = AnnotatedFolder(folder)
        self._options = options
        if options.size is not None or options.sizes is not None:
            side = self.settings.size
            raise UserError(f"--size: expected none, as this model draws {side} x {side} pixels, got one")
        if options.loras or options.preset is not None:
            raise UserError("--lora, --preset: expected none for a model of annotated hands, which takes no LoRA here")

    @property
    def settings(self) -> AnnotatedSettings:
        """What the model is."""
        return self._model.settings

    @property
    def training(self) -> dict[str, Any]:
        """What the weights cost."""
        return self._model.training

    @property
    def tokenizer(self) -> bytes | None:
        """Its `tokenizer.json`, where it reads text."""
        return None if self._model.tokenizer is None else self._model.tokenizer.to_str().encode()

    @property
    def assets(self) -> Mapping[str, tuple[str, bytes]]:
        """None."""
        return {}

    def parts(self) -> dict[str, PartMaker]:
        """By role."""
        return part_makers(self._model)

    def decisions(self) -> dict[str, str]:
        """In words."""
        return decisions(self.settings, self._options.weights, self._options.precision)

    def rehearse(self, bundle: Bundle) -> float:
        """One picture, two steps."""
        return rehearse(self._model, bundle, self._options.rounded)
