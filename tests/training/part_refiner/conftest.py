"""One tiny refiner and a few rendered pairs."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.tiny_refiner import write_tiny_refiner

from handfirst.training.data.procedural.writer import render_dataset


@pytest.fixture(scope="session")
def refiner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder: 64 x 64 pixels, latents of 4 x 8 x 8, no text."""
    return write_tiny_refiner(tmp_path_factory.mktemp("refiner") / "model")


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pairs at half of the model's size."""
    folder = tmp_path_factory.mktemp("pairs")
    render_dataset("pair", folder, 6, 32, workers=1, progress=False)
    return folder
