"""One tiny random model for the whole folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.parts import two_stage_parts
from support.tiny_model import save_tiny_model

from handfirst.export.part import Part
from handfirst.training.systems.two_stage.model_folder import load_model


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model."""
    folder = tmp_path_factory.mktemp("export") / "model"
    save_tiny_model(folder)
    return folder


@pytest.fixture(scope="session")
def parts(model_folder: Path) -> dict[str, Part]:
    """Its parts by role."""
    return {part.role: part for part in two_stage_parts(load_model(model_folder))}
