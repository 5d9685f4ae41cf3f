"""Captions of a gesture's pictures, line by line beside their names, as Hand1000 has them (arXiv 2408.15461).

    GESTURE_file_name.txt          a picture's name a line
    GESTURE_BLIP2_modified.txt     its caption, rewritten to end in the gesture's words; or
    GESTURE_BLIP2.txt              as the model wrote it

Both have as many lines, and a file that is not what it should be stops everything: a caption of another picture would
go unnoticed. Knows nothing about where the pictures are.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from handfirst.engines.errors import UserError

NAMES, CAPTIONS = "_file_name.txt", ("_BLIP2_modified.txt", "_BLIP2.txt")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


def read_line_captions(folder: Path, gesture: str) -> dict[str, str]:
    """Captions by the names of pictures, without their endings; none where the folder has no such files.

    Raises:
        UserError: one of two files is missing; a line is empty, is no picture's name, or names one twice; different
            numbers of lines.
    """
    names = folder / f"{gesture}{NAMES}"
    found = [folder / f"{gesture}{ending}" for ending in CAPTIONS if (folder / f"{gesture}{ending}").is_file()]
    if not names.is_file():
        if found:
            raise UserError(f"{found[0]}: expected the pictures' names beside it, in {names.name}; found no such file")
        return {}
    if not found:
        raise UserError(f"{names}: expected captions beside it, in {gesture}{CAPTIONS[1]}; found no such file")
    stems, lines = [_stem(names, i, line) for i, line in enumerate(_lines(names), 1)], _lines(found[0])
    if len(stems) != len(lines):
        raise UserError(
            f"{found[0]}: expected {len(stems)} lines, one for every name in {names.name}, got {len(lines)}; the files "
            "are of different data, or one was cut"
        )
    captions: dict[str, str] = {}
    for number, (stem, line) in enumerate(zip(stems, lines, strict=True), 1):
        if stem in captions:
            raise UserError(f"{names}: line {number}: expected every picture once, got {stem!a:.60} again")
        if not (caption := " ".join(line.split())):
            raise UserError(f"{found[0]}: line {number}: expected a caption, got an empty line")
        captions[stem] = caption
    return captions


def _lines(file: Path) -> list[str]:
    """Without the empty ones at the end."""
    try:
        return file.read_text(encoding="utf-8-sig").rstrip().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: expected lines of text in UTF-8, got what cannot be read as such") from error


def _stem(file: Path, number: int, line: str) -> str:
    name = PurePosixPath(line.strip().replace("\\", "/"))
    if name.suffix.lower() not in SUFFIXES:
        raise UserError(
            f"{file}: line {number}: expected a picture's name ({', '.join(SUFFIXES)}), got {line.strip()!a:.60}"
        )
    return name.stem
