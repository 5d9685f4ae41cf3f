"""The manifest: what a bundle holds and what its model is. One JSON file, written last and read first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from handfirst.engines.errors import BundleError
from handfirst.engines.files import atomic_write_bytes
from handfirst.engines.graph import Precision
from handfirst.engines.spec import EngineSpec

SCHEMA_VERSION = 1
FILE = "manifest.json"
MAX_BYTES = 4 << 20

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$")]
"""A flat file name: no separators, no leading dot, so that nothing can point outside the bundle."""


class _Block(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileEntry(_Block):
    """One file: its SHA-256 and its size in bytes."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=0)


class EngineEntry(_Block):
    """One graph: its file, what it takes and gives, and how it was proven equal to torch."""

    file: Name
    spec: EngineSpec
    data: tuple[Name, ...] = ()
    """Files that its external tensors lie in."""
    precision: Precision
    opset: int = Field(ge=1)
    tolerance_psnr: float
    """The golden tensors must be met at least this well, in dB."""
    measured_psnr: float
    """What export measured, in dB; equal tensors count as 200."""


class Manifest(_Block):
    """All of manifest.json."""

    schema_version: int
    name: str = Field(min_length=1, max_length=100)
    system: str
    """Which system of runtime/systems runs it: "two-stage"."""
    created_with: dict[str, str]
    """Versions of handfirst, torch and others at export."""
    engines: dict[str, EngineEntry]
    """By role."""
    files: dict[Name, FileEntry]
    """Every file but the manifest itself."""
    tokenizer: Name
    settings: dict[str, Any]
    """What the model is; the system validates it."""
    decisions: dict[str, str]
    """Channel order, blend source, mask rule and the like, for people."""
    golden: Name | None = None
    """Reference inputs and outputs of every engine, an .npz."""
    training: dict[str, Any] = {}
    """What the weights cost."""


def read_manifest(data: bytes, where: str) -> Manifest:
    """Parses manifest.json.

    Raises:
        BundleError: not JSON, another schema version, an unknown or missing field, an entry without its file.
    """
    try:
        fields = json.loads(data.decode("utf-8"), object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{where}: {FILE} is not valid JSON ({_line(error)}); copy the bundle again") from error
    _check_version(fields, where)
    try:
        manifest = Manifest.model_validate(fields)
    except (ValidationError, RecursionError) as error:
        detail = _first(error) if isinstance(error, ValidationError) else "nested too deeply"
        raise BundleError(f"{where}: {FILE}: {detail}; export the bundle again") from error
    named = [manifest.tokenizer, *([manifest.golden] if manifest.golden else [])]
    graphs = [file for entry in manifest.engines.values() for file in (entry.file, *entry.data)]
    for file in (*named, *graphs):
        if file not in manifest.files:
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
        raise BundleError(f"{where}: {FILE} has no schema_version; is this a handfirst bundle?")
    if version > SCHEMA_VERSION:
        raise BundleError(
            f"{where}: bundle schema {version} is newer than this handfirst reads ({SCHEMA_VERSION}); "
            "upgrade: pip install -U handfirst"
        )
    if version < SCHEMA_VERSION:
        raise BundleError(f"{where}: bundle schema {version} is older than {SCHEMA_VERSION}; export the bundle again")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise ValueError("a key stands twice")
    return out


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    field = ".".join(map(str, first["loc"]))[:200]
    return _line(f"{field}: {first['msg']}, got {str(first['input'])[:60]!r}")


def _line(text: object) -> str:
    return " ".join(str(text).split())[:200]
