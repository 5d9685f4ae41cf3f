"""Bundles made to harm: each is refused in one line that names the place and the remedy, before a library is opened.

Where an attack includes a consistent manifest, sizes and hashes are those of the spoilt files.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.hostile_bundle import (
    Draft,
)
from support.hostile_folders import FOLDER
from support.hostile_golden import GOLDEN
from support.hostile_graphs import GRAPH
from support.hostile_manifests import MANIFEST

from handfirst.engines import bundle as bundles
from handfirst.engines.bundle import Bundle
from handfirst.engines.errors import BundleError

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
    assert len(MANIFEST) + len(GRAPH) + len(GOLDEN) + len(FOLDER) >= 300
