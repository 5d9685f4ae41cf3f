"""Manifests made to harm: what is done to a good one, and the words that refuse it when the bundle is opened."""

from __future__ import annotations

from support.hostile_bundle import (
    Spoil,
    edit,
    put,
    raw,
    rename,
)

DEEP = b'{"schema_version": 1, "training": ' + b'{"a":' * 5000 + b"1" + b"}" * 5001
ENGINE = ("engines", "conv")
ENTRY = {"sha256": "ab" * 32, "size": 9}
X = {"name": "x", "dtype": "float32", "shape": ["n", 12]}
INPUT = (*ENGINE, "spec", "inputs", 0)
LARGE = 1 << 50
LIMITS = (*ENGINE, "spec", "limits")

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
    "limits upside down": (put(*LIMITS, value={"n": {"usual": 9, "most": 2}}), "expected least <= usual <= most"),
    "limits without end": (put(*LIMITS, value={"n": {"usual": 1, "most": LARGE}}), "limits.n.most"),
    "limits of no axis": (put(*LIMITS, value={"a\x1b": {"usual": 1, "most": 2}}), "manifest.json"),
    "unknown dtype": (put(*INPUT, "dtype", value="object"), "engines.conv.spec.inputs.0.dtype"),
    "tolerance below nothing": (put(*ENGINE, "tolerance_psnr", value=-1000.0), "engines.conv.tolerance_psnr"),
}  # fmt: skip
"""Refused when the bundle is opened."""
