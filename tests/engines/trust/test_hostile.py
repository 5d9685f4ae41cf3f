"""Bundles made to harm: each is refused in one line that names the place and the remedy, before a library is opened.

Where an attack includes a consistent manifest, sizes and hashes are those of the spoilt files.
"""

from __future__ import annotations

import io
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from support.hostile_bundle import (
    WEIGHTS,
    Draft,
    Evil,
    Spoil,
    broken_packing,
    claims_to_unpack,
    constant_from_disk,
    content,
    cycle,
    doubling_functions,
    edit,
    good_model,
    graph,
    locked,
    member,
    node,
    npy,
    ort_format,
    pickled,
    put,
    raw,
    rename,
    sparse,
    subgraph_from_disk,
    weights_at,
)

from handfirst.engines import bundle as bundles
from handfirst.engines.bundle import Bundle
from handfirst.engines.errors import BundleError

DEEP = b'{"schema_version": 1, "training": ' + b'{"a":' * 5000 + b"1" + b"}" * 5001
ENGINE = ("engines", "conv")
ENTRY = {"sha256": "ab" * 32, "size": 9}
X = {"name": "x", "dtype": "float32", "shape": ["n", 12]}
INPUT = (*ENGINE, "spec", "inputs", 0)
LARGE = 1 << 50

NAMES: dict[str, str] = {
    "parent folder": "../conv.onnx",
    "parent folder in the middle": "a/../../conv.onnx",
    "absolute path": "/etc/passwd",
    "backslashes": "..\\conv.onnx",
    "drive letter": "C:conv.onnx",
    "network share": "\\\\server\\conv.onnx",
    "stream of a file": "conv.onnx:evil",
    "address": "file:///etc/passwd",
    "home": "~root",
    "hidden": ".conv.onnx",
    "two dots": "..",
    "empty": "",
    "slash of another script": "..\u2215conv.onnx",
    "letter of another script": "c\u043env.onnx",
    "full-width letters": "\uff43onv.onnx",
    "trailing dot": "conv.onnx.",
    "trailing space": "conv.onnx ",
    "device": "NUL.onnx",
    "another device": "com1",
    "the manifest itself": "manifest.json",
    "101 letters": "a" * 101,
}
NAMED: dict[str, tuple[Spoil, str]] = {
    **{f"{name}, of the engine": (rename(bad), "engines.conv.file") for name, bad in NAMES.items()},
    **{f"{name}, of its weights": (put(*ENGINE, "data", value=[bad]), "conv.data.0") for name, bad in NAMES.items()},
    **{f"{name}, in the list": (put("files", bad, value=ENTRY), f"files.{bad}"[:60]) for name, bad in NAMES.items()},
    **{f"{name}, of the golden tensors": (put("golden", value=bad), "golden") for name, bad in NAMES.items()},
    "NUL": (rename("conv.onnx\0.txt"), "manifest.json"),
    "line break": (rename("conv.onnx\n"), "manifest.json"),
}

