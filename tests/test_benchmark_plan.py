"""benchmarks/plan.py: what is left, what can be done here, and where a plan stops."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
from plan import Step, carry_out, left_of


def test_a_plan_does_what_is_left_and_can_be_done_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    steps = [
        Step("one", "numpy", tmp_path, lambda: pytest.fail("it is there")),
        Step("two", "no_such_package", tmp_path / "two", lambda: pytest.fail("it cannot be done")),
        Step("three", "numpy", tmp_path / "three", (tmp_path / "three").touch),
        Step("four", "numpy", tmp_path / "four", lambda: None),
        Step("five", "numpy", tmp_path / "five", lambda: pytest.fail("the one before was stopped")),
    ]
    left = left_of(steps)
    told = [f"left: {name} ({needs})" for name, needs, _, _ in steps[1:]]
    assert left == steps[1:] and capsys.readouterr().out.splitlines() == told
    with pytest.raises(SystemExit, match="stopped in: four"):
        carry_out(left)
    out, err = capsys.readouterr()
    assert out.startswith("done: three in 0.0 min") and err.startswith("not here: two; it needs no_such_package")
    assert left_of(steps) == [steps[1], *steps[3:]]
