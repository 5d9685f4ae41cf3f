"""What is on the disk when a run dies at any write, and what the next run makes of it."""

import errno
import json
import os
import subprocess
import sys

import pytest
from support.batch_jobs import assert_whole, done, job, lines

from handfirst.engines.files import durable_write_bytes, leftovers
from handfirst.runtime.batch.job import Failed
from handfirst.runtime.batch.ledger import Ledger
from handfirst.runtime.batch.results import open_results
from handfirst.runtime.errors import BatchError

SHARED = {"model": "tiny 00", "format": "png"}
NAMES = ("a", "b", "c", "d", "e")
CALLS = ("write", "fsync", "replace", "ftruncate")


def work(folder):
    """A run: what is pending, two at a time."""
    with open_results(folder, SHARED) as ledger:
        todo = [done(name) for name in NAMES]
        todo = [each for each in todo if ledger.status(each.job) is None]
        ledger.begin([each.job for each in todo])
        for i in range(0, len(todo), 2):
            ledger.add(todo[i : i + 2], "png")


def dies_at(number, folder):
    """Whether a run died at its `number`-th call that changes the disk; half of what it writes gets there."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] != 0
    count = 0

    def counted(name, real):
        def call(*arguments):
            nonlocal count
            count += 1
            if count == number:
                if name == "write":
                    real(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
                os._exit(9)
            return real(*arguments)

        return call

    try:
        for name in CALLS:
            setattr(os, name, counted(name, getattr(os, name)))
        work(folder)
    finally:
        os._exit(0)


def test_a_run_that_dies_at_any_call_loses_nothing(tmp_path):
    number = 1
    while dies_at(number, folder := tmp_path / str(number)):
        ledger = folder / "results.jsonl"
        whole = ledger.read_bytes().splitlines(keepends=True) if ledger.exists() else []
        for entry in (json.loads(line) for line in whole if line.endswith(b"\n")):
            assert (folder / entry["files"][0]).read_bytes() == entry["id"].encode()
        work(folder)
        assert_whole(folder, NAMES)
        assert leftovers(folder) == []
        number += 1
    assert number > 25
    assert_whole(folder, NAMES)


def test_a_run_that_dies_over_and_over_still_ends(tmp_path):
    number = 0
    while dies_at(5 + number % 7, tmp_path / "out"):
        number += 1
    assert number > 1
    assert_whole(tmp_path / "out", NAMES)


def test_a_job_is_over_only_with_its_key_and_its_picture(tmp_path):
    with open_results(tmp_path, SHARED) as ledger:
        ledger.add([done("a"), Failed(job("b"), "too bad")], "png")
    (tmp_path / "c.png").write_bytes(b"a picture without a line")
    with open_results(tmp_path, SHARED) as ledger:
        assert ledger.status(job("a")) == "done"
        assert ledger.status(job("b")) == "failed"
        assert ledger.status(job("c")) is None
        assert ledger.status(job("a", seed=1)) is None
    (tmp_path / "a.png").unlink()
    with open_results(tmp_path, SHARED) as ledger:
        assert ledger.status(job("a")) is None


def test_a_line_says_what_was_made(tmp_path):
    with open_results(tmp_path, SHARED) as ledger:
        ledger.add([done("a", seed=3)], "webp")
    (line,) = lines(tmp_path)
    assert line == {
        "id": "a", "key": job("a", seed=3).key, "status": "done", "line": 1, "files": ["a.webp"],
        "sha256": ["ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"], "seed": 3,
        "prompt": "a red man", "seconds": {"hands": 0.25, "total": 0.5}, "batch": 1, "warnings": ["small"],
    }  # fmt: skip


def test_a_name_that_came_to_mean_another_job_is_painted_again_and_back_again(tmp_path):
    """Killed between the new picture and its line, then changed back: the old line must not vouch for the picture."""
    old, new = done("a", b"old"), done("a", b"new", seed=1)
    with open_results(tmp_path, SHARED) as ledger:
        ledger.add([old], "png")
    with open_results(tmp_path, SHARED) as ledger:
        ledger.begin([new.job])
        durable_write_bytes(tmp_path / "a.png", b"new")  # and no line
    with open_results(tmp_path, SHARED) as ledger:
        assert ledger.status(old.job) is None
        assert ledger.status(new.job) is None
        ledger.begin([old.job])
        ledger.add([old], "png")
        assert ledger.status(old.job) == "done"
    assert (tmp_path / "a.png").read_bytes() == b"old"


@pytest.mark.parametrize("tail", [b'{"id": "b", "key": "', b"\0\0\0\0", b"{", b'{"id": "b"}'])
def test_a_torn_end_is_cut_off(tmp_path, tail):
    with open_results(tmp_path, SHARED) as ledger:
        ledger.add([done("a")], "png")
    whole = (tmp_path / "results.jsonl").read_bytes()
    (tmp_path / "results.jsonl").write_bytes(whole + tail)
    with open_results(tmp_path, SHARED) as ledger:
        assert ledger.status(job("a")) == "done"
        ledger.add([done("b")], "png")
    assert_whole(tmp_path, ["a", "b"])


NO_LINES = {
    "no JSON": b"oops\n",
    "no name": b'{"id": 3}\n',
    "no key": b'{"id": "b"}\n',
    "files that are none": b'{"id": "b", "key": "", "status": "done", "files": 3}\n',
    "no text": b"\xff\n",
    "nested": b"[" * 100_000 + b"\n",
    "nested in a field": b'{"id": ' + b"[" * 100_000 + b"\n",
    "cut off, and not ours": b"dear diary",
    "too long": b"x" * (17 << 20) + b"\n",
}


@pytest.mark.parametrize("place", ["first", "last"])
@pytest.mark.parametrize("name", NO_LINES)
def test_what_no_run_has_written_is_an_error_and_stays(tmp_path, name, place):
    with open_results(tmp_path, SHARED) as ledger:
        ledger.add([done("a")], "png")
    whole, odd = (tmp_path / "results.jsonl").read_bytes(), NO_LINES[name]
    if place == "first" and not odd.endswith(b"\n"):
        odd += b"\n"
    content = odd + whole if place == "first" else whole + odd
    (tmp_path / "results.jsonl").write_bytes(content)
    number = 1 if place == "first" else 2
    with pytest.raises(BatchError, match=f"line {number} is damaged; remove it"), open_results(tmp_path, SHARED):
        pass
    assert (tmp_path / "results.jsonl").read_bytes() == content


def test_blank_lines_are_nothing(tmp_path):
    with open_results(tmp_path, SHARED) as ledger:
        ledger.add([done("a")], "png")
    (tmp_path / "results.jsonl").write_bytes((tmp_path / "results.jsonl").read_bytes() + b"\n  \n")
    with open_results(tmp_path, SHARED) as ledger:
        assert ledger.status(job("a")) == "done"
        ledger.add([Failed(job("b"), "x")], "png")
    with open_results(tmp_path, SHARED) as ledger:
        assert ledger.status(job("b")) == "failed"


@pytest.mark.parametrize("name", ["results.jsonl", "batch.json", ".lock"])
@pytest.mark.parametrize("kind", ["pipe", "link", "second name", "loose link", "folder"])
def test_only_plain_files_are_read_and_written(tmp_path, name, kind):
    out, mine = tmp_path / "out", tmp_path / "mine.txt"
    with open_results(out, SHARED):
        pass
    mine.write_bytes(b"mine, without an end of line")
    (out / name).unlink(missing_ok=True)
    make = {"pipe": os.mkfifo, "folder": os.mkdir, "link": lambda p: p.symlink_to(mine)}
    make |= {"second name": lambda p: p.hardlink_to(mine), "loose link": lambda p: p.symlink_to(tmp_path / "new")}
    make[kind](out / name)
    with pytest.raises(BatchError) as caught, open_results(out, SHARED):
        pass
    assert name in str(caught.value) or "no batch has written" in str(caught.value)
    assert mine.read_bytes() == b"mine, without an end of line"
    assert not (tmp_path / "new").exists()


def cut(path):
    path.write_bytes(b"")


def pipe(path):
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    "spoil", [cut, pipe, lambda path: path.write_bytes(b"b"), lambda path: (path.unlink(), path.mkdir())]
)
def test_a_picture_counts_only_with_its_bytes(tmp_path, spoil):
    with open_results(tmp_path, SHARED) as ledger:
        ledger.add([done("a"), done("b"), done("c")], "png")
    spoil(tmp_path / "a.png")
    (tmp_path / "c.png").unlink()
    with open_results(tmp_path, SHARED) as ledger:
        assert [ledger.status(job(name)) for name in "abc"] == [None, "done", None]
        assert ledger.spoilt == ["a.png"], "one that was deleted is not worth a word"
        if not (tmp_path / "a.png").is_dir():
            ledger.add([done("a"), done("c")], "png")
            assert ledger.status(job("a")) == "done"
    if not (tmp_path / "a.png").is_dir():
        assert (tmp_path / "a.png").read_bytes() == b"a"


def test_memory_that_ran_out_says_nothing_about_a_job(tmp_path):
    with open_results(tmp_path, SHARED) as ledger:
        ledger.add([Failed(job("a"), "out of memory", again=True), Failed(job("b"), "too bad")], "png")
        assert ledger.status(job("a")) is None
    with open_results(tmp_path, SHARED) as ledger:
        assert [ledger.status(job(name)) for name in "ab"] == [None, "failed"]
    assert [line.get("again") for line in lines(tmp_path)] == [True, None]


def test_a_ledger_that_is_taken_away_is_missed(tmp_path):
    with open_results(tmp_path, SHARED) as ledger:
        ledger.add([done("a")], "png")
        (tmp_path / "results.jsonl").rename(tmp_path / "kept")
        for _ in range(2):
            with pytest.raises(BatchError, match="was removed or replaced while the batch ran"):
                ledger.add([done("b")], "png")
            (tmp_path / "results.jsonl").write_bytes(b"")
    assert len((tmp_path / "kept").read_bytes().splitlines()) == 1


def test_a_full_disk_leaves_the_ledger_as_it_was(tmp_path, monkeypatch):
    real = os.write

    def half(handle, data):
        if len(data) < 60:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(handle, bytes(data)[: len(data) // 2])

    with Ledger(tmp_path / "results.jsonl") as ledger:
        ledger.add([Failed(job("a"), "x")], "png")
        before = (tmp_path / "results.jsonl").read_bytes()
        with monkeypatch.context() as full:
            full.setattr(os, "write", half)
            with pytest.raises(OSError, match="No space"):
                ledger.add([Failed(job("b"), "x")], "png")
        assert (tmp_path / "results.jsonl").read_bytes() == before
        assert ledger.status(job("b")) is None
        ledger.add([Failed(job("b"), "x")], "png")
    assert [line["id"] for line in lines(tmp_path)] == ["a", "b"]


class TestFolder:
    def test_two_runs_do_not_share_one(self, tmp_path):
        code = """
