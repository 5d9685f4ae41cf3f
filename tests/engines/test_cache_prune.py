"""What the cache lists, what it throws away when it is told to, and where it lies."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from support.cached import BLOB, KEY, OTHER, age, stored

from handfirst.engines import cache as module
from handfirst.engines.cache import EngineCache, Entry, default_folder
from handfirst.runtime.cli.cache import _day, _describe
from handfirst.runtime.cli.main import main


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


def header(key: object, size: object) -> bytes:
    return module.MAGIC + json.dumps({"key": key, "sha256": "0" * 64, "size": size}).encode() + b"\n"


ODD: dict[str, bytes] = {
    "an infinite size": header(vars(KEY), float("inf")),
    "NaN": header(vars(KEY), float("nan")),
    "a size as text": header(vars(KEY), "0"),
    "a size of false": header(vars(KEY), False),
    "a size of 0.0": header(vars(KEY), 0.0),
    "a size below nothing": header(vars(KEY), -1),
    "a size of 5000 digits": module.MAGIC + b'{"key": {}, "size": ' + b"9" * 5000 + b"}\n",
    "no key": header(None, 0),
    "a list for a key": header([1, 2, 3, 4, 5], 0),
    "numbers in the key": header({**vars(KEY), "graph": 7}, 0),
    "a list in the key": header({**vars(KEY), "library": ["x"]}, 0),
    "nested": module.MAGIC + b"[" * 60_000 + b"\n",
    "another thing": module.MAGIC + b"7\n",
}


@pytest.mark.parametrize("odd", ODD)
def test_odd_entries_are_not_listed_and_are_thrown_away(odd: str, cache: EngineCache) -> None:
    stored(cache)
    given = json.loads(ODD[odd][len(module.MAGIC) :])["key"] if b'"sha256"' in ODD[odd] else None
    name = module.sha256(module._canonical(given)) if isinstance(given, dict) else "0" * 64
    path = cache.folder / f"{name}{module.SUFFIX}"
    if path.exists():
        path = cache.folder / f"{'1' * 64}{module.SUFFIX}"
    path.write_bytes(ODD[odd])
    assert keys(cache) == [KEY.options]
    cache.prune()
    assert list(cache.folder.iterdir()) == []


@pytest.mark.parametrize("used", [-(1 << 40), 1 << 40])
def test_a_time_outside_the_calendar(used: int, cache: EngineCache, capsys: pytest.CaptureFixture[str]) -> None:
    entry = Entry(stored(cache) or Path("x"), KEY, 1, float(used))
    assert len(_day(entry)) in (1, 16) and "used" in _describe(entry)


@pytest.mark.parametrize("days", ["nan", "inf", "-1", "x"])
def test_days_that_are_none(days: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HANDFIRST_CACHE", str(tmp_path))
    assert main(["cache", "prune", "--older-than", days]) == 2
