"""A bundle: a flat folder of a manifest and the files it lists. Opens engines by role.

Every file's size and SHA-256 are checked on the very bytes that the parser then gets. Knows nothing about what the
engines mean to each other; the system that runs them does.
"""

from __future__ import annotations

import io
import os
import stat
import zipfile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from handfirst.engines.choice import open_engine
from handfirst.engines.engine import Array, Engine
from handfirst.engines.errors import BundleError
from handfirst.engines.files import sha256
from handfirst.engines.graph import Graph
from handfirst.engines.manifest import FILE, MAX_BYTES, Manifest, read_manifest


@dataclass(frozen=True)
class Bundle:
    """An opened bundle: nothing heavy is loaded until it is asked for.

    Attributes:
        path: the folder.
        manifest: what it says.
        digest: SHA-256 of the manifest's bytes; as the manifest lists every file's, it identifies the whole bundle.
    """

    path: Path
    manifest: Manifest
    digest: str

    @classmethod
    def open(cls, path: Path | str, verify: bool = True) -> Bundle:
        """Reads the manifest; with `verify` also looks that every file is there with its size.

        Raises:
            BundleError: one line: what was expected, what came, how to mend it.
        """
        path = Path(path)
        if not path.is_dir():
            raise BundleError(f"{path}: no such bundle folder; give a folder that holds {FILE}")
        data = _read(path, FILE, MAX_BYTES)
        bundle = cls(path, read_manifest(data, str(path)), sha256(data))
        if verify:
            for name, entry in bundle.manifest.files.items():
                _check_file(path, name, entry.size)
        return bundle

    def bytes(self, name: str) -> bytes:
        """The checked bytes of a listed file.

        Raises:
            BundleError: not listed, missing, a link, another size or another hash.
        """
        entry = self.manifest.files.get(name)
        if entry is None:
            raise BundleError(f"{self.path}: {name} is not a file of this bundle")
        _check_file(self.path, name, entry.size)
        data = _read(self.path, name, entry.size)
        if sha256(data) != entry.sha256:
            raise BundleError(f"{self.path}: {name} was altered (its SHA-256 differs); copy or export the bundle again")
        return data

    def graph(self, role: str) -> Graph:
        """The graph of a role, its files read and checked.

        Raises:
            BundleError: no such role, or one of its files cannot be trusted.
        """
        entry = self.manifest.engines.get(role)
        if entry is None:
            has = ", ".join(self.manifest.engines) or "none"
            raise BundleError(f"{self.path}: no engine for {role}; the bundle has {has}")
        files = (entry.file, *entry.data)
        return Graph(
            role=role,
            spec=entry.spec,
            model=self.bytes(entry.file),
            data={name: self.bytes(name) for name in entry.data},
            precision=entry.precision,
            digest=sha256("".join(self.manifest.files[name].sha256 for name in files).encode()),
            source=f"{self.path}: {entry.file}",
        )

    def engine(self, role: str, engine: str = "cpu", threads: int | None = None) -> Engine:
        """Opens the engine of a role.

        Args:
            engine: one of choice.ENGINES.
            threads: for one operator; None: one per usable core.

        Raises:
            BundleError: no such role, or its files cannot be trusted or parsed.
            EngineError: the engine's library or hardware is missing.
        """
        return open_engine(self.graph(role), engine, threads)

    def golden(self) -> dict[str, Array]:
        """The reference tensors, "{role}.in.{tensor}" and "{role}.out.{tensor}"; empty if the bundle has none.

        Raises:
            BundleError: if the file cannot be trusted or read.
        """
        if self.manifest.golden is None:
            return {}
        data = self.bytes(self.manifest.golden)
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                return {key: file[key] for key in file.files}
        except (ValueError, OSError, zipfile.BadZipFile, EOFError, KeyError) as error:
            raise BundleError(
                f"{self.path}: {self.manifest.golden} is not an .npz of arrays; export the bundle again"
            ) from error


def demo_bundle_path() -> Path:
    """The embedded default.

    Raises:
        BundleError: if this installation lacks it.
    """
    path = Path(str(resources.files("handfirst.engines"))) / "bundles" / "demo"
    if not (path / FILE).is_file():
        raise BundleError(
            "the demo bundle is missing from this installation; reinstall: pip install --force-reinstall handfirst"
        )
    return path


def _check_file(folder: Path, name: str, size: int) -> None:
    try:
        status = os.lstat(folder / name)
    except OSError as error:
        raise BundleError(f"{folder}: {name} is missing; copy or export the bundle again") from error
    if not stat.S_ISREG(status.st_mode):
        raise BundleError(f"{folder}: {name} is a link or not a plain file; a bundle holds plain files only")
    if status.st_size != size:
        raise BundleError(
            f"{folder}: {name} expected {size} bytes, got {status.st_size}; copy or export the bundle again"
        )


def _read(folder: Path, name: str, limit: int) -> bytes:
    """At most `limit` bytes of a plain file; never through a link."""
    try:
        descriptor = os.open(folder / name, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise BundleError(f"{folder}: {name} is not a plain file; a bundle holds plain files only")
            data = file.read(limit + 1)
    except FileNotFoundError as error:
        raise BundleError(f"{folder}: {name} is missing; is this a handfirst bundle?") from error
    except OSError as error:
        raise BundleError(f"{folder}: {name} cannot be read as a plain file ({error.strerror})") from error
    if len(data) > limit:
        raise BundleError(f"{folder}: {name} is larger than {limit} bytes; copy or export the bundle again")
    return data
