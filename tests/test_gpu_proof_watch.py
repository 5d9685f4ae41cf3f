"""What hangs or crashes in gpu_proof.py costs one row: real processes, as small as can be."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
TELLS = """
import json, os, subprocess, sys, time
def tell(**message):
    with open(sys.argv[sys.argv.index("--tell") + 1], "a") as file:
        file.write(json.dumps(message) + "\\n")
"""


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import proof_watch

    return proof_watch


def run(watch: ModuleType, code: str, patience: float = 60, seconds: float = 60) -> tuple[Any, list[Any]]:
    rows: list[Any] = []
    end = watch.watched([sys.executable, "-c", TELLS + code], patience, time.monotonic() + seconds, rows.append)
    return end, rows


def test_rows_are_heard_to_the_last(watch: ModuleType) -> None:
    end, rows = run(watch, "tell(begin={'a': 1}); tell(row={'a': 1}); tell(row={'a': 2})")
    assert (end, rows) == (watch.End(), [{"a": 1}, {"a": 2}])


def test_silence_is_cut_off_with_all_that_it_started(watch: ModuleType, tmp_path: Path) -> None:
    code = f"""
tell(begin={{"a": 1}}); tell(row={{"a": 1}}); tell(begin={{"a": 2}})
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open({str(tmp_path / "pid")!r}, "w").write(str(child.pid))
time.sleep(600)
"""
    end, rows = run(watch, code, patience=2)
    assert end == watch.End("cut off after 2 seconds without a word", {"a": 2}) and rows == [{"a": 1}]
    status = Path("/proc", (tmp_path / "pid").read_text(), "status")
    if Path("/proc/self").exists():
        deadline = time.monotonic() + 10
        while status.exists() and "zombie" not in status.read_text():
            assert time.monotonic() < deadline, "what it started goes on"
            time.sleep(0.05)


def test_who_says_something_is_not_cut_off(watch: ModuleType) -> None:
    code = "for i in range(12): tell(compiling='x', share=i / 12); time.sleep(0.25)"
    assert run(watch, code, patience=2)[0] == watch.End()


def test_a_crash_is_told_with_what_was_under_way(watch: ModuleType) -> None:
    end, rows = run(watch, "tell(begin={'a': 1}); os.kill(os.getpid(), 11)")
    assert (end.failed, end.begun, rows) == ("its process was ended by SIGSEGV", {"a": 1}, [])
    assert run(watch, "sys.exit(3)")[0] == watch.End("its process ended with code 3")


def test_the_end_of_the_command_says_nothing_about_the_item(watch: ModuleType) -> None:
    end, _ = run(watch, "tell(begin={'a': 1}); time.sleep(600)", seconds=1.5)
    assert end == watch.End(begun={"a": 1}, late=True)


HEADING = {"role": "mask_head", "precision": "float32", "form": "plain", "batch": 2}


@pytest.fixture
def proof(watch: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    import gpu_proof

    monkeypatch.setattr(gpu_proof, "STARTED", time.monotonic())
    return gpu_proof


def follow(
    proof: ModuleType, monkeypatch: pytest.MonkeyPatch, ends: list[Any]
) -> tuple[str | None, list[dict[str, Any]], list[list[str]]]:
    """What becomes of an item whose processes end so, one after the other; the rows, and the commands."""
    rows: list[dict[str, Any]] = []
    commands: list[list[str]] = []
    seen: dict[str, list[Any]] = {part: [] for part in proof.PARTS}

    def watched(command: list[str], *_: Any) -> Any:
        commands.append(command)
        return ends[len(commands) - 1]

    def hear(part: str, row: dict[str, Any]) -> None:
        rows.append(row)
        seen[part].append(proof.key(part, row))

    monkeypatch.setattr(proof, "watched", watched)
    options = argparse.Namespace(one_process=False, minutes=7, patience=4)
    return proof._run(proof.Item("graphs", "mask_head"), options, seen, hear), rows, commands


def test_an_item_goes_on_without_what_hung(
    proof: ModuleType, watch: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    hung = [watch.End("cut off", {**HEADING, "contestant": name}) for name in ("TensorRT", "torch eager")]
    broken, rows, commands = follow(proof, monkeypatch, [*hung, watch.End()])
    assert broken is None and [row["refused"] for row in rows] == ["cut off"] * 2
    assert [row["contestant"] for row in rows] == ["TensorRT", "torch eager"]
    assert len(commands) == 3 and all("graphs:mask_head" in command for command in commands)


def test_an_item_that_cannot_go_on_is_given_up(
    proof: ModuleType, watch: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = watch.End("its process ended with code 1", {**HEADING, "contestant": "TensorRT"})
    broken, rows, _ = follow(proof, monkeypatch, [again, again])
    assert broken is not None and "graphs:mask_head: its process ended with code 1" in broken and len(rows) == 1
    assert follow(proof, monkeypatch, [watch.End("crashed")])[:2] == (
        "graphs:mask_head: crashed, and nothing was under way that could be left out", []
    )  # fmt: skip


def test_what_takes_a_whole_command_is_not_begun_for_ever(
    proof: ModuleType, watch: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An item that was begun late is left to the next command, which gives it all of its time."""
    late = watch.End(begun={**HEADING, "contestant": "TensorRT"}, late=True)
    assert [row["refused"] for row in follow(proof, monkeypatch, [late])[1]] == [
        "cut off with the command, most of which it had"
    ]
    monkeypatch.setattr(proof, "STARTED", time.monotonic() - 240)
    assert follow(proof, monkeypatch, [late])[1] == []


def test_what_was_cut_off_is_measured_again_when_asked(proof: ModuleType) -> None:
    cut, refused, good = {"refused": "cut off after 9 seconds"}, {"refused": "RuntimeError: x"}, {"milliseconds": 1}
    plain, again, some = (
        argparse.Namespace(again=again, again_cut_off=some)
        for again, some in ((False, False), (True, False), (False, True))
    )
    assert [proof._stays(row, plain) for row in (cut, refused, good)] == [True, True, True]
    assert [proof._stays(row, again) for row in (cut, refused, good)] == [False, False, False]
    assert [proof._stays(row, some) for row in (cut, refused, good)] == [False, True, True]
