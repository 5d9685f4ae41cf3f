"""Records on disk: what was written is read, and nothing that is read can run anything."""

from __future__ import annotations

import json
import pickle
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handfirst.engines.errors import UserError
from handfirst.training.data.prepare.record_file import RecordWriter, read_records, write_offsets
from handfirst.training.data.record import Record
from handfirst.training.data.sources.pictures import ImageFile, MaskFile, TarImage, TarMask
from handfirst.training.data.sources.procedural import Render, RenderedMask

PICTURES = [
    (ImageFile(Path("a/ü\udc80.png"), True), MaskFile(Path("m.png"), 10, 20, 0, True)),
    (TarImage(Path("t.tar"), 1 << 40, 9), TarMask(Path("t.tar"), 0, 1)),
    (Render("hand", 3, 64), RenderedMask("hand", 3, 64)),
    (ImageFile(Path("b")), None),
]
HEAD: list[Any] = ["s", "k", ["ImageFile", "a.png", False], None, None, {}, "train"]


def write(folder: Path, *contents: bytes) -> Path:
    with (folder / "train.bin").open("wb") as file:
        writer = RecordWriter(file)
        for content in contents:
            writer.write_bytes(content)
    write_offsets(folder / "train.npy", writer.offsets)
    return folder


def packed(head: Any, people: bytes = b"") -> bytes:
    return zlib.compress(json.dumps(head).encode() + b"\n" + people)


def test_every_kind_of_picture_comes_back(tmp_path: Path) -> None:
    people = np.arange(2 * 133 * 3, dtype=np.float32).reshape(2, 133, 3)
    given = [
        Record("s", str(i), image, people[:i], masks, None if i else "a\nb", {"view": "ü"}, "val")
        for i, (image, masks) in enumerate(PICTURES)
    ]
    with (tmp_path / "train.bin").open("wb") as file:
        writer = RecordWriter(file)
        for record in given:
            writer.write(record)
    write_offsets(tmp_path / "train.npy", writer.offsets)
    for mine, theirs in zip(read_records(tmp_path, "train", range(9)), given, strict=True):
        np.testing.assert_array_equal(mine.people, theirs.people)
        assert {**vars(mine), "people": 0} == {**vars(theirs), "people": 0}


def test_a_picture_of_another_kind_is_not_written(tmp_path: Path) -> None:
    class Other:
        def read(self) -> Any: ...

    with (tmp_path / "x").open("wb") as file, pytest.raises(TypeError, match="expected one of ImageFile"):
        RecordWriter(file).write(Record("s", "k", Other(), np.zeros((0, 133, 3), np.float32)))


class Evil:
    def __reduce__(self) -> Any:
        return exec, ("raise SystemExit(9)",)


HOSTILE = {
    "a pickle": zlib.compress(pickle.dumps(Evil())),
    "no zlib": b"nothing",
    "cut": packed(HEAD)[:-4],
    "a bomb": zlib.compress(bytes(64 << 20)),
    "nested": zlib.compress(b"[" * 100_000 + b"\n"),
    "an unknown kind": packed([*HEAD[:2], ["Path", "x"], *HEAD[3:]]),
    "a number for a path": packed([*HEAD[:2], ["ImageFile", 7, False], *HEAD[3:]]),
    "a truth value for a number": packed([*HEAD[:2], ["TarImage", "x", True, 1], *HEAD[3:]]),
    "more fields": packed([*HEAD[:2], ["ImageFile", "x", False, 1], *HEAD[3:]]),
    "no picture": packed([*HEAD[:2], None, *HEAD[3:]]),
    "another split": packed([*HEAD[:6], "all"]),
    "a list for attributes": packed([*HEAD[:5], [["a"]], "train"]),
    "numbers for texts": packed([*HEAD[:5], {"a": 1}, "train"]),
    "half a person": packed(HEAD, bytes(100)),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_plan_is_one_line(kind: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        list(read_records(write(tmp_path, HOSTILE[kind]), "train", [0]))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(data=st.data())
def test_damage_is_one_line(data: st.DataObject, tmp_path: Path) -> None:
    content = bytearray(json.dumps(HEAD).encode() + b"\n" + bytes(1596))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        list(read_records(write(tmp_path, zlib.compress(content)), "train", [0]))
    except UserError as error:
        assert str(error).isprintable()
