"""One tiny random model for the whole folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.parts import two_stage_parts
from support.tiny_model import save_tiny_model

from handfirst.engines.bundle import Bundle
from handfirst.export import bundle_writer
from handfirst.export.gate import EQUAL
from handfirst.export.options import ExportOptions
from handfirst.export.part import Part, PartMaker
from handfirst.export.systems.two_stage.source import Source
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


class TwoParts(Source):
    """The text encoder and the hint encoder alone: enough for a manifest, too few for a picture."""

    def parts(self) -> dict[str, PartMaker]:
        return {role: make for role, make in super().parts().items() if role in ("text_encoder", "hint_encoder")}

    def rehearse(self, bundle: Bundle) -> float:
        return EQUAL


@contextmanager
def _two_parts() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundle_writer, "open_source", lambda folder, given: ("two-stage", TwoParts(folder, given)))
        yield


@pytest.fixture
def two_parts() -> Iterator[None]:
    """Models have those alone."""
    with _two_parts():
        yield


@pytest.fixture(scope="session")
def two_graphs(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of them, of `model_folder`, in float16 and the form for GPUs."""
    options = ExportOptions("two", precision="float16", opset=23)
    with _two_parts():
        return bundle_writer.export_bundle(model_folder, tmp_path_factory.mktemp("two") / "bundle", options)