MANIFEST: dict[str, tuple[Spoil, str]] = {
    "empty": (raw(b""), "manifest.json is not valid JSON"),
    "not UTF-8": (raw(b'\xff\xfe{"a": 1}'), "manifest.json is not valid JSON"),
    "byte order mark": (raw(b"\xef\xbb\xbf{}"), "manifest.json is not valid JSON"),
    "broken JSON": (raw(b'{"schema_version": 1,'), "manifest.json is not valid JSON"),
    "a list": (raw(b"[]"), "expected an object"),
    "larger than 4 MB": (raw(b"{" + b" " * (4 << 20) + b"}"), "manifest.json is larger"),
    "nested 100 000 deep": (raw(b"[" * 100_000 + b"]" * 100_000), "manifest.json"),
    "nested within training": (raw(DEEP), "manifest.json"),
    "keys twice": (raw(b'{"schema_version": 1, "schema_version": 1}'), "a key stands twice"),
    "NaN": (put("training", value={"loss": float("nan")}), "NaN is not a finite number"),
    "Infinity": (put(*ENGINE, "tolerance_psnr", value=float("-inf")), "-Infinity is not a finite number"),
    "1e999": (raw(b'{"schema_version": 1, "training": {"loss": 1e999}}'), "1e999 is not a finite number"),
    "number of 5000 digits": (raw(b'{"schema_version": ' + b"9" * 5000 + b"}"), "manifest.json is not valid JSON"),
    "half a surrogate pair": (put("name", value="\ud800"), "manifest.json"),
    "line break in a key": (put("settings", value={"a\nb": 1}), "a key is no plain text"),
    "control codes in a name": (put("name", value="\x1b[2Jtiny"), "name"),
    "line break in a decision": (put("decisions", value={"guidance": "a\nb"}), "decisions"),
    "no schema version": (edit(lambda m: m.pop("schema_version")), "no schema_version"),
    "future schema": (put("schema_version", value=2), "newer than this handfirst reads (1); upgrade"),
    "schema of the year 9999": (put("schema_version", value=9999), "newer than this handfirst reads (1); upgrade"),
    "older schema": (put("schema_version", value=0), "older than 1; export the bundle again"),
    "schema is true": (put("schema_version", value=True), "schema_version"),
    "schema is text": (put("schema_version", value="1"), "schema_version"),
    "schema is 1.0": (put("schema_version", value=1.0), "schema_version"),
    "missing field": (edit(lambda m: m.pop("tokenizer")), "tokenizer: Field required"),
    "unknown field": (put("preload", value="evil.so"), "preload"),
    "unknown field of an engine": (put(*ENGINE, "plan", value="x.plan"), "engines.conv.plan"),
    "list for an object": (put("files", value=[]), "files"),
    "size is true": (put("files", "conv.onnx", "size", value=True), "files.conv.onnx.size"),
    "size is text": (put("files", "conv.onnx", "size", value="9"), "files.conv.onnx.size"),
    "size is negative": (put("files", "conv.onnx", "size", value=-1), "files.conv.onnx.size"),
    "size is absurd": (put("files", "conv.weights", "size", value=LARGE), "files.conv.weights.size"),
    "graph of 2 GiB": (put("files", "conv.onnx", "size", value=2 << 30), "conv.onnx: expected at most"),
    "tokenizer of a gigabyte": (put("files", "tokenizer.json", "size", value=1 << 30), "tokenizer.json: expected at"),
    "golden of 8 GiB": (put("files", "golden.npz", "size", value=8 << 30), "golden.npz: expected at most"),
    "hash too short": (put("files", "conv.onnx", "sha256", value="ab" * 31), "files.conv.onnx.sha256"),
    "hash in capitals": (put("files", "conv.onnx", "sha256", value="AB" * 32), "files.conv.onnx.sha256"),
    "hash of other letters": (put("files", "conv.onnx", "sha256", value="zz" * 32), "files.conv.onnx.sha256"),
    "hash and a line break": (put("files", "conv.onnx", "sha256", value="ab" * 32 + "\n"), "sha256"),
    "graph that is not listed": (put(*ENGINE, "file", value="other.onnx"), "names other.onnx but does not list"),
    "weights that are not listed": (put(*ENGINE, "data", value=["other.w"]), "names other.w but does not list"),
    "weights listed twice": (put(*ENGINE, "data", value=["conv.weights"] * 2), "listed twice"),
    "tokenizer that is not listed": (put("tokenizer", value="t.json"), "names t.json but does not list"),
    **NAMED,
    "upper and lower case": (edit(lambda m: m["files"].update({"CONV.onnx": m["files"]["conv.onnx"]})), "upper and"),
    "TensorRT engine": (rename("conv.engine"), "conv.engine: plans and code are never loaded from a bundle"),
    "TensorRT plan": (rename("conv.PLAN"), "conv.PLAN: plans and code are never loaded from a bundle"),
    "library as weights": (put(*ENGINE, "data", value=["conv.so"]), "conv.so: plans and code are never loaded"),
    "role with a path": (edit(lambda m: m["engines"].update({"../x": m["engines"].pop("conv")})), "engines.../x"),
    "tensor with a line break": (put(*INPUT, "name", value="x\ny"), "a tensor is named"),
    "tensor twice": (edit(lambda m: m["engines"]["conv"]["spec"].update(inputs=[X, X])), "different names"),
    "no outputs": (put(*ENGINE, "spec", "outputs", value=[]), "engines.conv.spec.outputs"),
    "axis of 10 ** 9": (put(*INPUT, "shape", value=["n", 10**9]), "x cannot have the shape"),
    "axis of 0": (put(*INPUT, "shape", value=["n", 0]), "x cannot have the shape"),
    "axis is true": (put(*INPUT, "shape", value=["n", True]), "engines.conv.spec.inputs.0.shape"),
    "axis with a line break": (put(*INPUT, "shape", value=["n\n", 12]), "x cannot have the shape"),
    "1000 axes": (put(*INPUT, "shape", value=[1] * 1000), "x cannot have the shape"),
    "unknown dtype": (put(*INPUT, "dtype", value="object"), "engines.conv.spec.inputs.0.dtype"),
    "tolerance below nothing": (put(*ENGINE, "tolerance_psnr", value=-1000.0), "engines.conv.tolerance_psnr"),
}  # fmt: skip
"""Refused when the bundle is opened."""

