"""What OpenVINO compiled is kept, and compiled again where it cannot be trusted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.layered_graph import WIDTH, feed, has_bfloat16, layers

from handfirst.engines import ov
from handfirst.engines.cache import EngineCache
from handfirst.engines.ort import OrtEngine
from handfirst.engines.verify import psnr

pytestmark = pytest.mark.usefixtures("own_cache")


class Counting(EngineCache):
    """Tells what was asked of it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.found: list[bool] = []
        self.kept = 0

    def load(self, key: Any) -> bytes | None:
        blob = super().load(key)
        self.found.append(blob is not None)
        return blob

    def store(self, key: Any, blob: bytes) -> Path | None:
        self.kept += 1
        return super().store(key, blob)


def test_what_was_compiled_is_kept_and_gives_the_same_numbers(tmp_path: Path) -> None:
    cache, inputs = Counting(tmp_path / "c"), feed()
    made = layers("ab" * 32)
    first = ov.OvEngine(made, cache=cache).run(inputs)
    again = ov.OvEngine(made, cache=cache).run(inputs)
    assert (cache.found, cache.kept) == ([False, True], 1)
    assert psnr(OrtEngine(made).run(inputs)["y"], again["y"]) >= 100  # float32 also when it comes from the cache
    np.testing.assert_allclose(first["y"], again["y"], rtol=1e-5, atol=1e-6)
    (entry,) = cache.entries()
    assert entry.key.graph == "ab" * 32 and "openvino" in entry.key.library
    assert "x=2x48x8x8" in entry.key.options and entry.key.options.startswith("f32 ")


def test_another_shape_graph_precision_or_thread_count_is_another_entry(tmp_path: Path) -> None:
    cache = Counting(tmp_path / "c")
    ov.OvEngine(layers("ab" * 32), threads=1, cache=cache).run(feed())
    ov.OvEngine(layers("ab" * 32), threads=2, cache=cache).run(feed())
    ov.OvEngine(layers("ab" * 32), threads=1, cache=cache).run(feed(1))
    ov.OvEngine(layers("cd" * 32), threads=1, cache=cache).run(feed())
    if has_bfloat16():
        ov.OvEngine(layers("ab" * 32), "bfloat16", threads=1, cache=cache).run(feed())
    assert not any(cache.found) and len(cache.entries()) == len(cache.found)


def test_an_altered_blob_is_compiled_again(tmp_path: Path) -> None:
    cache, inputs, made = Counting(tmp_path / "c"), feed(), layers("ab" * 32)
    expected = ov.OvEngine(made, cache=cache).run(inputs)["y"]
    (entry,) = cache.entries()
    data = bytearray(entry.path.read_bytes())
    data[-len(data) // 2] ^= 0x40  # among the weights: the library itself would not notice
    entry.path.write_bytes(data)
    np.testing.assert_array_equal(ov.OvEngine(made, cache=cache).run(inputs)["y"], expected)
    assert (cache.found, cache.kept) == ([False, False], 2)


def test_a_whole_blob_that_the_library_refuses_is_compiled_again(tmp_path: Path) -> None:
    cache, made = Counting(tmp_path / "c"), layers("ab" * 32)
    ov.OvEngine(made, cache=cache).run(feed())
    (entry,) = cache.entries()
    cache.store(entry.key, b"no blob")
    assert ov.OvEngine(made, cache=cache).run(feed())["y"].shape == (2, 8, 8, WIDTH)


@pytest.mark.parametrize(
    ("digest", "cache", "count"), [("", "default", 0), ("ab" * 32, None, 0), ("ab" * 32, "default", 1)]
)
def test_what_has_no_name_or_no_cache_is_not_kept(own_cache: EngineCache, digest: str, cache: Any, count: int) -> None:
    ov.OvEngine(layers(digest), cache=cache).run(feed())
    assert len(own_cache.entries()) == count
