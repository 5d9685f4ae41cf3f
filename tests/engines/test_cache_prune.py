"""What the cache lists, what it throws away when it is told to, and where it lies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.cached import BLOB, KEY, OTHER, age, stored

from handfirst.engines import cache as module
from handfirst.engines.cache import EngineCache, default_folder


def keys(cache: EngineCache) -> list[str]:
    return [entry.key.options for entry in cache.entries()]


def three(cache: EngineCache) -> list[int]:
    """Entries "0", "1", "2", used today, yesterday and the day before; their sizes."""
    paths = [stored(cache, replace(KEY, options=str(i)), BLOB * (i + 1)) for i in range(3)]
    for i, path in enumerate(paths):
        age(path, i)
    return [path.stat().st_size for path in paths]


def test_entries_are_listed_by_last_use(cache: EngineCache) -> None:
    three(cache)
    assert keys(cache) == ["0", "1", "2"]
    cache.load(replace(KEY, options="2"))
    assert keys(cache)[0] == "2"


def test_prune_by_size_keeps_what_was_used_last(cache: EngineCache) -> None:
    sizes = three(cache)
    assert cache.prune(max_bytes=sum(sizes)) == []
    removed = cache.prune(max_bytes=sizes[0] + sizes[1])
    assert [entry.key.options for entry in removed] == ["2"] and keys(cache) == ["0", "1"]
    cache.prune(max_bytes=sizes[0] - 1)
    assert keys(cache) == []


def test_prune_by_age(cache: EngineCache) -> None:
    three(cache)
    removed = cache.prune(older_than_days=0.5)
    assert [entry.key.options for entry in removed] == ["1", "2"] and keys(cache) == ["0"]


def test_prune_without_limits_removes_everything_of_ours_and_nothing_else(cache: EngineCache, tmp_path: Path) -> None:
    three(cache)
    stored(cache).write_bytes(b"broken")
    mine = cache.folder / "notes.txt"
    mine.touch()
    target = tmp_path / "target"
    target.touch()
    (cache.folder / f"{OTHER.digest()}{module.SUFFIX}").symlink_to(target)
    assert len(cache.prune()) == 3
    assert list(cache.folder.iterdir()) == [mine] and target.exists()


def test_the_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.sys, "platform", "linux")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("HANDFIRST_CACHE", raising=False)
    assert default_folder() == Path.home() / ".cache" / "handfirst" / "engines"
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert default_folder() == Path("/x/handfirst/engines")
    monkeypatch.setenv("HANDFIRST_CACHE", "/own")
    assert default_folder() == Path("/own") == EngineCache().folder
    monkeypatch.delenv("HANDFIRST_CACHE")
    monkeypatch.setattr(module.sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", "/local")
    assert default_folder() == Path("/local/handfirst/engines")