GRAPH: dict[str, tuple[Spoil, str]] = {
    "empty file": (content("conv.onnx", b""), "conv.onnx: expected an ONNX graph"),
    "cut file": (content("conv.onnx", good_model().SerializeToString()[:-9]), "conv.onnx: expected an ONNX graph"),
    "zeros": (content("conv.onnx", bytes(500)), "conv.onnx: expected an ONNX graph"),
    "program": (content("conv.onnx", b"\x7fELF" + bytes(60)), "never loaded from a bundle"),
    "plan": (content("conv.onnx", b"ftrt" + bytes(60)), "plans are built on this machine"),
    "onnxruntime's own format": (content("conv.onnx", bytes(4) + b"ORTM" + bytes(60)), "onnxruntime's own format"),
    "a graph that is both": (ort_format, "onnxruntime's own format"),
    "options of onnxruntime": (
        lambda d: helper.set_model_props(d.model, {"ort_config": '{"session_options": {}}'}),
        "ort_config",
    ),
    "no graph": (lambda d: d.model.ClearField("graph"), "a file without one"),
    "nothing in the graph": (lambda d: d.graph.CopyFrom(onnx.GraphProto()), "the graph has"),
    "weights outside the folder": (weights_at(location="../../etc/passwd"), "'../../etc/passwd'"),
    "absolute weights": (weights_at(location="/dev/zero"), "'/dev/zero'"),
    "weights in a longer way": (weights_at(location="./conv.weights"), "'./conv.weights'"),
    "weights through a folder": (weights_at(location="x/../conv.weights"), "'x/../conv.weights'"),
    "weights in memory": (weights_at(location="*/_ORT_MEM_ADDR_/*", offset="94000000000000"), "_ORT_MEM_ADDR_"),
    "weights in a listed file that is not theirs": (weights_at(location="tokenizer.json"), "'tokenizer.json'"),
    "weights nowhere": (weights_at(location=""), "lies in ''"),
    "weights past the end": (weights_at(offset="17"), "offset '17'"),
    "weights far past the end": (weights_at(offset=str(1 << 62)), "conv.weights"),
    "weights before the beginning": (weights_at(offset="-16"), "offset '-16'"),
    "weights too short": (weights_at(length="44"), "length '44'"),
    "weights without a length": (weights_at(length=""), "length ''"),
    "two locations": (
        graph(lambda g: g.initializer[0].external_data.add(key="location", value="/etc/passwd")),
        "'k' [12] claims data in two places",
    ),
    "packed weights": (weights_at(prepacked_0="x|0;48;a"), "'k' [12] claims data in two places"),
    "data inside and outside": (
        graph(lambda g: setattr(g.initializer[0], "raw_data", bytes(48))),
        "'k' [12] claims data in two places",
    ),
    "weights that no graph uses": (
        lambda d: (
            content("more.bin", bytes(9))(d),
            edit(lambda m: m["engines"]["conv"]["data"].append("more.bin"))(d),
        ),
        "no weight lies in more.bin",
    ),
    "weights that the engine does not list": (put(*ENGINE, "data", value=[]), "'conv.weights', expected no other file"),
    "constant in a file": (graph(constant_from_disk), "only weights may lie in other files"),
    "subgraph's weight in a file": (graph(subgraph_from_disk), "only weights may lie in other files"),
    "huge weight, no data": (graph(lambda g: g.initializer[1].dims.__setitem__(0, 1 << 39)), "'b' [549755813888]"),
    "absurd weight": (graph(lambda g: g.initializer[1].dims.__setitem__(0, 1 << 62)), "'b' cannot have the shape"),
    "product beyond 64 bits": (graph(lambda g: g.initializer[1].dims.extend([1 << 33, 1 << 33])), "'b'"),
    "negative weight": (graph(lambda g: g.initializer[1].dims.__setitem__(0, -12)), "'b' cannot have the shape"),
    "weight of 100 axes": (graph(lambda g: g.initializer[1].dims.extend([1] * 99)), "'b' cannot have the shape"),
    "data too short": (graph(lambda g: setattr(g.initializer[1], "raw_data", bytes(47))), "'b' [12] expected 48 bytes"),
    "data too long": (graph(lambda g: setattr(g.initializer[1], "raw_data", bytes(49))), "'b' [12] expected 48 bytes"),
    "data of another type": (graph(lambda g: setattr(g.initializer[1], "data_type", 11)), "'b' [12] expected 96 bytes"),
    "texts": (graph(lambda g: setattr(g.initializer[1], "data_type", 8)), "'b' has no numeric type"),
    "a type of the future": (graph(lambda g: setattr(g.initializer[1], "data_type", 99)), "'b' has no numeric type"),
    "sparse terabyte": (graph(sparse), "sparse"),
    "weight twice": (graph(lambda g: g.initializer.add().CopyFrom(g.initializer[1])), "initializer 'b' stands twice"),
    "missing weight": (graph(lambda g: g.initializer.__delitem__(1)), "'Add' takes 'b'"),
    "cycle": (graph(cycle), "'Mul' takes 'r'"),
    "nobody makes the output": (graph(lambda g: g.node.__delitem__(2)), "nothing makes the output 'y'"),
    "output made twice": (graph(lambda g: g.node.add().CopyFrom(g.node[2])), "two things are named 'y'"),
    "custom operator": (node("Evil", "my.company"), "'Evil' is of the domain 'my.company'"),
    "Python operator": (node("PyOp", "ai.onnx.contrib"), "domain 'ai.onnx.contrib'"),
    "TensorRT plugin": (node("TRT_PluginV2", "trt.plugins"), "domain 'trt.plugins'"),
    "TensorRT plugin, standard domain": (node("TRT_PluginV2", data=b"x"), "'TRT_PluginV2' runs code or reads files"),
    "compiled engine": (node("EPContext", "com.microsoft", ep_cache_context=b"plan.bin"), "'EPContext' runs code"),
    "compiled model": (node("Snpe", "com.microsoft", DLC=b"x"), "'Snpe' runs code or reads files"),
    "operator with a line break": (node("a\nb", "c\nd"), r"'a\nb'"),
    "functions that double": (doubling_functions, "functions as well"),
    "training graph": (lambda d: d.model.training_info.add().algorithm.CopyFrom(d.graph), "training graphs as well"),
    "other input": (graph(lambda g: setattr(g.input[0], "name", "k")), "'Mul' takes 'x'"),
    "more inputs": (graph(lambda g: g.input.add().CopyFrom(helper.make_tensor_value_info("z", 1, [1]))), "has x, z"),
    "more outputs": (graph(lambda g: g.output.add().CopyFrom(helper.make_tensor_value_info("a", 1, [1]))), "has y, a"),
    "input with a line break": (graph(lambda g: setattr(g.input[0], "name", "a\nb")), "conv.onnx"),
    "other dtype": (graph(lambda g: setattr(g.input[0].type.tensor_type, "elem_type", 10)), "input x is float32"),
    "other rank": (graph(lambda g: g.input[0].type.tensor_type.shape.dim.add(dim_value=1)), "input x is float32"),
    "other size": (
        graph(lambda g: setattr(g.output[0].type.tensor_type.shape.dim[1], "dim_value", 1 << 40)),
        "output y is float32 ['n', 12] in the manifest but float32 ['n', 1099511627776]",
    ),
    "sequence": (
        graph(lambda g: g.input[0].CopyFrom(helper.make_tensor_sequence_value_info("x", 1, ["n"]))),
        "another type",
    ),
}
"""Refused when the graph is read; hashes and sizes are right."""

