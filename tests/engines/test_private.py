"""Weights of a bundle in a private copy: what was checked is what engines read, and nothing is left behind."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.layered_graph import feed, layers

from handfirst.engines.bundle import Bundle
from handfirst.engines.errors import BundleError
from handfirst.engines.files import sha256
from handfirst.engines.manifest import EngineEntry, FileEntry, Manifest, write_manifest
from handfirst.engines.ort import OrtEngine
from handfirst.engines.private import PIECE, Folder, mapped

pytestmark = pytest.mark.usefixtures("own_cache")
ENGINES = ("cpu", "openvino")


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where temporary files go."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    yield tmp_path / "temporary"


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """One graph, whose largest weight lies in a file of its own."""
    made = layers(external="w.bin")
    files = {"g.onnx": made.model, "w.bin": bytes(made.data["w.bin"])}
    folder = tmp_path / "bundle"
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    entry = EngineEntry(
        file="g.onnx", data=("w.bin",), spec=made.spec, precision="float32", opset=21, tolerance_psnr=60,
        measured_psnr=100,
    )  # fmt: skip
    listed = {name: FileEntry(sha256=sha256(data), size=len(data)) for name, data in files.items()}
    said = {"name": "b", "system": "two-stage", "created_with": {}, "settings": {}, "decisions": {}}
    manifest = Manifest(schema_version=2, engines={"g": entry}, files=listed, **said)  # type: ignore[arg-type]
    write_manifest(folder, manifest)
    return Bundle.open(folder)


def expected(bundle: Bundle) -> np.ndarray:
    """What the bundle's own files give, held in memory."""
    graph = bundle.graph("g")
    plain = type(graph)("g", graph.spec, graph.model, {"w.bin": (bundle.path / "w.bin").read_bytes()})
    return np.asarray(OrtEngine(plain).run(INPUTS)["y"])


INPUTS = feed()


@pytest.mark.parametrize("engine", ENGINES)
def test_what_was_checked_is_what_is_read(engine: str, bundle: Bundle, temporary: Path) -> None:
    """The bundle's file may change as soon as the graph is there; nothing is left once the engine is closed."""
    true, graph = expected(bundle), bundle.graph("g")
    assert graph.folder is not None and graph.folder.private and graph.folder.path.stat().st_mode & 0o77 == 0
    weights = bundle.path / "w.bin"
    weights.write_bytes(bytes(weights.stat().st_size))
    from handfirst.engines.opening import open_engine

    opened = open_engine(graph, engine)
    del graph
    np.testing.assert_allclose(opened.run(INPUTS)["y"], true, rtol=1e-4, atol=1e-4)
    opened.close()
    assert list(temporary.iterdir()) == []


def test_an_altered_file_is_refused_and_leaves_nothing(bundle: Bundle, temporary: Path) -> None:
    weights = bundle.path / "w.bin"
    weights.write_bytes(bytes(weights.stat().st_size))
    with pytest.raises(BundleError, match=r"w\.bin was altered"):
        bundle.graph("g")
    weights.write_bytes(b"short")
    with pytest.raises(BundleError, match=r"w\.bin expected \d+ bytes, got 5"):
        bundle.graph("g")
    assert list(temporary.iterdir()) == []


def test_without_room_weights_are_read_into_memory(
    bundle: Bundle, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> str:
        raise OSError(28, "No space left on device")

    true = expected(bundle)
    monkeypatch.setattr(Folder, "copy", full)
    graph = bundle.graph("g")
    assert graph.folder is None and isinstance(graph.data["w.bin"], bytes)
    np.testing.assert_array_equal(OrtEngine(graph).run(INPUTS)["y"], true)
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("size", [0, 1, PIECE, PIECE + 7])
def test_copies_are_hashed_as_they_are_written_and_outlive_their_folder(size: int, temporary: Path) -> None:
    data = np.random.default_rng(size).bytes(size)
    folder = Folder()
    assert folder.copy(io.BytesIO(data), "f") == sha256(data)
    found = folder.bytes("f")
    folder.close()
    assert len(found) == size and found[:] == data and list(temporary.iterdir()) == []


def test_the_folder_of_somebody_else_stays(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    folder = Folder(tmp_path)
    folder.close()
    assert not folder.private and mapped(tmp_path / "f")[1:] == b"bc"
