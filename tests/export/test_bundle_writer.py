"""A bundle is written whole or not at all."""

from __future__ import annotations

import hashlib
import shutil
import sys
from importlib import metadata
from itertools import islice
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from support.exports import Exports
from support.parts import two_stage_parts

from handfirst.engines.bundle import Bundle
from handfirst.engines.choice import TOLERANCE
from handfirst.engines.errors import EngineError, UserError
from handfirst.engines.graph import Graph
from handfirst.engines.verify import verify
from handfirst.export import bundle_writer, gate
from handfirst.export.bundle_writer import REHEARSAL, STEPS, export_bundle
from handfirst.export.graph_files import serialise
from handfirst.export.options import ExportOptions
from handfirst.export.to_onnx import to_onnx
from handfirst.export.weights import round_weights
from handfirst.runtime.cli.main import main
from handfirst.runtime.systems.two_stage.settings import TwoStageSettings
from handfirst.training.systems.two_stage.model_folder import load_model

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def exported(
    model_folder: Path, tmp_path_factory: pytest.TempPathFactory, exports: Exports
) -> tuple[Path, list[tuple[str, int, int]]]:
    """A bundle, and what its export reported on the way."""
    out, heard = tmp_path_factory.mktemp("bundle") / "tiny", []
    made = exports.export_bundle(model_folder, out, ExportOptions("tiny"), progress=lambda *step: heard.append(step))
    assert made == out
    return out, heard


