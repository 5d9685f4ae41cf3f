"""Data sets of datasets.py and more_datasets.py grown to any size: the same pictures under many names, some broken."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path


def multiply_hagrid(folder: Path, times: int) -> list[Path]:
    """Every picture of version 2 `times` times, users of their own; the pictures, in order."""
    for file in sorted(folder.glob("hagrid_annotations/*/*.json")):
        entries = json.loads(file.read_text())
        many = {
            f"{stem}-{k}": entry | {"user_id": f"user {k}"} for stem, entry in entries.items() for k in range(times)
        }
        for name in many:
            stem, _, _ = name.rpartition("-")
            _link(folder / "hagrid_dataset" / file.stem / f"{stem}.jpg", name)
        file.write_text(json.dumps(many))
    return sorted(folder.glob("hagrid_dataset/*/*-*-*.jpg"))


def multiply_reinterhand(folder: Path, times: int) -> list[Path]:
    """Every frame `times` times, 10,000 apart; the pictures, in order."""
    made = []
    for capture in folder.glob("m--*"):
        for file in sorted(path for path in capture.rglob("*") if path.stem.isdigit() and path.is_file()):
            padded = len(file.stem) == 6
            for k in range(1, times):
                frame = int(file.stem) + 10_000 * k
                made.append(_link(file, f"{frame:06d}" if padded else str(frame)))
    return sorted(path for path in made if "images" in path.parts)


def spoil(pictures: Iterable[Path]) -> None:
    """The second half of each file is lost: its header still tells the picture's size."""
    for path in pictures:
        content = path.read_bytes()
        path.unlink()  # others share its bytes
        path.write_bytes(content[: len(content) // 2] if path.suffix == ".jpg" else content[:60])


def _link(file: Path, stem: str) -> Path:
    path = file.with_name(stem + file.suffix)
    os.link(file, path)
    return path
