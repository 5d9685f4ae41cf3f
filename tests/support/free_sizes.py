"""A tiny bundle whose requests choose the canvas, beside the model that it was exported from."""

from __future__ import annotations

from pathlib import Path

from support.exports import Exports
from support.tiny_model import tiny_model, tiny_settings
from support.two_stage_reference import spread_masks

from handfirst.export.options import ExportOptions
from handfirst.runtime.systems.two_stage.settings import BodySettings
from handfirst.training.systems.two_stage.model_folder import save_model

SIZES = ((128, 128), (256, 192))
"""The smallest canvas, which is the usual one, and the largest; in steps of 64."""


def export_free_sizes(folder: Path, exports: Exports) -> None:
    """Writes `model`, with random weights, and `bundle`, its graphs of free size."""
    fresh = tiny_model(settings=tiny_settings(body=BodySettings(width=128, height=128)))
    spread_masks(fresh)
    save_model(fresh, folder / "model")
    exports.export_bundle(folder / "model", folder / "bundle", ExportOptions("free", sizes=SIZES))
