"""One tiny model and two folders of rendered shards for all tests here."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from support.tiny_model import save_tiny_model

from handfirst.training.data.procedural.writer import render_dataset


@pytest.fixture(scope="module", autouse=True)
def _fresh_process_state() -> None:
    """What accelerate remembers of another file's precision."""
    if "accelerate" in sys.modules:
        from support.finetuning import leave_no_process_state

        leave_no_process_state()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder: 64 x 64 pixels, latents of 4 x 8 x 8."""
    folder = tmp_path_factory.mktemp("tiny") / "model"
    save_tiny_model(folder)
    return folder


@pytest.fixture(scope="session")
def hands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """14 hands in two shards, rendered at half of the model's size."""
    folder = tmp_path_factory.mktemp("hands")
    render_dataset("hand", folder, 14, 32, workers=1, shard_size=8, progress=False)
    return folder


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """8 people at the model's size."""
    folder = tmp_path_factory.mktemp("people")
    render_dataset("person", folder, 8, 64, workers=1, progress=False)
    return folder
