"""Nothing is sent or left behind: renders in processes whose home is empty and whose every look-up is written down."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from handfirst.engines import telemetry
from handfirst.engines.installed import importable

WATCH = """
import os, sys
def write_down(event, arguments):
    if event in {"os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "subprocess.Popen"} or (
        event.startswith("socket.") and event not in {"socket.__new__", "socket.gethostname"}
    ):
        with open(os.environ["EVENTS"], "a") as file:
            print(event, arguments[-1:], file=file)
sys.addaudithook(write_down)
"""
"""Children that are forked write down what they do as well. Native code is seen by its files and threads."""

FIRST_OPENED = "import onnxruntime; from pathlib import Path; print(sum(p.is_file() for p in Path.home().rglob('*')))"


def run(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    for name in ("home", "temporary", "site", "work"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "site" / "sitecustomize.py").write_text(WATCH)
    places = {"HOME": "home", "TMPDIR": "temporary", "PYTHONPATH": "site", "EVENTS": "events"}
    given = {name: str(folder / place) for name, place in places.items()} | {"PATH": os.environ["PATH"]} | environment
    command = [sys.executable, *words]
    return subprocess.run(command, cwd=folder / "work", env=given, capture_output=True, text=True, timeout=300)


def events(folder: Path) -> str:
    file = folder / "events"
    return file.read_text() if file.exists() else ""


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("engine", ["cpu", "openvino"])
def test_a_render_leaves_its_picture_and_our_cache_and_looks_nothing_up(engine: str, tmp_path: Path) -> None:
    words = ["-m", "handfirst.runtime.cli.main", "demo", "--engine", engine, "--out", "result"]
    done = run(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    assert events(tmp_path) == ""
    assert "result/result.png" in files(tmp_path / "work")
    assert all(name.startswith("result/") for name in files(tmp_path / "work"))
    assert all(name.startswith(".cache/handfirst/engines/") for name in files(tmp_path / "home"))
    assert files(tmp_path / "temporary") == set()


LOOK = """
import threading
from pathlib import Path
from handfirst.engines.ort import import_onnxruntime
before = len(list(Path("/proc/self/task").iterdir()))
import_onnxruntime()
print(len(list(Path("/proc/self/task").iterdir())) - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
def test_the_watch_sees_what_it_watches_for(tmp_path: Path) -> None:
    """The same libraries without us: the test would notice."""
    (tmp_path / "alone").mkdir()
    version = tuple(map(int, run(tmp_path, "-c", "import onnxruntime; print(onnxruntime.__version__)",
                                 ORT_DISABLE_TELEMETRY="1").stdout.split(".")[:2]))  # fmt: skip
    if version >= (1, 29):
        assert int(run(tmp_path / "alone", "-c", FIRST_OPENED).stdout) > 0
    if importable("openvino_telemetry"):
        run(tmp_path / "alone", "-c", "import openvino")
        assert "getaddrinfo" in events(tmp_path / "alone")
    assert run(tmp_path, "-c", LOOK).stdout.strip() == "0"  # no thread that waits to send


def test_every_room_that_trains_or_exports_switches_hubs_off_before_they_are_imported(tmp_path: Path) -> None:
    look = "import handfirst.{}; from huggingface_hub import constants as c; print(c.HF_HUB_DISABLE_TELEMETRY)"
    for room in ("training", "export"):
        assert run(tmp_path, "-c", look.format(room)).stdout == "True\n"


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """An environment without switches, and an onnxruntime that the host imported first."""
    for name in telemetry.SWITCHES:
        monkeypatch.setenv(name, "")  # so that it is as before when the test is over
        monkeypatch.delenv(name)
    asked: list[str] = []
    library = SimpleNamespace(disable_telemetry_events=lambda: asked.append("off"), asked=asked)
    monkeypatch.setitem(sys.modules, "onnxruntime", library)
    return library


def test_a_library_that_the_host_imported_is_told_once(clean: SimpleNamespace) -> None:
    for _ in range(3):
        telemetry.switch_off()
    assert clean.asked == ["off"]
    assert {name: os.environ[name] for name in telemetry.SWITCHES} == telemetry.SWITCHES


@pytest.mark.parametrize("said", ["0", "1", "", "no"])
def test_the_hosts_own_setting_wins(said: str, clean: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in telemetry.SWITCHES:
        monkeypatch.setenv(name, said)
    telemetry.switch_off()
    assert clean.asked == []
    assert all(os.environ[name] == said for name in telemetry.SWITCHES)


def test_an_old_library_without_a_switch(clean: SimpleNamespace) -> None:
    del clean.disable_telemetry_events
    telemetry.switch_off()


def test_openvinos_package_is_hidden_while_openvino_is_imported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [n for n in sys.modules if n.partition(".")[0] in ("openvino", "openvino_telemetry")]:
        monkeypatch.delitem(sys.modules, name)
    with telemetry.without_openvinos(), pytest.raises(ImportError):
        import openvino_telemetry  # noqa: F401
    assert "openvino_telemetry" not in sys.modules
    (tmp_path / "intel").mkdir()
    (tmp_path / "intel" / "openvino_telemetry").write_text("1")  # the user's consent
    with telemetry.without_openvinos():
        assert "openvino_telemetry" not in sys.modules
