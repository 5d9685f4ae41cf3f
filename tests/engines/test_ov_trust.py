"""Nothing that was not checked gets into OpenVINO, and what it refuses is one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.layered_graph import WIDTH, closeness, feed, layers, tensor

from handfirst.engines import ov
from handfirst.engines.errors import BundleError, EngineError
from handfirst.engines.graph import Graph

pytestmark = pytest.mark.usefixtures("own_cache")


def test_external_weights_come_from_the_checked_bytes_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, inputs = layers(external="weights.bin"), feed()
    monkeypatch.chdir(tmp_path)
    private = tmp_path / "private"
    private.mkdir()
    monkeypatch.setattr(ov.tempfile, "tempdir", str(private))
    Path("weights.bin").write_bytes(bytes(len(made.data["weights.bin"])))  # zeros, where the library would look
    assert closeness(made, inputs) >= 100
    engine = ov.OvEngine(made)
    assert list(private.iterdir()) == []  # already: a process that is killed leaves nothing behind
    engine.close()
    bare = Graph(made.role, made.spec, made.model, source=made.source)
    with pytest.raises(BundleError, match=r"tiny\.onnx: not a graph that OpenVINO can load"):
        ov.OvEngine(bare)
    assert list(private.iterdir()) == []


@pytest.mark.parametrize("place", ["../weights.bin", "/etc/passwd", "sub/weights.bin", ".."])
def test_external_weights_are_flat_files(place: str) -> None:
    made = layers(external="weights.bin")
    with pytest.raises(BundleError, match="no flat file name"):
        ov.OvEngine(Graph(made.role, made.spec, made.model, {place: b"x"}))


def test_a_full_temporary_folder_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(EngineError, match=r"tiny\.onnx: OpenVINO needs 0 MB in .*No space left on device.*TMPDIR"):
        ov.OvEngine(layers())


@pytest.mark.parametrize("data", [b"", b"MZ" * 100, b"\x08\x0a" * 50])
def test_what_is_no_graph_is_refused_in_one_line(data: bytes) -> None:
    with pytest.raises(BundleError) as caught:
        ov.OvEngine(Graph("tiny", layers().spec, data, source="some: tiny.onnx"))
    assert str(caught.value).startswith("some: tiny.onnx: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": (tensor("z", "float32", "b"),)}, "the manifest names inputs z, the graph has x, t"),
        ({"outputs": (tensor("z", "float32", "b"),)}, "the manifest names outputs z, the graph has y, later"),
        (
            {"inputs": (tensor("x", "float32", "b", 7, "h", "w"), tensor("t", "int64", "b"))},
            r"input x is float32 \['b', 7, 'h', 'w'\] in the manifest but float32 \[None, 48, None, None\] in the",
        ),
        (
            {"inputs": (tensor("x", "float32", "b", WIDTH, "h", "w"), tensor("t", "int32", "b"))},
            r"input t is int32 \['b'\] in the manifest but int64",
        ),
        (
            {"outputs": (tensor("y", "float32", "b", "h", "w"), tensor("later", "int64", "b"))},
            "output y is float32",
        ),
    ],
)
def test_a_graph_that_is_not_its_spec_is_refused(change: dict[str, Any], message: str) -> None:
    made = layers()
    wrong = Graph("tiny", made.spec.model_copy(update=change), made.model, source="tiny.onnx")
    with pytest.raises(BundleError, match=message):
        ov.OvEngine(wrong)


def test_missing_openvino_names_the_remedy() -> None:
    code = (
        "import sys; sys.modules['openvino'] = None\n"
        "from handfirst.engines.ov import import_openvino\n"
        "from handfirst.engines.errors import EngineError\n"
        "try: import_openvino()\n"
        "except EngineError as e: print(e)\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "pip install 'handfirst[openvino]'" in out
