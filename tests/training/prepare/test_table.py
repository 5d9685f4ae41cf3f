"""Captions by sequence: which line counts, what it becomes, and the template that users fill."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.datasets import write_hagrid, write_interhand
from support.painted import Painted
from support.preparing import run
from typer.testing import CliRunner

from handfirst.engines.errors import UserError
from handfirst.training.data.example import decode
from handfirst.training.data.prepare.cli import app
from handfirst.training.data.prepare.table import described, named_table, read_lines, write_template
from handfirst.training.data.record import Record
from handfirst.training.data.shards import read_shard
from handfirst.training.data.sources.hagrid import Hagrid
from handfirst.training.data.sources.interhand import InterHand

HEAD = "source,capture,subject,sequence,gender,skin,look,caption\n"


def table(folder: Path, *lines: str) -> Path:
    path = folder / "table.csv"
    path.write_text(HEAD + "\n".join(lines) + "\n")
    return path


def one(**attributes: str) -> Record:
    record = next(iter(Painted(1, caption=None, clean=True, attributes=attributes)))
    assert isinstance(record, Record)
    return record


@pytest.mark.parametrize(
    ("words", "look"),
    [
        ("woman,light,long red nails,", "of a woman, light skin, long red nails"),
        ("old man,,,", "of an old man"),
        (",dark skin,,", "with dark skin"),
        (",,a ring,", "with a ring"),
        ('man,,"hairy, a watch",', "of a man, hairy, a watch"),
    ],
)
def test_words_become_a_phrase(words: str, look: str) -> None:
    (line,) = read_lines(f"{HEAD}interhand,0,*,,{words}\n", "x")
    assert line.look == look


def test_the_line_that_names_most_counts(tmp_path: Path) -> None:
    path = table(
        tmp_path, "painted,*,*,*,man,,,", "painted,3,*,fist,woman,,,", "*,3,*,*,child,,,", "painted,3,,,girl,,,",
        "painted,4,*,*,,,,",
    )  # fmt: skip
    named = named_table(path)
    for attributes, said in (
        ({}, "of a man"),
        ({"capture": "3", "sequence": "fist"}, "of a woman"),
        ({"capture": "3"}, "of a girl"),
        ({"capture": "4"}, "of a man"),  # its own line says nothing
    ):
        assert described(one(**attributes), named).attributes["written"] == said


def test_a_prepared_hand_has_its_side_and_its_look(tmp_path: Path) -> None:
    path = table(tmp_path, "painted,*,*,*,woman,light,,")
    report = run(tmp_path / "out", Painted(4, caption=None, clean=True), val=0, table=named_table(path))
    assert report["train"]["sources"]["painted"]["caption"] == {"table": 4} and report["remarks"] == []
    texts = {decode(*found).caption for found in read_shard(tmp_path / "out" / "train" / "hand-000000.tar")}
    assert "a left hand and a right hand of a woman, light skin, ok" in texts
    assert all(" hand of a woman, light skin, " in text for text in texts)
    path.write_text(path.read_text().replace("light", "dark"))
    with pytest.raises(UserError, match="was prepared with table"):
        run(tmp_path / "out", Painted(4, caption=None, clean=True), val=0, table=named_table(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("source,capture\n", "expected the columns source, .* found no subject"),
        (HEAD + "interhand,0\n", "line 2 below the head has 2 columns, expected 8"),
        (HEAD + "interhand,0,,,,,,\n", "no line says anything yet"),
    ],
)
def test_a_wrong_table_is_one_line(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        named_table(tmp_path / "table.csv")


def test_the_template_has_every_sequence_and_keeps_what_was_filled_in(tmp_path: Path) -> None:
    """InterHand's captures 0 and 5, subject 3, one sequence."""
    write_interhand(tmp_path / "data", count=3)
    path = tmp_path / "captions.csv"
    arguments = ["table", str(path), "--from", f"interhand={tmp_path / 'data'}"]
    assert CliRunner().invoke(app, arguments, catch_exceptions=False).exit_code == 0
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    assert lines[-2:] == ["interhand,0,3,0000_neutral_rigid,,,,", "interhand,5,3,0000_neutral_rigid,,,,"]
    path.write_text(
        path.read_text().replace("interhand,0,3,0000_neutral_rigid,,,,", "interhand,0,3,0000_neutral_rigid,man,,,")
    )
    before = path.read_text()
    assert write_template(path, InterHand(tmp_path / "data")) == (2, 0)  # type: ignore[arg-type]
    assert path.read_text() == before
    named = named_table(path)
    said = [described(record, named).attributes.get("written") for record in InterHand(tmp_path / "data")]  # type: ignore[arg-type]
    assert said.count("of a man") == 2 and said.count(None) == 1


def test_hagrid_without_its_own_landmarks(tmp_path: Path) -> None:
    """Pictures whose landmarks are of no use are there, too: somebody else looks for theirs."""
    written = write_hagrid(tmp_path, count=3, broken=True)
    own = [item for item in Hagrid(tmp_path) if isinstance(item, Record)]
    anew = [item for item in Hagrid(tmp_path, landmarks=False) if isinstance(item, Record)]
    assert len(own) == len(written.truths) and len(anew) > len(own)
    assert all(len(record.people) == 0 and record.attributes["gesture"] for record in anew)