GOLDEN: dict[str, tuple[Spoil, str]] = {
    "pickle": (content("golden.npz", lambda: pickle.dumps(Evil())), "not an .npz"),
    "a single array": (content("golden.npz", pickled), "not an .npz"),
    "a single array of numbers": (content("golden.npz", lambda: npy(WEIGHTS)), "not an .npz"),
    "broken packing": (content("golden.npz", broken_packing), "not an .npz"),
    "locked with a password": (content("golden.npz", locked), "not an .npz"),
    "pickled member": (content("golden.npz", lambda: member("conv.out.y.npy", pickled())), "conv.out.y.npy expected"),
    "not a zip": (content("golden.npz", b"PK\x03\x04" + bytes(99)), "not an .npz"),
    "member of another name": (content("golden.npz", lambda: member("a.npy", WEIGHTS)), "'a.npy'"),
    "path": (content("golden.npz", lambda: member("../../conv.out.y.npy", WEIGHTS)), "'../../conv.out.y.npy'"),
    "twice": (content("golden.npz", lambda: member("conv.in.x.npy", WEIGHTS)), "a tensor twice"),
    "no array": (content("golden.npz", lambda: member("conv.out.y.npy", b"hello")), "not an .npz"),
    "terabytes in a header": (
        content("golden.npz", lambda: member("conv.out.y.npy", WEIGHTS, (1 << 40, 12))),
        "conv.out.y.npy expected ['n', 12] as in the graph's spec, got float32 [1099511627776, 12]",
    ),
    "more than the header says": (
        content("golden.npz", lambda: member("conv.out.y.npy", np.zeros((9, 12), np.float32), (1, 12))),
        "not an .npz",
    ),
    "terabytes in the zip's folder": (content("golden.npz", lambda: claims_to_unpack(0xFFFFFFF0)), "would unpack to"),
    "other size": (content("golden.npz", lambda: member("conv.out.y.npy", np.zeros((1, 13)))), "got float64 [1, 13]"),
    "negative shape": (content("golden.npz", lambda: member("conv.out.y.npy", WEIGHTS, (-1, 12))), "golden.npz"),
    "texts": (content("golden.npz", lambda: member("conv.out.y.npy", np.full((1, 12), "a"))), "got str"),
}


