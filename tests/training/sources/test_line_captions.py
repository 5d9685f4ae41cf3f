"""Captions line by line: read where both files agree, refused in a line where they do not."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.datasets import write_hagrid

from handfirst.engines.errors import UserError
from handfirst.training.data.record import Record
from handfirst.training.data.sources.line_captions import read_line_captions
from handfirst.training.data.sources.opening import open_source


def write(folder: Path, names: str | None, captions: str | None, modified: str | None = None) -> Path:
    texts = {"ok_file_name.txt": names, "ok_BLIP2.txt": captions, "ok_BLIP2_modified.txt": modified}
    for file, text in texts.items():
        if text is not None:
            (folder / file).write_text(text, encoding="utf-8")
    return folder


def test_a_caption_a_line(tmp_path: Path) -> None:
    assert read_line_captions(tmp_path, "ok") == {}
    write(tmp_path, "a.jpg\ndir/b.PNG\r\n", "a man\n a  woman \n\n")
    assert read_line_captions(tmp_path, "ok") == {"a": "a man", "b": "a woman"}
    write(tmp_path, None, None, "a man making ok\na woman making ok")
    assert read_line_captions(tmp_path, "ok") == {"a": "a man making ok", "b": "a woman making ok"}
    assert read_line_captions(tmp_path, "fist") == {}


@pytest.mark.parametrize(
    ("names", "captions", "said"),
    [
        ("a.jpg\nb.jpg", "a man", "expected 2 lines, one for every name in ok_file_name.txt, got 1"),
        ("a.jpg", "a man\na woman", "expected 1 lines"),
        ("a man\na woman", "a.jpg\nb.jpg", "line 1: expected a picture's name"),  # exchanged
        ("a.jpg\nb.jpg\nc.jpg", "x\n\ny", "line 2: expected a caption, got an empty line"),
        ("a.jpg\na.jpg", "x\ny", "line 2: expected every picture once, got 'a' again"),
        ("a.jpg", None, "expected captions beside it, in ok_BLIP2.txt"),
        (None, "x", "expected the pictures' names beside it, in ok_file_name.txt"),
    ],
)
def test_files_that_do_not_fit_each_other(tmp_path: Path, names: str | None, captions: str | None, said: str) -> None:
    write(tmp_path, names, captions)
    with pytest.raises(UserError, match=said) as refused:
        read_line_captions(tmp_path, "ok")
    assert "\n" not in str(refused.value)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    write(tmp_path, "a.jpg", None)
    (tmp_path / "ok_BLIP2.txt").write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(UserError, match="expected lines of text in UTF-8"):
        read_line_captions(tmp_path, "ok")


def test_hagrid_brings_its_captions(tmp_path: Path) -> None:
    write_hagrid(tmp_path)
    plain = [record for record in open_source("hagrid", tmp_path) if isinstance(record, Record)]
    assert all(record.caption is None for record in plain)
    gesture, stem = plain[0].attributes["gesture"], Path(plain[0].image.path).stem  # type: ignore[attr-defined]
    (tmp_path / "captions").mkdir()
    (tmp_path / "captions" / f"{gesture}_file_name.txt").write_text(f"{stem}.jpg\nunknown.jpg\n")
    (tmp_path / "captions" / f"{gesture}_BLIP2.txt").write_text("a man in a room\nnobody\n")
    told = [record for record in open_source("hagrid", tmp_path) if isinstance(record, Record)]
    assert [record.key for record in told] == [record.key for record in plain]
    assert [record.caption for record in told if record.key == plain[0].key] == ["a man in a room"]
    (tmp_path / "captions" / f"{gesture}_BLIP2.txt").write_text("a man in a room\n")
    with pytest.raises(UserError, match="expected 2 lines"):
        open_source("hagrid", tmp_path)
