"""Keys and a blob for the cache of engines, stored in it, and made old."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

from handfirst.engines.cache import EngineCache, Key

KEY = Key("openvino", "ab" * 32, "openvino 1.0", "a CPU", "x=1x3")
OTHER = replace(KEY, options="x=2x3")
BLOB = bytes(range(256)) * 4


def stored(cache: EngineCache, key: Key = KEY, blob: bytes = BLOB) -> Path:
    path = cache.store(key, blob)
    assert path is not None
    return path


def age(path: Path, days: float) -> None:
    then = time.time() - days * 86400
    os.utime(path, (then, then))