def swap_files(folder: Path) -> None:
    names = "conv.onnx", "conv.weights"
    first, second = ((folder / name).read_bytes() for name in names)
    (folder / names[0]).write_bytes(second)
    (folder / names[1]).write_bytes(first)


def flip_bit(folder: Path) -> None:
    data = bytearray((folder / "conv.weights").read_bytes())
    data[-1] ^= 1
    (folder / "conv.weights").write_bytes(data)


def link(folder: Path) -> None:
    shutil.move(folder / "conv.weights", folder.parent / "elsewhere")
    (folder / "conv.weights").symlink_to(folder.parent / "elsewhere")


def link_manifest(folder: Path) -> None:
    shutil.move(folder / "manifest.json", folder.parent / "elsewhere")
    (folder / "manifest.json").symlink_to(folder.parent / "elsewhere")


def replace(name: str, make: Callable[[Path], Any]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return spoil


FOLDER: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no manifest": (lambda f: (f / "manifest.json").unlink(), "manifest.json is missing"),
    "manifest is a folder": (replace("manifest.json", Path.mkdir), "manifest.json"),
    "manifest is a pipe": (replace("manifest.json", os.mkfifo), "manifest.json is a link or not a plain file"),
    "manifest is a link": (link_manifest, "manifest.json"),
    "missing weights": (lambda f: (f / "conv.weights").unlink(), "conv.weights is missing"),
    "linked weights": (link, "conv.weights is a link"),
    "link to a device": (
        replace("conv.weights", lambda p: p.symlink_to("/dev/zero")),
        "conv.weights is a link or not a plain file",
    ),
    "link to nothing": (replace("conv.onnx", lambda p: p.symlink_to("nowhere")), "conv.onnx is a link"),
    "pipe": (replace("conv.weights", os.mkfifo), "conv.weights is a link or not a plain file"),
    "folder": (replace("conv.onnx", Path.mkdir), "conv.onnx is a link or not a plain file"),
    "cut": (lambda f: os.truncate(f / "conv.onnx", 20), "conv.onnx expected"),
    "grown": (lambda f: (f / "conv.weights").open("ab").write(b"x"), "conv.weights expected 64 bytes, got 65"),
    "a sparse terabyte": (lambda f: os.truncate(f / "conv.weights", 1 << 40), "conv.weights expected 64 bytes"),
    "swapped files": (swap_files, "conv.onnx expected"),
    "one bit": (flip_bit, "conv.weights was altered"),
}

REMEDY = ("export the bundle again", "copy", "pip install -U handfirst", "give one that")


