"""The manifest: what a bundle holds and what its model is. One JSON file, written last and read first."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from handfirst.engines.errors import BundleError
from handfirst.engines.files import atomic_write_bytes
from handfirst.engines.graph import Precision
from handfirst.engines.spec import LARGEST_AXIS, EngineSpec, TensorSpec

SCHEMA_VERSION = 2
"""Of what is written. Version 1, which is still read, has a tokenizer in any case and no assets."""
OLDEST_VERSION = 1
FILE = "manifest.json"
MAX_BYTES = 4 << 20

MAX_FILES = 1000
MAX_FILE_BYTES = 1 << 36
MAX_ONNX_BYTES = (2 << 30) - 1
"""Protobuf's own limit; larger weights lie in files of their own."""
MAX_TOKENIZER_BYTES = 1 << 26
MAX_GOLDEN_BYTES = 1 << 30
MAX_ASSET_BYTES = 1 << 28
MAX_TENSORS, MAX_RANK, MAX_AXIS = 100, 8, LARGEST_AXIS

_PLANS = (
    ".engine", ".plan", ".trt", ".ort", ".so", ".dll", ".dylib", ".pyd", ".py", ".pyc", ".pkl", ".pickle", ".pt",
    ".pth", ".ckpt",
)  # fmt: skip
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
_AXIS = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,49}")
_TENSOR = re.compile(r"[A-Za-z0-9_.:/-]{1,100}")


def _flat(name: str) -> str:
    """Of names that the pattern lets through, Windows takes some for devices or for other names."""
    if _DEVICE.fullmatch(name) or name.endswith("."):
        raise ValueError("a file name that Windows reserves")
    if name.lower() == FILE:
        raise ValueError("the manifest's own name")
    return name


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("control characters or line breaks in a text")
    return text


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$"), AfterValidator(_flat)]
"""A flat file name: no separators, no leading dot, so that nothing can point outside the bundle."""

Role = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,49}$")]

Line = Annotated[str, Field(max_length=2000), AfterValidator(_printable)]
"""Text that is shown to people."""

Title = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_printable)]


