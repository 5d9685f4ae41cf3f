"""The systems whose trained models become bundles, by name: one line each. No system imports another.

A model folder names its system in a file `system`; folders without one are of the first.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel

from handfirst.engines.bundle import Bundle
from handfirst.engines.errors import UserError
from handfirst.export.options import ExportOptions
from handfirst.export.part import PartMaker

SYSTEMS = {
    "two-stage": "handfirst.export.systems.two_stage.source",
    "part-refiner": "handfirst.export.systems.part_refiner.source",
    "annotated": "handfirst.export.systems.annotated.source",
    "gesture-text": "handfirst.export.systems.gesture_text.source",
}


class Source(Protocol):
    """A trained model as its system sees it, with the options of one export."""

    @property
    def settings(self) -> BaseModel:
        """What the model is; goes into the manifest."""
        ...

    @property
    def training(self) -> dict[str, Any]:
        """What the weights cost."""
        ...

    @property
    def tokenizer(self) -> bytes | None:
        """A `tokenizer.json`, for systems that read text."""
        ...

    @property
    def assets(self) -> Mapping[str, tuple[str, bytes]]:
        """Other files that the model needs: by name, that of the file and its bytes."""
        ...

    @property
    def warnings(self) -> Sequence[str]:
        """What whoever exports should know, a line each."""
        ...

    def parts(self) -> dict[str, PartMaker]:
        """By role, in the order of use; raises a UserError where a network contradicts the settings."""
        ...

    def decisions(self) -> dict[str, str]:
        """What the paper leaves open and this model settles, in words."""
        ...

    def rehearse(self, bundle: Bundle) -> float:
        """The whole loop on torch and on the bundle: PSNR in dB; raises a UserError where they are too far apart."""
        ...


def open_source(folder: Path, options: ExportOptions) -> tuple[str, Source]:
    """The system's name, and the model.

    Raises:
        UserError: the folder is no trained model, of a system that is not here, or the options do not fit it.
    """
    name = folder / "system"
    system = name.read_text(encoding="utf-8").strip() if name.is_file() else next(iter(SYSTEMS))
    if system not in SYSTEMS:
        raise UserError(f"{folder}: expected a model of {' or '.join(SYSTEMS)}, got {system[:60]!a}")
    source: Source = importlib.import_module(SYSTEMS[system]).Source(folder, options)
    return system, source
