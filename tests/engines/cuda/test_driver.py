"""Asking the driver: a stand-in for libcuda that answers, refuses, crashes or hangs never harms this process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from handfirst.engines.cuda import driver
from handfirst.engines.cuda.driver import Driver, ask, nvidia_driver

COMPILER = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
LIBRARY = """
#include <string.h>
#include <unistd.h>
int cuInit(unsigned flags) { INIT; return 0; }
int cuDeviceGetCount(int *count) { *count = COUNT; return 0; }
int cuDeviceGet(int *device, int ordinal) { *device = 7; return ordinal; }
int cuDeviceGetName(char *name, int length, int device) {
    strncpy(name, "Fake \\303\\234 200", length);
    return device != 7;
}
int cuDriverGetVersion(int *version) { *version = 12080; return 0; }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    *value = attribute == 75 ? 9 : 1;
    return device != 7;
}
"""
# The same in Python, where there is no compiler: what the child imports before its own first line.
SUBSTITUTE = """
import ctypes, os, time
class Library:
    def __init__(self, name): pass
    def cuInit(self, flags): INIT; return 0
    def cuDeviceGetCount(self, count): count._obj.value = COUNT; return 0
    def cuDeviceGet(self, device, ordinal): device._obj.value = 7; return ordinal
    def cuDeviceGetName(self, name, length, device): name.value = "Fake \\u00dc 200".encode(); return device.value != 7
    def cuDriverGetVersion(self, version): version._obj.value = 12080; return 0
    def cuDeviceGetAttribute(self, value, attribute, device):
        value._obj.value = 9 if attribute == 75 else 1; return device.value != 7
ctypes.CDLL = ctypes.WinDLL = Library
"""
FAILURES = {  # in C, in Python
    "refuses": ("return 100", "return 100"),
    "crashes": ("*(volatile int *)0 = 1", "ctypes.string_at(0)"),
    "aborts": ("_exit(3)", "os._exit(3)"),
    "hangs": ("sleep(600)", "time.sleep(600)"),
    "talks": ('write(1, "{}", 2)', "print('{}')"),
}


def install(
    folder: Path, monkeypatch: pytest.MonkeyPatch, init: tuple[str, str] = ("", "pass"), count: int = 2
) -> None:
    """Makes every child of this process find the stand-in."""
    monkeypatch.setattr(driver, "TIMEOUT", 3.0 if init == FAILURES["hangs"] else 60.0)
    if COMPILER and sys.platform == "linux":
        source = folder / "libcuda.c"
        source.write_text(LIBRARY.replace("INIT", init[0]).replace("COUNT", str(count)))
        subprocess.run([COMPILER, "-shared", "-fPIC", "-w", "-o", folder / "libcuda.so.1", source], check=True)
        monkeypatch.setenv("LD_LIBRARY_PATH", str(folder))
    else:
        (folder / "sitecustomize.py").write_text(SUBSTITUTE.replace("INIT", init[1]).replace("COUNT", str(count)))
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]))


def asked_again() -> Driver | None:
    return nvidia_driver.__wrapped__()


def test_what_the_driver_says_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch)
    assert asked_again() == Driver("Fake Ü 200", "12.8", (9, 1))
    assert str(asked_again()) == "Fake Ü 200, compute capability 9.1, CUDA 12.8"


@pytest.mark.parametrize("failure", FAILURES)
def test_a_driver_that_fails_is_none(failure: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, FAILURES[failure])
    assert asked_again() is None


def test_a_driver_without_a_gpu_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, count=0)
    assert asked_again() is None


def test_a_frozen_program_is_not_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(driver, "ask", lambda command: pytest.fail("asked"))
    assert asked_again() is None


@pytest.mark.parametrize(
    "says",
    ["null", "[]", "", "{", '{"gpu": "x"}', '{"gpu": "x", "driver": "1", "capability": 3}',
     '{"gpu": "x", "driver": "1", "capability": ["a", "b"]}', "3"],
)  # fmt: skip
def test_any_other_answer_is_none(says: str) -> None:
    assert ask([sys.executable, "-c", f"print({says!r})"]) is None


def test_no_program_and_no_patience_are_none() -> None:
    assert ask(["no-such-program-anywhere"]) is None
    assert ask([sys.executable, "-c", "import time; time.sleep(600)"], timeout=0.5) is None


def test_it_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []
    monkeypatch.setattr(driver, "ask", calls.append)
    nvidia_driver.cache_clear()
    try:
        assert nvidia_driver() is None and nvidia_driver() is None and len(calls) == 1
    finally:
        nvidia_driver.cache_clear()
