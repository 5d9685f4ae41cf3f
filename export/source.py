"""What models of most systems are to export: a folder, read with the options of one export. Knows no system."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

from handfirst.engines.errors import UserError
from handfirst.export.options import ExportOptions
from handfirst.training.models.folder import SystemFolder

F = TypeVar("F", bound=SystemFolder[Any])


class FolderSource(Generic[F]):
    """A model folder; see `Source` in export/systems, of which its system adds the rest."""

    def __init__(self, model: F, options: ExportOptions) -> None:
        self._model = model
        self._options = options

    @property
    def warnings(self) -> Sequence[str]:
        """What whoever exports should know of the model: nothing."""
        return ()

    @property
    def assets(self) -> Mapping[str, tuple[str, bytes]]:
        """Other files that the model needs: none."""
        return {}

    @property
    def training(self) -> dict[str, Any]:
        """What the weights cost."""
        return self._model.training

    @property
    def tokenizer(self) -> bytes | None:
        """Its `tokenizer.json`, where it reads text."""
        return None if self._model.tokenizer is None else self._model.tokenizer.to_str().encode()


def refuse_sizes(options: ExportOptions, what: str) -> None:
    """For a model that paints one size.

    Raises:
        UserError: a canvas is asked for.
    """
    if options.size is not None or options.sizes is not None:
        raise UserError(f"--size: expected none, as {what} pixels, got one")


def refuse_loras(options: ExportOptions, what: str) -> None:
    """For a model whose networks take none.

    Raises:
        UserError: a LoRA or a preset is asked for.
    """
    if options.loras or options.preset is not None:
        raise UserError(f"--lora, --preset: expected none for {what}")


def refuse_preview(options: ExportOptions, what: str) -> None:
    """For a system whose previews are its latents' own.

    Raises:
        UserError: a decoder for previews is given.
    """
    if options.preview is not None:
        raise UserError(f"--preview: expected none for {what}, got one; two-stage models take one")