@pytest.fixture(autouse=True)
def no_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No attack gets as far as a library; relative paths keep messages short."""

    def opened(*args: object, **options: object) -> None:
        raise AssertionError("onnxruntime was given a hostile graph")

    monkeypatch.setattr("onnxruntime.InferenceSession", opened)
    monkeypatch.chdir(tmp_path)


def refused(message: str, do: Callable[[], Any]) -> None:
    with pytest.raises(BundleError) as caught:
        do()
    said = str(caught.value)
    assert message in said, said
    assert said.isprintable() and len(said) <= 400, said
    assert any(remedy in said for remedy in REMEDY), said
    assert not Path("pwned").exists()


def test_the_good_bundle_is_good(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.undo()
    bundle = Bundle.open(Draft().write(tmp_path / "b"))
    golden = bundle.golden()
    result = bundle.engine("conv", threads=1).run({"x": golden["conv.in.x"]})
    np.testing.assert_allclose(result["y"], golden["conv.out.y"])


@pytest.mark.parametrize("attack", MANIFEST)
def test_a_hostile_manifest_is_refused_when_it_is_opened(attack: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil, message = MANIFEST[attack]
    draft = Draft()
    spoil(draft)
    folder = draft.write(Path("b"))
    monkeypatch.setattr(bundles, "_check_file", lambda *_: pytest.fail("looked at a file before the manifest was read"))
    refused(message, lambda: Bundle.open(folder))


@pytest.mark.parametrize("attack", FOLDER)
def test_a_spoilt_folder_is_refused(attack: str) -> None:
    spoil, message = FOLDER[attack]
    folder = Draft().write(Path("b"))
    spoil(folder)
    refused(message, lambda: Bundle.open(folder).engine("conv"))
    refused(message, lambda: Bundle.open(folder, verify=False).engine("conv"))


@pytest.mark.parametrize("attack", GRAPH)
def test_a_hostile_graph_never_reaches_a_library(attack: str) -> None:
    spoil, message = GRAPH[attack]
    draft = Draft()
    spoil(draft)
    bundle = Bundle.open(draft.write(Path("b")))
    refused(message, lambda: bundle.engine("conv"))


@pytest.mark.parametrize("attack", GOLDEN)
def test_hostile_golden_tensors_are_refused(attack: str) -> None:
    spoil, message = GOLDEN[attack]
    draft = Draft()
    spoil(draft)
    bundle = Bundle.open(draft.write(Path("b")))
    refused(message, bundle.golden)


@pytest.mark.parametrize("how", ["altered", "cut", "grown", "linked"])
def test_a_file_that_changes_between_its_check_and_its_reading(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hard link is as good as a file: what counts are the bytes that were read."""
    folder = Draft().write(Path("b"))
    path = folder / "conv.weights"
    os.link(path, "outside")
    bundle = Bundle.open(folder)
    bundle.graph("conv")
    checked = bundles._check_file

    def check(where: Path, name: str, size: int) -> None:
        checked(where, name, size)
        if name == path.name and how == "linked":
            path.unlink()
            path.symlink_to("outside")
        elif name == path.name:
            Path("outside").write_bytes({"altered": bytes(64), "cut": b"", "grown": bytes(1 << 20)}[how])

    monkeypatch.setattr(bundles, "_check_file", check)
    refused("conv.weights", lambda: bundle.graph("conv"))


def test_a_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    """300 MB of zeros in 300 kB: refused by the header, before they are read."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("conv.out.y.npy", "w") as out:
        np.lib.format.write_array_header_1_0(out, {"descr": "<f4", "fortran_order": False, "shape": (300 << 18, 1)})
        for _ in range(300):
            out.write(bytes(1 << 20))
    folder = Draft(files={"golden.npz": file.getvalue()}).write(Path("b"))
    read = zipfile.ZipExtFile.read
    seen = []

    def counted(self: zipfile.ZipExtFile, n: int = -1) -> bytes:
        data: bytes = read(self, n)
        seen.append(len(data))
        return data

    monkeypatch.setattr(zipfile.ZipExtFile, "read", counted)
    refused("conv.out.y.npy expected", Bundle.open(folder).golden)
    assert 0 < sum(seen) < 1000


def test_files_that_are_not_listed_are_never_read() -> None:
    folder = Draft().write(Path("b"))
    (folder / "evil.so").write_bytes(b"\x7fELF")
    bundle = Bundle.open(folder)
    refused("evil.so is not a file of this bundle", lambda: bundle.bytes("evil.so"))
    refused("is not a file of this bundle", lambda: bundle.bytes("../b/conv.onnx"))


def test_there_are_enough_of_them() -> None:
    assert len(MANIFEST) + len(GRAPH) + len(GOLDEN) + len(FOLDER) >= 45
