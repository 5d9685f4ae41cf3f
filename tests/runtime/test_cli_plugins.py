"""The command itself: help, version, and verbs that other rooms and packages add."""

import subprocess
import sys
from importlib.metadata import EntryPoint
from types import SimpleNamespace

import pytest
import typer
from support.fake_system import refused

from handfirst.runtime.cli import plugins
from handfirst.runtime.cli.main import main


class TestTop:
    def test_help_lists_every_verb_and_imports_no_room(self):
        code = (
            "import sys; from handfirst.runtime.cli.main import main; assert main(['--help']) == 0;"
            "assert not any(n.startswith(('handfirst.training', 'handfirst.export', 'numpy')) for n in sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        listed = [line.split()[0] for line in done.stdout.partition("Commands:")[2].splitlines() if line.strip()]
        own = ["demo", "render", "repair", "sample", "batch", "serve", "verify", "pose", "show", "build", "profile"]
        assert listed == [*own, "doctor", "cache", *sorted(plugins.plugins())]

    def test_no_verb_shows_help(self, capsys):
        assert main([]) == 0
        assert "Commands:" in capsys.readouterr().out

    def test_version(self, capsys):
        assert main(["--version"]) == 0
        assert capsys.readouterr().out.startswith("handfirst 0.")


class TestPlugins:
    """Verbs of other rooms and packages."""

    @pytest.fixture
    def other(self, monkeypatch) -> dict[str, EntryPoint]:
        registered: dict[str, EntryPoint] = {}
        monkeypatch.setattr(plugins, "plugins", lambda: registered)
        return registered

    def test_a_package_adds_a_verb(self, other, capsys, monkeypatch):
        app = typer.Typer()

        @app.callback()
        def group() -> None:
            """Greetings."""

        @app.command()
        def hello(name: str) -> None:
            print(f"hello {name}")

        monkeypatch.setitem(sys.modules, "greetings", SimpleNamespace(app=app))
        other["greet"] = EntryPoint("greet", "greetings:app", plugins.GROUP)
        assert main(["greet", "hello", "you"]) == 0
        assert capsys.readouterr().out == "hello you\n"

    def test_own_verbs_cannot_be_replaced(self, other, capsys):
        other["pose"] = EntryPoint("pose", "nowhere:app", plugins.GROUP)
        assert main(["pose", "--help"]) == 0
        assert "Read a pose" in capsys.readouterr().out

    def test_a_room_without_its_libraries_names_the_extra(self, other, capsys, monkeypatch):
        monkeypatch.setitem(sys.modules, "torch", None)
        other["export"] = EntryPoint("export", "torch:app", plugins.GROUP)
        line = refused(capsys, "export", "demo")
        assert "'handfirst export' needs the export extra" in line
        assert "pip install 'handfirst[export]'" in line

    def test_a_library_that_is_missed_later_names_the_extra_too(self, tmp_path):
        code = (
            "import sys; sys.modules['torch'] = None; from handfirst.runtime.cli.main import main;"
            "sys.exit(main(['train', 'demo', 'run']))"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert done.stderr == (
            "error: 'handfirst train' needs the training extra ('torch' is missing); "
            "run: pip install 'handfirst[train]'\n"
        )

    def test_a_bug_in_a_room_keeps_its_traceback(self, other):
        other["train"] = EntryPoint("train", "handfirst.training.not_there:app", plugins.GROUP)
        with pytest.raises(ModuleNotFoundError, match="not_there"):
            main(["train"])
