"""The systems that can be trained, by name: one line each. No system imports another."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import cast

from handfirst.engines.errors import UserError
from handfirst.training.system import StageKind, SystemTraining

SYSTEMS = {
    "two-stage": "handfirst.training.systems.two_stage.seam",
    "part-refiner": "handfirst.training.systems.part_refiner.seam",
    "annotated": "handfirst.training.systems.annotated.seam",
    "gesture-text": "handfirst.training.systems.gesture_text.seam",
}
PAINTERS = {
    "two-stage": "handfirst.training.systems.two_stage.painting",
}
"""Modules whose `open_painter` gives what paints held-out poses for the judges (evaluate/judging)."""


def stages_of(system: str) -> Mapping[str, StageKind]:
    """The stages of a system by name.

    Raises:
        UserError: no such system here.
    """
    if system not in SYSTEMS:
        raise UserError(f"expected the system {' or '.join(SYSTEMS)}, got {system[:60]!a}")
    return cast("SystemTraining", importlib.import_module(SYSTEMS[system])).STAGES