def listing(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_it_verifies_on_this_machine(exported: tuple[Path, object]) -> None:
    checks = list(verify(Bundle.open(exported[0])))
    assert all(check.ok for check in checks)
    assert len(checks) == 2 + 10 + 8 and min(c.psnr for c in checks if c.psnr is not None) > 100


def test_every_hash_is_the_files_own_and_nothing_is_unlisted(exported: tuple[Path, object]) -> None:
    files = listing(exported[0])
    del files["manifest.json"]
    entries = Bundle.open(exported[0]).manifest.files
    assert {n: (hashlib.sha256(b).hexdigest(), len(b)) for n, b in files.items()} == {
        n: (e.sha256, e.size) for n, e in entries.items()
    }


def test_the_manifest_says_what_the_model_is(exported: tuple[Path, object], model_folder: Path) -> None:
    manifest = Bundle.open(exported[0]).manifest
    saved = TwoStageSettings.model_validate_json((model_folder / "settings.json").read_text())
    assert TwoStageSettings.model_validate(manifest.settings) == saved
    assert manifest.created_with["torch"] == metadata.version("torch")
    assert manifest.training == {"note": "random weights"}
    assert all(e.measured_psnr >= e.tolerance_psnr >= TOLERANCE["float32"] for e in manifest.engines.values())
    counted = {role: [count.axes for count in entry.flops] for role, entry in manifest.engines.items()}
    assert counted["hand_unet"] == [{"batch": 1}] and len(counted["vae_decoder"]) == 3 and all(counted.values())
    for name in ("condition_channels", "blend_source", "mask_rule", "hint_channels"):
        assert manifest.decisions[name]
    assert "noised" in manifest.decisions["blend_source"]


def test_progress_names_every_graph_three_times(exported: tuple[Path, list[tuple[str, int, int]]]) -> None:
    bundle, heard = Bundle.open(exported[0]), exported[1]
    graphs = [(role, done, STEPS) for role in bundle.manifest.engines for done in range(STEPS + 1)]
    assert heard == [*graphs, (REHEARSAL, 0, 1), (REHEARSAL, 1, 1)]


def test_the_same_model_gives_the_same_files(exported: tuple[Path, object], model_folder: Path) -> None:
    model = load_model(model_folder)
    files = Bundle.open(exported[0]).manifest.files
    for part in islice(two_stage_parts(model), 1, 3):
        round_weights(part.module)
        assert hashlib.sha256(serialise(to_onnx(part))).hexdigest() == files[f"{part.role}.onnx"].sha256


def test_what_is_in_the_way_stays(model_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for force in (False, True):
        with pytest.raises(UserError, match="exists already" if not force else "is not a bundle"):
            export_bundle(model_folder, tmp_path, force=force)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="exists already"):
        export_bundle(model_folder, tmp_path / "link")
    assert listing(tmp_path) == {"notes.txt": b"mine"}


@pytest.fixture
def quick(two_parts: None, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Two graphs that are exported and judged in no time."""
    model = ir.Model(ir.Graph([], [], nodes=[], opset_imports={"": 21}), ir_version=10)
    monkeypatch.setattr(bundle_writer, "to_onnx", lambda part, weights, precision: model)
    monkeypatch.setattr(bundle_writer, "check_graph_file", lambda graph: None)
    monkeypatch.setattr(gate, "check", lambda graph, trials: gate.EQUAL)
    return monkeypatch


@pytest.mark.parametrize("error", [UserError("no"), KeyboardInterrupt(), MemoryError()])
def test_an_export_that_fails_half_way_leaves_what_was_there(
    error: BaseException, exported: tuple[Path, object], model_folder: Path, tmp_path: Path, quick: pytest.MonkeyPatch
) -> None:
    old = shutil.copytree(exported[0], tmp_path / "old")
    before = listing(tmp_path)

    def check(graph: Graph, trials: object) -> float:
        if graph.role == "hint_encoder":
            raise error
        return gate.EQUAL

    quick.setattr(gate, "check", check)
    for out, force in ((old, True), (tmp_path / "new", False)):
        with pytest.raises(type(error)):
            export_bundle(model_folder, out, force=force)
    assert listing(tmp_path) == before and [p.name for p in tmp_path.iterdir()] == ["old"]


def test_force_replaces_a_bundle_and_nothing_of_the_old_one_stays(
    exported: tuple[Path, object], model_folder: Path, tmp_path: Path, quick: pytest.MonkeyPatch
) -> None:
    old = shutil.copytree(exported[0], tmp_path / "old")
    (old / "stray.txt").write_text("left over")
    export_bundle(model_folder, old, ExportOptions("newer"), force=True)
    assert Bundle.open(old).manifest.name == "newer"
    assert sorted(listing(old)) == sorted([*Bundle.open(old).manifest.files, "manifest.json"])
    assert [p.name for p in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize(
    ("precision", "library", "remedy"),
    [("float32", "onnxruntime", r"handfirst\[cpu\]'.*'handfirst\[cuda\]"), ("bfloat16", "openvino", "openvino")],
)
def test_without_the_engine_that_judges_graphs_nothing_is_begun(
    precision: str, library: str, remedy: str, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    heard: list[object] = []
    with pytest.raises(EngineError, match=rf"not installed; run: pip install .*{remedy}"):
        export_bundle(
            model_folder,
            tmp_path / "out",
            ExportOptions(precision=precision),  # type: ignore[arg-type]
            progress=lambda *step: heard.append(step),
        )
    assert heard == [] and list(tmp_path.iterdir()) == []


def test_either_package_of_onnxruntime_is_named(model_folder: Path, tmp_path: Path, quick: pytest.MonkeyPatch) -> None:
    """Where onnxruntime-gpu is installed, there is no distribution called onnxruntime."""
    version = metadata.version
    names = {"onnxruntime": "", "onnxruntime-gpu": "onnxruntime"}

    def gpu_version(name: str) -> str:
        if names.get(name) == "":
            raise metadata.PackageNotFoundError(name)
        return version(names.get(name, name))

    quick.setattr(metadata, "version", gpu_version)
    made = Bundle.open(export_bundle(model_folder, tmp_path / "out")).manifest.created_with
    assert made["onnxruntime-gpu"] == version("onnxruntime") and "onnxruntime" not in made


def test_golden_tensors_cover_every_engine(exported: tuple[Path, object]) -> None:
    bundle = Bundle.open(exported[0])
    expected = {
        f"{role}.{way}.{tensor.name}"
        for role, entry in bundle.manifest.engines.items()
        for way, tensors in (("in", entry.spec.inputs), ("out", entry.spec.outputs))
        for tensor in tensors
    }
    golden = bundle.golden()
    assert set(golden) == expected and all(np.isfinite(v).all() for v in golden.values())


def test_the_command_line(
    exported: tuple[Path, object],
    model_folder: Path,
    exports: Exports,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bundle_writer, "to_onnx", exports.to_onnx)
    out = tmp_path / "bundle"
    assert main(["export", str(model_folder), str(out), "--name", "mine", "--quiet", "--weights", "float32"]) == 0
    said = capsys.readouterr()
    assert "mine" in said.out and "8 graphs" in said.out and "vae_decoder" in said.out
    half, full = (
        sum(e.size for n, e in Bundle.open(p).manifest.files.items() if n.endswith(".onnx")) for p in (exported[0], out)
    )
    assert full > 1.2 * half and "float32" in Bundle.open(out).manifest.decisions["weights"]
    assert main(["export", str(model_folder), str(out)]) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1 and "--force" in said.err
    assert main(["export", str(tmp_path / "nothing"), str(tmp_path / "b")]) == 2
    assert "not a trained model" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]
