"""Files as they lie on disks: what one is, told by its first bytes, and one line for whatever goes wrong with it.

Suffixes are renamed, upper case, or those of what should have come. Knows nothing about networks.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from handfirst.engines.errors import UserError, lacks_memory

PICKLED = (".ckpt", ".bin", ".pt", ".pth")
HEAD = 512
"""Bytes that are looked at."""

Kind = Literal["safetensors", "zip", "pickle"]

_SIGNS: tuple[tuple[bytes, str, str], ...] = (
    (b"version https://git-lfs", "a git-lfs pointer", "run `git lfs pull`, or download the file itself"),
    (b"GGUF", "a GGUF file", "give the checkpoint that it was made from"),
    (b"\x1f\x8b", "a gzip archive", "unpack it first"),
    (b"BZh", "a bzip2 archive", "unpack it first"),
    (b"\xfd7zXZ", "an xz archive", "unpack it first"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", "unpack it first"),
    (b"7z\xbc\xaf", "a 7z archive", "unpack it first"),
    (b"Rar!", "a rar archive", "unpack it first"),
    (b"\x89PNG", "a picture", "give the checkpoint itself"),
    (b"\xff\xd8\xff", "a picture", "give the checkpoint itself"),
    (b"RIFF", "a picture", "give the checkpoint itself"),
    (b"GIF8", "a picture", "give the checkpoint itself"),
    (b"%PDF", "a PDF document", "give the checkpoint itself"),
    (b"\x89HDF", "a HDF5 file (Keras)", "give a checkpoint of PyTorch"),
    (b"\x93NUMPY", "a NumPy array", "give the checkpoint itself"),
    (b"PK\x05\x06", "an empty zip archive", "copy it again"),
)
_UNKNOWN = "bytes of no known kind"
_PAGES = (b"<!doctype", b"<html", b"<head", b"<?xml", b"<body")


def kind_of(file: Path) -> Kind:
    """Which reader a file of weights needs.

    Raises:
        UserError: it is something else, and the message says what; no such file.
        OSError: it cannot be read.
    """
    if not file.is_file():
        raise UserError(f"{file}: no such file; give a checkpoint (.safetensors, .ckpt) or a diffusers folder")
    size = file.stat().st_size
    with file.open("rb") as stream:
        head = stream.read(HEAD)
    if head.startswith(b"PK\x03\x04"):
        return "zip"
    if _is_safetensors(head):
        length = int.from_bytes(head[:8], "little")
        if 8 + length > size:
            raise _refusal(file, f"a .safetensors file that is cut off after {size} bytes", "copy it again")
        return "safetensors"
    if head[:1] == b"\x80" and head[1:2] <= b"\x05" and len(head) > 2:
        return "pickle"
    raise _refusal(file, *_other(head))


def kind_name(file: Path) -> str | None:
    """What came, and how to mend it, where a text file was expected and another kind came; None for other text.

    Raises:
        OSError: it cannot be read.
    """
    with file.open("rb") as stream:
        what, mend = _other(stream.read(HEAD))
    return None if what in ("a JSON file", "a text file", _UNKNOWN) else f"{what}; {mend}"


def _refusal(file: Path, what: str, mend: str) -> UserError:
    suffixes = ", ".join(PICKLED)
    return UserError(f"{file}: damaged or not a checkpoint: expected .safetensors or {suffixes}, got {what}; {mend}")


def _is_safetensors(head: bytes) -> bool:
    """Eight bytes of length, at most 100 MB as the library's own limit is, then a JSON object."""
    return head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= 100_000_000


def _other(head: bytes) -> tuple[str, str]:
    """What it is instead, and how to mend it."""
    for sign, what, mend in _SIGNS:
        if head.startswith(sign):
            return what, mend
    if not head:
        return "an empty file", "copy it again"
    if not head.strip(b"\0"):
        return "zeros (a download that never ended?)", "copy it again"
    if head[257:262] == b"ustar":
        return "a tar archive", "unpack it first"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(_PAGES):
        return "a web page", "download the file itself; some sites ask for a login first"
    if text[:1] in (b"{", b"["):
        return "a JSON file", "give the weights themselves"
    if all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head):
        return "a text file", "give the checkpoint itself"
    return _UNKNOWN, "copy it again"


LONGEST = 200
"""Characters of a library's own words in a message."""


@contextmanager
def one_line(path: Path, otherwise: str, mend: str) -> Iterator[None]:
    """Turns any error inside into "path: otherwise (its first line); mend"; a UserError goes through as it is.

    Parsers of hostile input raise nearly every class of error, so that a list of them is never complete.

    Raises:
        UserError: instead of any other error, memory that ran out included.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a second line, about a file that is refused anyway
            yield
    except UserError:
        raise
    except Exception as error:
        if lacks_memory(error):
            raise UserError(f"{path}: not enough memory to read it; close other programs") from error
        raise UserError(f"{path}: {otherwise} ({reason(error)}); {mend}") from error


def reason(error: BaseException) -> str:
    """The first line of an error that says anything, cut; its class where it says nothing."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = (lines or [type(error).__name__])[0][:LONGEST]
    return f"{said} is missing" if isinstance(error, KeyError) else said