class _Block(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class FileEntry(_Block):
    """One file: its SHA-256 and its size in bytes."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=0, le=MAX_FILE_BYTES)


class FlopCount(_Block):
    """What torch counted for one run of a graph: two floating-point operations for every multiply-add."""

    axes: dict[Annotated[str, Field(pattern=f"^{_AXIS.pattern}$")], Annotated[int, Field(ge=1, le=MAX_AXIS)]] = Field(
        max_length=MAX_RANK
    )
    """Sizes of free axes by name."""
    count: int = Field(ge=0, le=1 << 62)


class EngineEntry(_Block):
    """One graph: its file, what it takes and gives, and how it was proven equal to torch."""

    file: Name
    spec: EngineSpec
    data: tuple[Name, ...] = Field((), max_length=MAX_FILES)
    """Files that its external tensors lie in."""
    precision: Precision
    opset: int = Field(ge=1, le=1000)
    tolerance_psnr: float = Field(ge=0, le=200)
    """The golden tensors must be met at least this well, in dB."""
    measured_psnr: float
    """What export measured, in dB; equal tensors count as 200."""
    flops: tuple[FlopCount, ...] = Field((), max_length=16)
    """Operations of one run at a few sizes; runtime/profile/flops.py tells those of others. Empty: not counted."""

    @model_validator(mode="after")
    def _can_be_opened(self) -> EngineEntry:
        for name in (self.file, *self.data):
            _no_code(name, "an ONNX file")
        if len({self.file, *self.data}) != 1 + len(self.data):
            raise ValueError(f"{self.file}: one file listed twice for the same graph")
        for kind, tensors in (("inputs", self.spec.inputs), ("outputs", self.spec.outputs)):
            if len({tensor.name for tensor in tensors}) != len(tensors) or len(tensors) > MAX_TENSORS:
                raise ValueError(f"{kind}: expected at most {MAX_TENSORS} tensors with different names")
            for tensor in tensors:
                _check_tensor(tensor)
        return self


class Manifest(_Block):
    """All of manifest.json."""

    schema_version: int
    name: Title
    system: Title
    """Which system of runtime/systems runs it."""
    created_with: dict[Title, Line]
    """Versions of handfirst, torch and others at export."""
    engines: dict[Role, EngineEntry] = Field(max_length=100)
    """By role."""
    files: dict[Name, FileEntry] = Field(max_length=MAX_FILES)
    """Every file but the manifest itself."""
    tokenizer: Name | None = None
    """Of systems that read text, a `tokenizer.json`."""
    assets: dict[Role, Name] = Field({}, max_length=100)
    """Other files that the system reads, under the names that it knows them by."""
    settings: dict[str, Any]
    """What the model is, and so what it needs (channels, hint, sizes); the system validates it against the engines."""
    decisions: dict[Title, Line]
    """Channel order, blend source, mask rule and the like, for people."""
    golden: Name | None = None
    """Reference inputs and outputs of every engine, an .npz."""
    training: dict[str, Any] = {}
    """What the weights cost."""

    @model_validator(mode="after")
    def _files_fit(self) -> Manifest:
        if len({name.lower() for name in self.files}) != len(self.files):
            raise ValueError("files: two names differ only in upper and lower case")
        limits = [(name, MAX_ASSET_BYTES) for name in self.assets.values()]
        limits += [(entry.file, MAX_ONNX_BYTES) for entry in self.engines.values()]
        if self.tokenizer is not None:
            limits.append((self.tokenizer, MAX_TOKENIZER_BYTES))
        if self.golden is not None:
            limits.append((self.golden, MAX_GOLDEN_BYTES))
        for name, limit in limits:
            if name in self.files and self.files[name].size > limit:
                raise ValueError(f"{name}: expected at most {limit} bytes, got {self.files[name].size}")
        return self

    @model_validator(mode="after")
    def _assets_hold_no_code(self) -> Manifest:
        for name in self.assets.values():
            _no_code(name, "data")
        return self

    @model_validator(mode="after")
    def _is_of_its_schema(self) -> Manifest:
        if self.schema_version < 2 and (self.tokenizer is None or self.assets):
            raise ValueError("schema 1 has a tokenizer and no assets")
        return self


def read_manifest(data: bytes, where: str) -> Manifest:
    """Parses manifest.json.

    Raises:
        BundleError: not JSON, another schema version, an unknown or missing field, an entry without its file.
    """
    try:
        fields = json.loads(
            data.decode("utf-8"), object_pairs_hook=_object, parse_float=_finite, parse_constant=_finite
        )
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{where}: {FILE} is not valid JSON ({_line(error)}); copy the bundle again") from error
    _check_version(fields, where)
    try:
        # as JSON once more: in Python's own objects pydantic would not tell true from 1 or "1"
        manifest = Manifest.model_validate_json(json.dumps(fields), strict=True)
    except (ValidationError, RecursionError) as error:
        detail = _first(error) if isinstance(error, ValidationError) else "nested too deeply"
        raise BundleError(f"{where}: {FILE}: {detail}; export the bundle again") from error
    graphs = [file for entry in manifest.engines.values() for file in (entry.file, *entry.data)]
    for file in (manifest.tokenizer, *manifest.assets.values(), manifest.golden, *graphs):
        if file is not None and file not in manifest.files:
            raise BundleError(f"{where}: {FILE} names {file} but does not list it under files; export the bundle again")
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes manifest.json in one step; call it when every other file is in place."""
    atomic_write_bytes(folder / FILE, (manifest.model_dump_json(indent=1) + "\n").encode())


def _check_version(fields: Any, where: str) -> None:
    if not isinstance(fields, dict):
        raise BundleError(f"{where}: {FILE} expected an object, got {type(fields).__name__}; export the bundle again")
    version = fields.get("schema_version")
    if not isinstance(version, int) or isinstance(version, bool):
        raise BundleError(
            f"{where}: {FILE} has no schema_version, expected {SCHEMA_VERSION}; is this a handfirst bundle? "
            "copy it again"
        )
    if version > SCHEMA_VERSION:
        raise BundleError(
            f"{where}: bundle schema {version} is newer than this handfirst reads ({SCHEMA_VERSION}); "
            "upgrade: pip install -U handfirst"
        )
    if version < OLDEST_VERSION:
        raise BundleError(f"{where}: bundle schema {version} is older than {OLDEST_VERSION}; export the bundle again")


def _no_code(name: str, expected: str) -> None:
    if name.lower().endswith(_PLANS):
        raise ValueError(f"{name}: plans and code are never loaded from a bundle, expected {expected}")


def _check_tensor(tensor: TensorSpec) -> None:
    if not _TENSOR.fullmatch(tensor.name):
        raise ValueError(f"a tensor is named {tensor.name[:40]!r}, expected letters, digits and _.:/-")
    axes = tensor.shape
    named = all(_AXIS.fullmatch(axis) for axis in axes if isinstance(axis, str))
    if not named or len(axes) > MAX_RANK or not all(1 <= axis <= MAX_AXIS for axis in axes if isinstance(axis, int)):
        raise ValueError(
            f"{tensor.name[:40]} cannot have the shape {str(list(axes))[:60]}, expected at most {MAX_RANK} axes, each "
            f"a name or 1 to {MAX_AXIS}"
        )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise ValueError("a key stands twice")
    if not all(key.isprintable() and len(key) <= 200 for key in out):
        raise ValueError("a key is no plain text of at most 200 characters")
    return out


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is not a finite number")
    return number


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    field = ".".join(map(str, first["loc"]))[:100]
    got = "" if isinstance(first["input"], dict) else f", got {str(first['input'])[:60]!r}"
    return _line(f"{field}: {first['msg'].removeprefix('Value error, ')}{got}")


def _line(text: object) -> str:
    plain = "".join(c if c.isprintable() else " " for c in str(text))
    return " ".join(plain.split())[:200]
