"""A small good bundle, and what spoils it: the tools of the attacks in tests/engines/trust/test_hostile.py.

Where an attack includes a consistent manifest, sizes and hashes are those of the spoilt files.
"""

from __future__ import annotations

import io
import json
import os
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from handfirst.engines.files import sha256

WEIGHTS = np.arange(12, dtype=np.float32)


def good_model() -> onnx.ModelProto:
    """y = relu(x * k) + b over [n, 12]; k lies in conv.weights, b in the graph."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 12]) for name in "xy"]
    nodes = [
        helper.make_node("Mul", ["x", "k"], ["a"]),
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("Add", ["r", "b"], ["y"]),
    ]
    weights = [numpy_helper.from_array(WEIGHTS, name) for name in "kb"]
    place(weights[0], location="conv.weights", offset="16", length="48")
    body = helper.make_graph(nodes, "g", ends[:1], ends[1:], weights)
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def place(tensor: TensorProto, **entries: str) -> None:
    """Makes a tensor external."""
    for name in ("raw_data", "external_data"):
        tensor.ClearField(name)
    tensor.data_location = TensorProto.EXTERNAL
    for name, text in entries.items():
        tensor.external_data.add(key=name, value=text)


def npz(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def good_golden() -> dict[str, np.ndarray]:
    x = np.linspace(-1, 1, 24, dtype=np.float32).reshape(2, 12)
    return {"conv.in.x": x, "conv.out.y": np.maximum(x * WEIGHTS, 0) + WEIGHTS}


@dataclass
class Draft:
    """A bundle in the making. Files and graph are spoilt first, `edits` change the manifest that was made for them."""

    model: onnx.ModelProto = field(default_factory=good_model)
    files: dict[str, bytes] = field(default_factory=dict)
    edits: list[Callable[[dict[str, Any]], Any]] = field(default_factory=list)
    raw: bytes | None = None

    @property
    def graph(self) -> onnx.GraphProto:
        return self.model.graph

    def write(self, folder: Path) -> Path:
        contents = {
            "conv.onnx": self.model.SerializeToString(),
            "conv.weights": bytes(16) + WEIGHTS.tobytes(),
            "tokenizer.json": b"{}",
            "palette.json": b"{}",
            "golden.npz": npz(**good_golden()),
            **self.files,
        }
        folder.mkdir()
        for name, data in contents.items():
            (folder / name).write_bytes(data)
        manifest = self.manifest({n: {"sha256": sha256(d), "size": len(d)} for n, d in contents.items()})
        for edit in self.edits:
            edit(manifest)
        raw = json.dumps(manifest).encode() if self.raw is None else self.raw
        (folder / "manifest.json").write_bytes(raw)
        return folder

    def manifest(self, files: dict[str, Any]) -> dict[str, Any]:
        ends = [{"name": name, "dtype": "float32", "shape": ["n", 12]} for name in "xy"]
        engine = {
            "file": "conv.onnx", "data": ["conv.weights"], "spec": {"inputs": ends[:1], "outputs": ends[1:]},
            "precision": "float32", "opset": 21, "tolerance_psnr": 60.0, "measured_psnr": 120.0,
        }  # fmt: skip
        return {
            "schema_version": 2, "name": "tiny", "system": "two-stage", "created_with": {"handfirst": "0.1.0"},
            "engines": {"conv": engine}, "files": files, "tokenizer": "tokenizer.json", "golden": "golden.npz",
            "assets": {"palette": "palette.json"}, "settings": {}, "decisions": {},
        }  # fmt: skip


Spoil = Callable[[Draft], Any]


def edit(change: Callable[[dict[str, Any]], Any]) -> Spoil:
    return lambda draft: draft.edits.append(change)


def put(*path: str | int, value: Any) -> Spoil:
    """Sets one field of the manifest."""

    def change(manifest: dict[str, Any]) -> None:
        at: Any = manifest
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value

    return edit(change)


def raw(data: bytes) -> Spoil:
    return lambda draft: setattr(draft, "raw", data)


def rename(new: str) -> Spoil:
    """The engine's file under another name; only the manifest says so."""

    def change(manifest: dict[str, Any]) -> None:
        manifest["files"][new] = manifest["files"].pop("conv.onnx")
        manifest["engines"]["conv"]["file"] = new

    return edit(change)


def content(name: str, data: bytes | Callable[[], bytes]) -> Spoil:
    """Another file, its hash and size right."""
    return lambda draft: draft.files.update({name: data if isinstance(data, bytes) else data()})


