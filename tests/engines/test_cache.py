"""The cache gives back what was stored, byte for byte, or nothing: whatever happens to its files."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.cached import BLOB, KEY, OTHER, age, stored

from handfirst.engines import cache as module
from handfirst.engines.cache import EngineCache, Key

posix = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="only POSIX says who may write")


words = st.text(max_size=20)


@settings(max_examples=60, deadline=None)
@given(key=st.builds(Key, words, words, words, words, words), blob=st.binary(max_size=3000))
def test_what_is_stored_comes_back(key: Key, blob: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        cache = EngineCache(Path(folder) / "c")
        assert cache.load(key) is None
        path = stored(cache, key, blob)
        assert cache.load(key) == blob
        (entry,) = cache.entries()
        assert (entry.path, entry.key, entry.size) == (path, key, path.stat().st_size)


def test_the_digest_is_sha256_of_the_fields() -> None:
    fields = {
        "device": "a CPU", "engine": "openvino", "graph": "ab" * 32, "library": "openvino 1.0", "options": "x=1x3"
    }  # fmt: skip
    assert KEY.digest() == hashlib.sha256(json.dumps(fields, separators=(",", ":")).encode()).hexdigest()


@pytest.mark.parametrize("field", ["engine", "graph", "library", "device", "options"])
def test_another_key_is_another_entry(cache: EngineCache, field: str) -> None:
    stored(cache)
    assert cache.load(replace(KEY, **{field: "other"})) is None


def test_fields_cannot_run_into_each_other(cache: EngineCache) -> None:
    stored(cache, Key("a", "b", "c", "d", "e"))
    assert cache.load(Key("a", "", "bc", "d", "e")) is None
    assert cache.load(Key('a","device":"', "b", "c", "d", "e")) is None


def test_a_later_blob_takes_the_place_of_an_older_one(cache: EngineCache) -> None:
    stored(cache)
    stored(cache, blob=b"newer")
    assert cache.load(KEY) == b"newer" and len(cache.entries()) == 1


def test_any_altered_byte_is_a_miss(cache: EngineCache) -> None:
    path = stored(cache, blob=b"blob" * 8)
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert cache.load(KEY) is None, place
    path.write_bytes(whole)
    assert cache.load(KEY) == b"blob" * 8


def test_any_truncation_or_growth_is_a_miss(cache: EngineCache) -> None:
    path = stored(cache, blob=b"blob" * 8)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert cache.load(KEY) is None, length
    path.write_bytes(whole + b"\0")
    assert cache.load(KEY) is None and cache.entries() == []


def swap(path: Path, cache: EngineCache) -> None:
    other = stored(cache, OTHER, b"other")
    spare = path.with_suffix(".spare")
    path.rename(spare)
    other.rename(path)
    spare.rename(other)


def link(path: Path, cache: EngineCache) -> None:
    path.rename(path.with_suffix(".moved"))
    path.symlink_to(path.with_suffix(".moved"))


def become_folder(path: Path, cache: EngineCache) -> None:
    path.unlink()
    path.mkdir()


def become_pipe(path: Path, cache: EngineCache) -> None:
    path.unlink()
    os.mkfifo(path)


def forged_hash(path: Path, cache: EngineCache) -> None:
    """Another blob with its own right hash, under another key."""
    elsewhere = EngineCache(cache.folder.parent / "elsewhere")
    stored(elsewhere, OTHER, b"evil").replace(path)


HOSTILE: dict[str, Callable[[Path, EngineCache], object]] = {
    "swapped with another entry": swap,
    "a link": link,
    "a folder": become_folder,
    "a pipe": become_pipe,
    "another entry under this name": forged_hash,
    "a deep header": lambda p, c: p.write_bytes(module.MAGIC + b"[" * 60_000 + b"\n"),
    "an endless header": lambda p, c: p.write_bytes(module.MAGIC + b"x" * 200_000),
    "not there": lambda p, c: p.unlink(),
    "file writable by others": lambda p, c: p.chmod(0o666),
    "folder writable by the group": lambda p, c: c.folder.chmod(0o770),
    "folder writable by all": lambda p, c: c.folder.chmod(0o707),
}


@posix
@pytest.mark.parametrize("case", HOSTILE)
def test_what_cannot_be_trusted_is_a_miss(cache: EngineCache, case: str) -> None:
    HOSTILE[case](stored(cache), cache)
    assert cache.load(KEY) is None
    assert cache.load(OTHER) is None
    cache.entries()


@posix
def test_what_belongs_to_another_user_is_a_miss(cache: EngineCache, monkeypatch: pytest.MonkeyPatch) -> None:
    path = stored(cache)
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    assert cache.load(KEY) is None and cache.store(KEY, BLOB) is None
    problem = cache.problem()
    assert problem is not None and "another user" in problem and "HANDFIRST_CACHE" in problem


@posix
def test_only_the_owner_may_look(cache: EngineCache) -> None:
    before = os.umask(0)
    try:
        path = stored(cache)
    finally:
        os.umask(before)
    assert (cache.folder.stat().st_mode & 0o777, path.stat().st_mode & 0o777) == (0o700, 0o600)
    assert cache.problem() is None


@posix
def test_nothing_is_kept_where_others_may_write(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path / "open")
    cache.folder.mkdir()
    cache.folder.chmod(0o777)
    assert cache.store(KEY, BLOB) is None and list(cache.folder.iterdir()) == []
    problem = cache.problem()
    assert problem is not None and "chmod go-w" in problem and "\n" not in problem


def test_a_full_disk_is_no_error(cache: EngineCache, monkeypatch: pytest.MonkeyPatch) -> None:
    stored(cache, OTHER)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "fdopen", full)
    assert cache.store(KEY, BLOB) is None
    monkeypatch.undo()
    assert cache.load(KEY) is None and cache.load(OTHER) == BLOB
    assert len(list(cache.folder.iterdir())) == 1


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cache = EngineCache(tmp_path / "file" / "cache")
    assert cache.store(KEY, BLOB) is None and cache.load(KEY) is None
    assert cache.entries() == [] and cache.prune() == []
    problem = cache.problem()
    assert problem is not None and "cannot be made" in problem


def test_an_interrupted_store_leaves_nothing_that_loads(cache: EngineCache, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cache.store(KEY, BLOB)
    assert cache.load(KEY) is None and list(cache.folder.iterdir()) == []


KILLED = """
import os, sys
from pathlib import Path
from handfirst.engines.cache import EngineCache, Key
Path.replace = lambda *_: os._exit(9)
EngineCache(Path(sys.argv[1])).store(Key("openvino", "ab" * 32, "openvino 1.0", "a CPU", "x=1x3"), b"blob")
"""


def test_a_killed_store_leaves_nothing_that_loads_and_prune_sweeps_it_up(cache: EngineCache) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(cache.folder)], check=False)
    assert done.returncode == 9
    (left,) = cache.folder.iterdir()
    assert cache.load(KEY) is None and cache.entries() == []
    cache.prune(max_bytes=1 << 30)
    assert left.exists()  # a writer may still be at it
    age(left, 1)
    cache.prune(max_bytes=1 << 30)
    assert not left.exists()


def test_writers_at_once_leave_one_whole_blob(cache: EngineCache) -> None:
    blobs = [bytes([i]) * 200_000 for i in range(6)]
    wrong: list[object] = []

    def write(blob: bytes) -> None:
        for _ in range(8):
            cache.store(KEY, blob)
            if cache.load(KEY) not in blobs:
                wrong.append(blob[:1])

    threads = [threading.Thread(target=write, args=(blob,)) for blob in blobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == [] and cache.load(KEY) in blobs and len(list(cache.folder.iterdir())) == 1
