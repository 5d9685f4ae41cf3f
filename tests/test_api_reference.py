"""The reference in docs/api is what the docstrings say, has every public name, and notices what says nothing."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

import handfirst

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs/api"

SILENT = '''
"""A module."""

class Told:
    """It says so."""

    said: int
    """A field that does."""
    silent: int = 3

    @property
    def mute(self) -> int:
        return 1

    def _private(self): ...

def nothing(a: int) -> int:
    return a
'''


@pytest.fixture(scope="module")
def api() -> ModuleType:
    """scripts/api.py."""
    spec = importlib.util.spec_from_file_location("handfirst_api_script", ROOT / "scripts/api.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where its dataclass looks itself up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pages(api):
    reference = api.Reference()
    made = reference.pages()
    assert reference.missing == []
    return made


def test_it_is_up_to_date(pages):
    """Else run: python scripts/api.py"""
    there = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*")}
    assert sorted(there) == sorted(pages)
    for name, text in pages.items():
        assert there[name] == text, f"docs/api/{name}"


def test_every_public_name_has_its_place(pages):
    headings = pages["handfirst.md"].splitlines()
    assert [name for name in handfirst.__all__ if name != "__version__" and f"## {name}" not in headings] == []


def test_signatures_fields_and_sections_are_there(pages):
    text = pages["handfirst.md"]
    assert "read_pose(path: Path | str, size: tuple[int, int] | None = None, " in text
    assert "- `seed: int = 0`: 0 .. 2**63 - 1." in text
    assert "*Raises:*\n\n- **RequestError**" in text
    assert "- **workers**: pictures painted at a time" in text


def test_every_verb_of_the_runtime_has_its_options(pages):
    text = pages["command-line.md"]
    verbs = "demo", "render", "repair", "sample", "batch", "verify", "pose", "show", "build", "profile", "doctor"
    for verb in (*verbs, "cache prune"):
        assert f"## handfirst {verb}\n" in text
    assert "- `--seed N` (default: 0): Equal seeds give equal pictures." in text
    assert "- `--metadata, --no-metadata` (default: --metadata): " in text
    assert "- `--out FILE.png` (must be given): " in text


def test_what_says_nothing_is_named(api, monkeypatch, tmp_path):
    (tmp_path / "silent_module.py").write_text(SILENT)
    monkeypatch.syspath_prepend(tmp_path)
    reference = api.Reference()
    reference._module(importlib.import_module("silent_module"))
    assert sorted(reference.missing) == [
        "silent_module.Told.mute",
        "silent_module.Told.silent",
        "silent_module.nothing",
    ]


def test_an_outdated_page_and_one_too_many_fail_the_check(api, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(api, "FOLDER", tmp_path / "api")
    monkeypatch.setattr(sys, "argv", ["api.py"])
    assert api.main() == 0
    monkeypatch.setattr(sys, "argv", ["api.py", "--check"])
    assert api.main() == 0
    (tmp_path / "api/handfirst.md").write_text("old")
    (tmp_path / "api/gone.md").write_text("old")
    assert api.main() == 1
    said = capsys.readouterr().err
    assert "docs/api/handfirst.md is not" in said and "docs/api/gone.md is not" in said
    monkeypatch.setattr(sys, "argv", ["api.py"])
    assert api.main() == 0
    assert not (tmp_path / "api/gone.md").exists()
