"""A part refiner as export sees it; see `Source` in export/systems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from handfirst.engines.bundle import Bundle
from handfirst.engines.errors import UserError
from handfirst.export.options import ExportOptions
from handfirst.export.part import PartMaker
from handfirst.export.systems.part_refiner.decisions import decisions
from handfirst.export.systems.part_refiner.parts import part_makers
from handfirst.export.systems.part_refiner.rehearsal import rehearse
from handfirst.runtime.systems.part_refiner.settings import CONTEXT, PartRefinerSettings
from handfirst.training.systems.part_refiner.model_folder import CONTEXT_FILE, PartRefinerFolder


class Source:
    """A model folder (training/systems/part_refiner/model_folder.py).

    Raises:
        UserError: no part refiner, or a size, a LoRA or a preset is asked for.
    """

    warnings: Sequence[str] = ()

    def __init__(self, folder: Path, options: ExportOptions) -> None:
        self._model = PartRefinerFolder(folder)
        self._options = options
        if options.size is not None or options.sizes is not None:
            side = self.settings.part.size
            raise UserError(f"--size: expected none, as every part is drawn at {side} x {side} pixels, got one")
        if options.loras or options.preset is not None:
            raise UserError("--lora, --preset: expected none for a part refiner, whose networks take no LoRA here")

    @property
    def settings(self) -> PartRefinerSettings:
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
