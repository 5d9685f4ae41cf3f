"""What a command leaves behind: pictures on disk, one JSON object on stdout, short lines for people.

Knows nothing about models or poses. Every target is checked before work begins, and a set of files appears whole or
not at all.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handfirst.engines.errors import UserError
from handfirst.engines.files import atomic_path

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture and where it goes: uint8 RGB [H, W, 3], or bool [H, W] for a mask."""

    kind: str
    """"result", "sheet", "hand", "mask", "canvas" or "pose"."""
    path: Path
    image: NDArray[Any]
    seed: int | None = None
    xmp: bytes | None = None
    """What its file says of how it was made (metadata.py)."""
    result: Any = None
    """What the picture is of, where its file may hold more than pixels (pictures.encode_of)."""

    def describe(self) -> dict[str, Any]:
        """The picture as one entry of the JSON object; sizes in pixels."""
        height, width = self.image.shape[:2]
        return {"path": str(self.path), "kind": self.kind, "seed": self.seed, "width": width, "height": height}


def png_target(path: Path) -> Path:
    """`path` itself, if a PNG can be written there.

    Raises:
        UserError: the name does not end in .png, is a folder, or its folder is missing or read-only.
    """
    if path.suffix.lower() != ".png":
        raise UserError(f"expected a file name that ends in .png, got '{path}'; pictures are written without loss")
    return file_target(path, ".png")


def file_target(path: Path, suffix: str) -> Path:
    """`path` itself, if a file whose name ends in `suffix` can be written there.

    Raises:
        UserError: another ending, a folder, or its folder is missing or read-only.
    """
    if path.suffix.lower() != suffix:
        raise UserError(f"expected a file name that ends in {suffix}, got '{path}'; add the ending")
    if path.is_dir():
        raise UserError(f"expected a file to write, but '{path}' is a folder; add a file name to it")
    folder_target(path.parent, make=False)
    return path


def folder_target(path: Path, make: bool = True) -> Path:
    """`path` itself, if files can be written into it; with `make`, a folder that does not exist yet will do.

    Raises:
        UserError: it is a file, missing (without `make`), or read-only.
    """
    if path.exists() and not path.is_dir():
        raise UserError(f"expected a folder to write to, but '{path}' is a file; choose another name")
    if not path.exists() and not make:
        raise UserError(f"the folder '{path}' does not exist; make it first, or choose another place")
    standing = next(place for place in (path, *path.absolute().parents) if place.exists())
    if not standing.is_dir():
        raise UserError(f"cannot make the folder '{path}': '{standing}' is a file; choose another name")
    if not os.access(standing, os.W_OK | os.X_OK):
        raise UserError(f"the folder '{standing}' is not writable; choose another place")
    return path


def numbered(path: Path, index: int, count: int) -> Path:
    """The name of picture `index` (from 0) of `count`: `path` itself if it is the only one, else NAME-1.png, ..."""
    return path if count == 1 else path.with_name(f"{path.stem}-{index + 1:0{len(str(count))}d}{path.suffix}")


def write_pictures(pictures: Sequence[Picture], folder: Path | None = None) -> None:
    """Writes all of them, or none. `folder` is made if it does not exist, and removed again if writing fails."""
    from handfirst.runtime.pictures import encode_of

    data = [encode_of(picture.result, picture.image, xmp=picture.xmp) for picture in pictures]
    made = [] if folder is None else [p for p in (folder, *folder.absolute().parents) if not p.exists()]
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    try:
        with ExitStack() as stack:
            for picture, content in zip(pictures, data, strict=True):
                stack.enter_context(atomic_path(picture.path)).write_bytes(content)
    except BaseException:
        for place in made:
            with suppress(OSError):
                place.rmdir()
        raise


def print_json(value: dict[str, Any]) -> None:
    """One JSON object on stdout, and nothing else there."""
    print(json.dumps(value, indent=2, allow_nan=False))


def finite(number: float | None) -> float | None:
    """`number`, or None for what JSON has no word for: a perfect match has infinite PSNR."""
    return number if number is not None and math.isfinite(number) else None


PIPED = 240
"""Characters to a line of a table that no terminal shows: wide enough not to fold what another program reads."""


def columns() -> int | None:
    """Characters to a line of the terminal; None where stdout goes elsewhere."""
    return os.get_terminal_size().columns if sys.stdout.isatty() else None


def print_table(
    title: str,
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    words: int | None = None,
    width: int | None = None,
) -> None:
    """A table on stdout; cells are plain text.

    Args:
        words: so many columns are words; the others are numbers, which stand on the right. None: all are words.
        width: characters to a line; None: as many as the terminal has, PIPED where stdout goes elsewhere.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD)
    for i, head in enumerate(heads):
        number = words is not None and i >= words
        table.add_column(head, overflow="fold", justify="right" if number else "left", no_wrap=words is not None)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console(width=width or columns() or PIPED).print(table)


def print_files(pictures: Sequence[Picture]) -> None:
    """A line per file: what it is and where."""
    widest = max(len(picture.kind) for picture in pictures)
    for picture in pictures:
        height, width = picture.image.shape[:2]
        print(f"{picture.kind:<{widest}}  {picture.path}  ({width} x {height})")


def print_warnings(warnings: Sequence[str]) -> None:
    """A line per warning on stderr."""
    for warning in warnings:
        print("warning:", one_line(warning), file=sys.stderr)


def one_line(text: str) -> str:
    """`text` without line breaks and other things that a terminal would obey."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
