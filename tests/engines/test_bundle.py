"""Bundles: a tiny real one is opened and verified; altered ones are refused in one line."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from handfirst.engines import ort
from handfirst.engines.bundle import EMBEDDED, Bundle, embedded_bundle_path
from handfirst.engines.errors import BundleError, EngineError, UserError
from handfirst.engines.files import sha256
from handfirst.engines.manifest import EngineEntry, FileEntry, Manifest, read_manifest, write_manifest
from handfirst.engines.spec import EngineSpec, TensorSpec
from handfirst.engines.verify import verify

SPEC = EngineSpec(
    inputs=(TensorSpec(name="x", dtype="float32", shape=("batch", 1, 6, 6)),),
    outputs=(TensorSpec(name="y", dtype="float32", shape=("batch", 1, 6, 6)),),
)
KERNEL = np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3)


def graph(name: str = "x") -> onnx.ModelProto:
    """y = conv(x, KERNEL), padded."""
    shape = ["batch", 1, 6, 6]
    nodes = [helper.make_node("Conv", [name, "k"], ["y"], pads=[1, 1, 1, 1])]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in (name, "y")]
    body = helper.make_graph(nodes, "g", ends[:1], ends[1:], [numpy_helper.from_array(KERNEL, "k")])
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def convolved(x: np.ndarray) -> np.ndarray:
    from scipy.ndimage import correlate

    return np.stack([[correlate(p[0], KERNEL[0, 0], mode="constant")] for p in x]).astype(np.float32)


def npz(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def make(folder: Path, files: dict[str, bytes] | None = None, **changes: Any) -> Path:
    """A valid bundle, but for what is changed; hashes always fit the files that are written."""
    folder.mkdir(parents=True, exist_ok=True)
    x = np.random.default_rng(0).standard_normal((1, 1, 6, 6)).astype(np.float32)
    contents = {
        "conv.onnx": graph().SerializeToString(),
        "tokenizer.json": b"{}",
        "golden.npz": npz(**{"conv.in.x": x, "conv.out.y": convolved(x)}),
        **(files or {}),
    }
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    entry = EngineEntry(
        file="conv.onnx", spec=SPEC, precision="float32", opset=21, tolerance_psnr=60, measured_psnr=120
    )
    fields = {
        "schema_version": 2, "name": "tiny", "system": "two-stage", "created_with": {"handfirst": "0.1.0"},
        "engines": {"conv": entry}, "tokenizer": "tokenizer.json", "golden": "golden.npz", "settings": {},
        "decisions": {}, "files": {n: FileEntry(sha256=sha256(d), size=len(d)) for n, d in contents.items()},
    }  # fmt: skip
    write_manifest(folder, Manifest(**{**fields, **changes}))  # type: ignore[arg-type]
    return folder


def edit(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_good_bundle_opens_runs_and_verifies(tmp_path: Path) -> None:
    bundle = Bundle.open(make(tmp_path / "b"))
    x = np.random.default_rng(1).standard_normal((3, 1, 6, 6)).astype(np.float32)
    engine = bundle.engine("conv")
    np.testing.assert_allclose(engine.run({"x": x})["y"], convolved(x), atol=1e-4)
    checks = list(verify(bundle))
    assert all(check.ok for check in checks), checks
    assert {"conv.onnx", "tokenizer.json", "golden.npz", "conv"} <= {check.name for check in checks}
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.run({"x": x})


def test_verify_reports_what_is_wrong_and_goes_on(tmp_path: Path) -> None:
    x = np.zeros((1, 1, 6, 6), np.float32)
    wrong = npz(**{"conv.in.x": x + 1, "conv.out.y": x + 5})
    checks = {c.name: c for c in verify(Bundle.open(make(tmp_path / "b", {"golden.npz": wrong})))}
    assert not checks["conv"].ok and checks["conv.onnx"].ok and "\n" not in checks["conv"].detail
    assert not any(check.of_engine for check in checks.values())


@pytest.mark.parametrize("kind", [EngineError, BundleError])
def test_verify_tells_an_engine_that_is_not_here_from_a_bundle_that_is_broken(
    kind: type[UserError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise kind("conv: no such luck")

    monkeypatch.setattr(Bundle, "engine", refuse)
    (failed,) = [check for check in verify(Bundle.open(make(tmp_path / "b"))) if not check.ok]
    assert failed.detail == "conv: no such luck" and failed.of_engine == (kind is EngineError)


def flip_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def link(folder: Path) -> None:
    shutil.move(folder / "conv.onnx", folder.parent / "elsewhere.onnx")
    (folder / "conv.onnx").symlink_to(folder.parent / "elsewhere.onnx")


def set_key(*path: str, value: Any) -> Callable[[Path], None]:
    def change(manifest: dict[str, Any]) -> None:
        *most, last = path
        at = manifest
        for key in most:
            at = at[key]
        at[last] = value

    return lambda folder: edit(folder, change)


def rename_file(new: str) -> Callable[[Path], None]:
    def change(manifest: dict[str, Any]) -> None:
        manifest["files"][new] = manifest["files"].pop("conv.onnx")
        manifest["engines"]["conv"]["file"] = new

    return lambda folder: edit(folder, change)


def replace_file(name: str, data: bytes) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_bytes(data)
        edit(folder, lambda m: m["files"].update({name: {"sha256": sha256(data), "size": len(data)}}))

    return change


def external() -> bytes:
    model = graph()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": "../../../etc/passwd", "offset": "0", "length": "36"}.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return model.SerializeToString()


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def become_folder(folder: Path) -> None:
    (folder / "conv.onnx").unlink()
    (folder / "conv.onnx").mkdir()


def become_pipe(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    os.mkfifo(folder / "manifest.json")


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch pwned",)


HOSTILE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no manifest": (remove("manifest.json"), "manifest.json is missing"),
    "manifest is a pipe": (become_pipe, "manifest.json"),
    "broken JSON": (lambda f: (f / "manifest.json").write_text("{"), "manifest.json is not valid JSON"),
    "not an object": (lambda f: (f / "manifest.json").write_text("[1]"), "manifest.json expected an object"),
    "not UTF-8": (lambda f: (f / "manifest.json").write_bytes(b"\xff\xfe{"), "manifest.json is not valid JSON"),
    "deep nesting": (lambda f: (f / "manifest.json").write_text("[" * 100_000), "manifest.json"),
    "huge manifest": (lambda f: (f / "manifest.json").write_bytes(b" " * (5 << 20)), "manifest.json is larger"),
    "double keys": (lambda f: (f / "manifest.json").write_text('{"name": 1, "name": 2}'), "a key stands twice"),
    "future schema": (set_key("schema_version", value=3), "upgrade"),
    "old schema": (set_key("schema_version", value=0), "export the bundle again"),
    "schema is text": (set_key("schema_version", value="1"), "schema_version"),
    "unknown field": (set_key("surprise", value=1), "surprise"),
    "missing file": (remove("conv.onnx"), "conv.onnx is missing"),
    "altered byte": (lambda f: flip_byte(f / "conv.onnx"), "conv.onnx was altered"),
    "truncated": (lambda f: (f / "conv.onnx").write_bytes((f / "conv.onnx").read_bytes()[:50]), "conv.onnx expected"),
    "grown": (lambda f: (f / "conv.onnx").open("ab").write(b"x"), "conv.onnx expected"),
    "symbolic link": (link, "conv.onnx is a link"),
    "folder": (become_folder, "conv.onnx"),
    "parent folder": (rename_file("../elsewhere.onnx"), "elsewhere.onnx"),
    "absolute path": (rename_file("/etc/passwd"), "/etc/passwd"),
    "backslash": (rename_file("..\\x.onnx"), "x.onnx"),
    "hidden file": (rename_file(".conv.onnx"), ".conv.onnx"),
    "NUL": (rename_file("a\0b"), "manifest.json"),
    "file not listed": (lambda f: edit(f, lambda m: m["files"].pop("conv.onnx")), "conv.onnx"),
    "bad hash": (set_key("files", "conv.onnx", "sha256", value="zz"), "sha256"),
    "negative size": (set_key("files", "conv.onnx", "size", value=-1), "size"),
    "truncated graph, right hash": (replace_file("conv.onnx", graph().SerializeToString()[:80]), "conv.onnx"),
    "no graph at all": (replace_file("conv.onnx", b"MZ" * 100), "conv.onnx"),
    "other inputs": (replace_file("conv.onnx", graph("z").SerializeToString()), "the manifest names inputs x"),
    "external data": (replace_file("conv.onnx", external()), "conv.onnx"),
    "other shape": (
        lambda f: edit(f, lambda m: m["engines"]["conv"]["spec"]["inputs"][0].update(shape=["batch", 1, 9, 9])),
        "in the graph",
    ),
    "other dtype": (
        lambda f: edit(f, lambda m: m["engines"]["conv"]["spec"]["inputs"][0].update(dtype="int64")),
        "in the graph",
    ),
    "golden is no npz": (replace_file("golden.npz", b"PK\x03\x04garbage"), "golden.npz"),
    "golden is a pickle": (replace_file("golden.npz", pickle.dumps(Evil())), "golden.npz"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_bundles_are_refused_in_one_line(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = make(tmp_path / "b")
    spoil, message = HOSTILE[case]
    spoil(folder)
    with pytest.raises(BundleError) as caught:
        bundle = Bundle.open(folder)
        bundle.golden()
        bundle.engine("conv")
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "pwned").exists()


def test_no_folder_and_no_role(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such bundle folder"):
        Bundle.open(tmp_path / "missing")
    bundle = Bundle.open(make(tmp_path / "b"))
    with pytest.raises(BundleError, match="no engine for body_unet; the bundle has conv"):
        bundle.engine("body_unet")
    with pytest.raises(BundleError, match="not a file of this bundle"):
        bundle.bytes("manifest.json")


@pytest.mark.parametrize("name", EMBEDDED)
def test_an_embedded_model_has_a_name_where_no_folder_has_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Bundle.open(name).path == embedded_bundle_path(name)
    here = Bundle.open(make(tmp_path / name))
    assert Bundle.open(name).digest == here.digest != Bundle.open(embedded_bundle_path(name)).digest


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_mutation_of_the_manifest_is_an_error_or_fine(data: st.DataObject) -> None:
    valid = _valid_manifest()
    cut = data.draw(st.integers(0, len(valid)))
    junk = data.draw(st.binary(max_size=6))
    keep = data.draw(st.integers(0, 12))
    try:
        read_manifest(valid[:cut] + junk + valid[cut + keep :], "x")
    except BundleError as error:
        assert "\n" not in str(error)


def _valid_manifest() -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return (make(Path(folder)) / "manifest.json").read_bytes()


def test_missing_onnxruntime_names_the_remedy() -> None:
    code = (
        "import sys; sys.modules['onnxruntime'] = None\n"
        "from handfirst.engines.ort import import_onnxruntime\n"
        "from handfirst.engines.errors import EngineError\n"
        "try: import_onnxruntime()\n"
        "except EngineError as e: print(e)\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "pip install 'handfirst[cpu]'" in out


def test_both_onnxruntimes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ort, "distributed", lambda name: True)
    with pytest.raises(EngineError, match="pip uninstall -y onnxruntime onnxruntime-gpu"):
        ort.import_onnxruntime()


def test_missing_cuda_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"handfirst\[cuda\]"):
        Bundle.open(make(tmp_path / "b")).engine("conv", "cuda")
