"""`verify --isolated`: whatever becomes of the child, the caller gets a line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from support.hostile_bundle import Draft, put
from support.hostile_graphs import COMPUTED

from handfirst.engines.bundle import demo_bundle_path
from handfirst.engines.errors import BundleError
from handfirst.runtime import isolated
from handfirst.runtime.cli.main import main
from handfirst.runtime.isolated import verify_isolated


def test_the_embedded_bundle_is_whole() -> None:
    checks = verify_isolated(demo_bundle_path(), "cpu", 1)
    assert [check.name for check in checks if not check.ok] == []
    assert checks[-1].name == "system" and any(check.psnr for check in checks)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import os; os.kill(os.getpid(), 11)", "was ended by SIGSEGV"),
        ("import os; os.kill(os.getpid(), 8)", "was ended by SIGFPE"),
        ("import os; os.abort()", "was ended by SIGABRT"),
        ("import sys; sys.exit(3)", "ended with code 3"),
        ("print('noise')", "ended with code 0"),
        ("print('[1]')", "ended with code 0"),
        ("", "ended with code 0"),
        ("import time; time.sleep(60)", "took longer than 0.5 seconds"),
        ("print('noise'); print('{\"error\": \"one line\"}')", "one line"),
    ],
)
def test_every_end_is_one_line(code: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolated, "_COMMAND", (sys.executable, "-c", code))
    with pytest.raises(BundleError) as caught:
        verify_isolated(Path("b"), "cpu", seconds=0.5 if "sleep" in code else 60)
    assert said in str(caught.value) and str(caught.value).isprintable()


@pytest.mark.skipif(sys.platform != "linux", reason="address space is limited by POSIX")
def test_memory_is_limited() -> None:
    command = "from handfirst.runtime.isolated import _limit; _limit(1 << 30); print(len(bytearray(2 << 30)))"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(isolated, "_COMMAND", (sys.executable, "-c", command))
        with pytest.raises(BundleError, match="ended with code 1"):
            verify_isolated(Path("b"), "cpu")


def test_a_hostile_bundle_fails_and_a_good_one_of_no_system_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draft = Draft()
    COMPUTED["the least integer by -1, running"][0](draft)
    assert main(["verify", str(draft.write(tmp_path / "b")), "--isolated", "--engine", "cpu", "--threads", "1"]) == 2
    assert "divides integers" in " ".join(capsys.readouterr().out.split())
    draft = Draft()
    put("system", value="other")(draft)
    checks = verify_isolated(draft.write(tmp_path / "c"), "cpu", 1)
    assert [check.name for check in checks if not check.ok] == ["system"]


@pytest.mark.parametrize("options", [["--memory", "much"], ["--seconds", "0"], ["--seconds", "x"]])
def test_limits_that_are_none(options: list[str]) -> None:
    assert main(["verify", "--isolated", *options]) == 2
