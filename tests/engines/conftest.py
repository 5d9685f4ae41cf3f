"""What tests of engines share."""

from __future__ import annotations

from pathlib import Path

import pytest

from handfirst.engines.cache import EngineCache


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    """One whose folder is not there yet."""
    return EngineCache(tmp_path / "deep" / "cache")


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineCache:
    """The default one, in a folder of this test."""
    monkeypatch.setenv("HANDFIRST_CACHE", str(tmp_path / "cache"))
    return EngineCache()
