"""What tests of the command line share."""

from pathlib import Path
from typing import Any

import pytest
from support.fake_system import FakeSystem

from handfirst.runtime.cli import pipeline
from handfirst.runtime.systems.two_stage import seam


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> FakeSystem:
    fake = FakeSystem()

    def opener(*arguments: Any) -> FakeSystem:
        fake.opened = arguments
        return fake

    monkeypatch.setattr(pipeline, "open_pipeline", opener)
    monkeypatch.setattr(pipeline, "system_of", lambda bundle: seam)
    return fake


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to stand in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
