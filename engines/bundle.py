"""A bundle: a flat folder of a manifest and the files it lists. Opens engines by role.

Every file's size and SHA-256 are checked on the very bytes that the parser then gets: weights on those of a private
copy (private.py). Knows nothing about what the
engines mean to each other; the system that runs them does.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import BinaryIO

from handfirst.engines.engine import Array, Engine
from handfirst.engines.errors import BundleError
from handfirst.engines.files import sha256
from handfirst.engines.graph import Graph
from handfirst.engines.manifest import FILE, MAX_BYTES, Manifest, read_manifest
from handfirst.engines.opening import open_engine
from handfirst.engines.private import Folder
from handfirst.engines.trust.golden_file import read_golden
from handfirst.engines.trust.graph_rules import check_graph_file

EMBEDDED = ("demo", "repair", "sample")
"""Models that come with the package: a person's picture from a pose, hands of a picture drawn anew, and hands out of
noise."""


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

        Args:
            path: the folder; or the name of an embedded one (`EMBEDDED`), where there is no such folder.

        Raises:
            BundleError: one line: what was expected, what came, how to mend it.
        """
        path = Path(path)
        if not path.is_dir() and str(path) in EMBEDDED:
            path = embedded_bundle_path(str(path))
        if not path.is_dir():
            raise BundleError(
                f"{path}: no such bundle folder; give a folder that holds {FILE}, or one of {', '.join(EMBEDDED)}"
            )
        data = _read(path, FILE, MAX_BYTES)
        bundle = cls(path, read_manifest(data, str(path)), sha256(data))
        if verify:
            for name, entry in bundle.manifest.files.items():
                _check_file(path, name, entry.size)
        return bundle

    def tokenizer(self) -> bytes:
        """The checked bytes of its `tokenizer.json`.

        Raises:
            BundleError: it has none, or the file cannot be trusted.
        """
        if self.manifest.tokenizer is None:
            raise BundleError(f"{self.path}: expected a tokenizer, the bundle has none; export the bundle again")
        return self.bytes(self.manifest.tokenizer)

    def asset(self, name: str) -> bytes:
        """The checked bytes of a named asset; what they mean, and whether they make sense, is the system's to say.

        Raises:
            BundleError: no such asset, or its file cannot be trusted.
        """
        file = self.manifest.assets.get(name)
        if file is None:
            has = ", ".join(self.manifest.assets) or "none"
            raise BundleError(f"{self.path}: no asset {name}; the bundle has {has}; export the bundle again")
        return self.bytes(file)

    def bytes(self, name: str) -> bytes:
        """The checked bytes of a listed file.

        Raises:
            BundleError: not listed, missing, a link, another size or another hash.
        """
        entry = self.manifest.files.get(name)
        if entry is None:
            raise BundleError(f"{self.path}: {name} is not a file of this bundle; give one that its manifest lists")
        _check_file(self.path, name, entry.size)
        data = _read(self.path, name, entry.size, entry.size)
        if sha256(data) != entry.sha256:
            raise self._altered(name)
        return data

    def size(self, role: str) -> int:
        """Bytes of all files of a role's graph."""
        entry = self.manifest.engines[role]
        return sum(self.manifest.files[name].size for name in (entry.file, *entry.data))

    def graph(self, role: str) -> Graph:
        """The graph of a role, its files read and checked, and what they hold against graph_rules.py.

        Raises:
            BundleError: no such role, one of its files cannot be trusted, or the graph holds what it must not.
        """
        entry = self.manifest.engines.get(role)
        if entry is None:
            has = ", ".join(self.manifest.engines) or "none"
            raise BundleError(f"{self.path}: no engine for {role}; the bundle has {has}")
        files = (entry.file, *entry.data)
        model = self.bytes(entry.file)
        folder = self._private(entry.data) if entry.data else None
        graph = Graph(
            role=role,
            spec=entry.spec,
            model=model,
            data={name: folder.bytes(name) if folder else self.bytes(name) for name in entry.data},
            folder=folder,
            precision=entry.precision,
            digest=sha256("".join(self.manifest.files[name].sha256 for name in files).encode()),
            source=f"{self.path}: {entry.file}",
        )
        check_graph_file(graph)
        return graph

    def _private(self, names: Iterable[str]) -> Folder | None:
        """Checked copies of listed files, which are never in memory as a whole; None where there is no room, or where
        what a library holds open cannot be removed.

        Raises:
            BundleError: as `bytes`.
        """
        if os.name != "posix":
            return None
        folder = Folder()
        for name in names:
            entry = self.manifest.files[name]
            _check_file(self.path, name, entry.size)
            try:
                with _opened(self.path, name, entry.size) as file:
                    digest = folder.copy(file, name)
            except OSError:
                folder.close()
                return None
            if digest != entry.sha256:
                folder.close()
                raise self._altered(name)
        return folder

    def _altered(self, name: str) -> BundleError:
        return BundleError(f"{self.path}: {name} was altered (its SHA-256 differs); copy or export the bundle again")

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
        specs = {role: entry.spec for role, entry in self.manifest.engines.items()}
        return read_golden(data, specs, f"{self.path}: {self.manifest.golden}")


def demo_bundle_path() -> Path:
    """The embedded default; raises as `embedded_bundle_path`."""
    return embedded_bundle_path("demo")


def embedded_bundle_path(name: str) -> Path:
    """Of one of `EMBEDDED`.

    Raises:
        BundleError: if this installation lacks it.
    """
    path = Path(str(resources.files("handfirst.engines"))) / "bundles" / name
    if not (path / FILE).is_file():
        raise BundleError(
            f"the {name} bundle is missing from this installation; reinstall: pip install --force-reinstall handfirst"
        )
    return path


def _check_file(folder: Path, name: str, size: int) -> None:
    try:
        status = os.lstat(folder / name)
    except OSError as error:
        raise BundleError(f"{folder}: {name} is missing; copy or export the bundle again") from error
    _check_status(folder, name, status, size)


def _check_status(folder: Path, name: str, status: os.stat_result, size: int | None) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise BundleError(
            f"{folder}: {name} is a link or not a plain file; a bundle holds plain files only, copy it again"
        )
    if size is not None and status.st_size != size:
        raise BundleError(
            f"{folder}: {name} expected {size} bytes, got {status.st_size}; copy or export the bundle again"
        )


_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


@contextmanager
def _opened(folder: Path, name: str, size: int | None) -> Iterator[BinaryIO]:
    """A plain file, never through a link, of that size once more now that it is open."""
    with os.fdopen(os.open(folder / name, _FLAGS), "rb") as file:
        _check_status(folder, name, os.fstat(file.fileno()), size)
        yield file


def _read(folder: Path, name: str, limit: int, size: int | None = None) -> bytes:
    """At most `limit` bytes of a plain file, exactly `size` if given; never through a link.

    The size is checked once more on the opened file, so that no more memory is taken than the manifest says.
    """
    try:
        with _opened(folder, name, size) as file:
            data = file.read(limit + 1)
    except FileNotFoundError as error:
        raise BundleError(f"{folder}: {name} is missing; is this a handfirst bundle? copy it again") from error
    except OSError as error:
        raise BundleError(
            f"{folder}: {name} cannot be read as a plain file ({error.strerror}); copy the bundle again"
        ) from error
    except MemoryError as error:
        raise BundleError(f"{folder}: {name} needs {limit} bytes of memory, which are not there; free some") from error
    if len(data) > limit:
        raise BundleError(f"{folder}: {name} is larger than {limit} bytes; copy or export the bundle again")
    return data