import sys
from pathlib import Path
from handfirst.runtime.batch.results import open_results
with open_results(Path(sys.argv[1]), {"model": "tiny 00", "format": "png"}):
    print("open", flush=True)
    sys.stdin.read()
"""
        other = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert other.stdout.readline() == b"open\n"
        for _ in range(2):
            with pytest.raises(BatchError, match="another run is at work"), open_results(tmp_path, SHARED):
                pass
            (tmp_path / ".lock").unlink()  # as cleaners do
        other.kill()
        other.communicate()
        with open_results(tmp_path, SHARED):
            pass

    def test_pictures_of_two_models_do_not_mix(self, tmp_path):
        with open_results(tmp_path, SHARED):
            pass
        assert json.loads((tmp_path / "batch.json").read_text()) == SHARED
        with (
            pytest.raises(BatchError, match="holds pictures with model tiny 00, and this run has other 11"),
            open_results(tmp_path, {**SHARED, "model": "other 11"}),
        ):
            pass

    def test_a_folder_of_other_things_is_left_alone(self, tmp_path):
        (tmp_path / "a.png").write_bytes(b"mine")
        with pytest.raises(BatchError, match="no batch has written"), open_results(tmp_path, SHARED):
            pass
        assert [path.name for path in tmp_path.iterdir()] == ["a.png"]

    def test_a_damaged_description_is_an_error(self, tmp_path):
        (tmp_path / "batch.json").write_text("{")
        with pytest.raises(BatchError, match="is damaged"), open_results(tmp_path, SHARED):
            pass
