"""A probe of an engine: the graph is what it says, and whatever becomes of the process, the caller gets a line."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from handfirst.engines import child
from handfirst.engines import probe as module
from handfirst.engines.bundle import demo_bundle_path
from handfirst.engines.errors import EngineError
from handfirst.engines.probe import ADDITION, probe
from handfirst.engines.trust.graph_rules import check_graph_file
from handfirst.engines.verify import Check

PROBLEM = "import sys, json; print('noise'); print(json.dumps({'problem': %s}))"


def test_the_graph_is_an_addition_by_onnx_own_account() -> None:
    model = onnx.load_from_string(ADDITION.model)
    onnx.checker.check_model(model, full_check=True)
    x = np.array([[1, 2], [3, -4.5]], np.float32)
    (y,) = ReferenceEvaluator(model).run(None, {"x": x})
    np.testing.assert_array_equal(y, [[2, 4], [6, -9]])
    check_graph_file(ADDITION)


def test_what_is_installed_works_and_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HANDFIRST_CACHE", str(tmp_path / "cache"))
    assert probe("cpu", str(demo_bundle_path())) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import os; os.kill(os.getpid(), 11)", "was ended by SIGSEGV"),
        ("import sys; print('no such\\nlibrary', file=sys.stderr); sys.exit(3)", "ended with code 3 (library)"),
        ("", "ended with code 0"),
        ("import time; time.sleep(60)", "gave no answer within 0.5 seconds"),
        (PROBLEM % "'wrong; mend it'", "wrong; mend it"),
        ("import sys; print('why', file=sys.stderr);" + PROBLEM % "'wrong; mend it'", "wrong (why); mend it"),
    ],
)
def test_every_end_is_one_line(code: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_COMMAND", (sys.executable, "-c", code))
    monkeypatch.setattr(module, "SECONDS", 0.5 if "sleep" in code else 60)
    found = probe("cpu")
    assert found is not None
    assert said in found
    assert "\n" not in found


def test_nothing_said_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_COMMAND", (sys.executable, "-c", PROBLEM % None))
    assert probe("cpu") is None


def test_an_engine_that_adds_wrongly_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = SimpleNamespace(run=lambda inputs: {"y": 2 * inputs["x"] + 1})
    monkeypatch.setattr(module, "open_engine", lambda *_: wrong)
    assert "= [[3.0, -3.0], [2.0, 9.0]]" in (module._try("cpu", None) or "")


def test_a_bundle_that_computes_wrongly_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def check(bundle: object, role: str, golden: object, engine: str) -> Check:
        tried.append(role)
        return Check(role, False, "3.0 dB")

    monkeypatch.setattr(module, "check_role", check)
    assert module._try("cpu", str(demo_bundle_path())) == f"{tried[0]}: 3.0 dB"


@pytest.mark.parametrize(
    ("cause", "said"), [(ImportError("libx.so.1: none"), "does not import: libx.so.1"), (None, "no luck; try again")]
)
def test_the_child_says_what_the_library_said(
    cause: Exception | None, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise EngineError("no luck; try again") from cause

    monkeypatch.setattr(module, "open_engine", fail)
    monkeypatch.setattr(child.sys, "stdin", SimpleNamespace(read=lambda: '{"engine": "cpu", "bundle": null}'))
    monkeypatch.setattr(child.os, "_exit", lambda code: None)
    module.child()
    assert said in capsys.readouterr().out.splitlines()[-1]


def test_a_frozen_program_does_not_start_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(child.subprocess, "run", None)
    assert probe("cpu") is None
