"""Folders that are not what their manifest says: how they are spoilt, and the words that refuse them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any


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