def graph(change: Callable[[onnx.GraphProto], Any]) -> Spoil:
    return lambda draft: change(draft.model.graph)


def weights_at(**entries: str) -> Spoil:
    return graph(lambda g: place(g.initializer[0], **{"location": "conv.weights", "length": "48", **entries}))


def node(op_type: str, domain: str = "", **attributes: Any) -> Spoil:
    """One more operator, its output unused."""
    return graph(lambda g: g.node.append(helper.make_node(op_type, ["x"], ["extra"], domain=domain, **attributes)))


def cycle(g: onnx.GraphProto) -> None:
    g.node[0].input[1] = "r"


def constant_from_disk(g: onnx.GraphProto) -> None:
    tensor = numpy_helper.from_array(WEIGHTS, "")
    place(tensor, location="conv.weights", offset="0", length="48")
    g.node.append(helper.make_node("Constant", [], ["extra"], value=tensor))


def subgraph_from_disk(g: onnx.GraphProto) -> None:
    """The subgraph's weight has the name of one that is fine."""
    inner = helper.make_graph(
        [helper.make_node("Identity", ["k"], ["o"])], "inner", [], [helper.make_empty_tensor_value_info("o")]
    )
    inner.initializer.add().CopyFrom(g.initializer[0])
    place(inner.initializer[0], location="/etc/passwd", length="48")
    g.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    g.node.append(helper.make_node("If", ["yes"], ["extra"], then_branch=inner, else_branch=inner))


def doubling_functions(draft: Draft) -> None:
    """Each calls the one before twice: 2 ** 40 operators once they are inlined."""
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("f", 1)]
    for i in range(40):
        op, domain = ("Relu", "") if i == 0 else (f"f{i - 1}", "f")
        nodes = [helper.make_node(op, [a], [b], domain=domain) for a, b in (("i", "m"), ("m", "o"))]
        draft.model.functions.append(helper.make_function("f", f"f{i}", ["i"], ["o"], nodes, opsets))
    draft.graph.node.append(helper.make_node("f39", ["x"], ["extra"], domain="f"))


def sparse(g: onnx.GraphProto) -> None:
    values = numpy_helper.from_array(np.ones(1, np.float32), "s")
    g.sparse_initializer.append(
        helper.make_sparse_tensor(values, numpy_helper.from_array(np.zeros(1, np.int64)), [1 << 40])
    )


def ort_format(draft: Draft) -> None:
    """A valid ONNX graph whose bytes 4 to 8 make onnxruntime take it for a file of its own format."""
    data = draft.model.SerializeToString()
    assert data[:2] == b"\x08\x0a"
    draft.files["conv.onnx"] = data[:2] + b"\x12\x08ORTMabcd" + data[2:]


def member(name: str, array: np.ndarray | bytes, claim: tuple[int, ...] | None = None) -> bytes:
    """An .npz with one more member; `claim` is a shape that its header claims instead of its own."""
    file = io.BytesIO()
    if isinstance(array, bytes):
        file.write(array)
    else:
        header = {"descr": array.dtype.str, "fortran_order": False, "shape": claim or array.shape}
        np.lib.format.write_array_header_1_0(file, header)
        file.write(array.tobytes())
    out = io.BytesIO(npz(**{"conv.in.x": good_golden()["conv.in.x"]}))
    with zipfile.ZipFile(out, "a", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings(action="ignore"):
        archive.writestr(name, file.getvalue())
    return out.getvalue()


def claims_to_unpack(size: int) -> bytes:
    """An .npz whose folder claims that the last member is of `size` bytes."""
    data = bytearray(member("conv.out.y.npy", good_golden()["conv.out.y"]))
    at = data.rindex(b"PK\x01\x02")
    data[at + 24 : at + 28] = size.to_bytes(4, "little")
    return bytes(data)


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch pwned",)


def pickled() -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([Evil()], object), allow_pickle=True)
    return file.getvalue()


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def broken_packing() -> bytes:
    """The packed bytes of the first member are no deflate stream."""
    data = bytearray(npz(**good_golden()))
    at = 30 + int.from_bytes(data[26:28], "little") + int.from_bytes(data[28:30], "little")
    data[at : at + 8] = b"\xff" * 8
    return bytes(data)


def locked() -> bytes:
    data = bytearray(npz(**good_golden()))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)
