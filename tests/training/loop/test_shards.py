"""The index of shards: the same examples as a streaming reader, damage named, a stable split."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from handfirst.engines.errors import UserError
from handfirst.training.data.procedural.writer import read_dataset
from handfirst.training.data.shards import Shards, open_shards, split


def test_random_access_equals_the_streaming_reader(hands: Path, tmp_path: Path) -> None:
    shards = open_shards(hands, tmp_path)
    streamed = list(read_dataset(hands))  # webdataset, shard after shard
    assert len(shards.files) == 2 and len(shards) == len(streamed) == 14
    for index in (13, 0, 7, 8):
        example, sample = shards.read(index), streamed[index]
        np.testing.assert_array_equal(example.rgb, sample.rgb)
        np.testing.assert_array_equal(example.hands, sample.hands)
        np.testing.assert_array_equal(example.keypoints, sample.keypoints)
        assert (example.caption, example.attributes) == (sample.caption, sample.attributes)
        assert example.key == f"hand-{sample.seed:09d}"


def test_the_index_is_kept_and_follows_changes(hands: Path, tmp_path: Path) -> None:
    data, cache = tmp_path / "data", tmp_path / "cache"
    shutil.copytree(hands, data)
    first = open_shards(data, cache)
    assert len(list(cache.glob("index-*.npz"))) == 1
    again = open_shards(data, cache)
    assert again.keys.tolist() == first.keys.tolist() and (again.span == first.span).all()
    (data / "hand-000001.tar").unlink()
    assert len(open_shards(data, cache)) == 8


def test_what_is_no_shard_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="found none"):
        open_shards(tmp_path, tmp_path / "cache")
    (tmp_path / "bad.tar").write_bytes(b"no tar at all")
    with pytest.raises(UserError, match=r"bad\.tar: expected an uncompressed tar"):
        open_shards(tmp_path, tmp_path / "cache")


def test_a_damaged_example_is_named(hands: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(hands, data)
    shards = open_shards(data, tmp_path / "cache")
    file, (offset, size) = shards.files[0], shards.span[3, 0]
    content = bytearray(file.read_bytes())
    content[offset : offset + size] = bytes(int(size))
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"hand-000000\.tar: cannot read the example 'hand-000000003'") as caught:
        shards.read(3)
    assert "\n" not in str(caught.value)


def numbered(count: int) -> Shards:
    keys = np.array([f"example-{i}" for i in range(count)])
    return Shards((Path("a.tar"),), keys, np.zeros(count, np.int32), np.zeros((count, 3, 2), np.int64))


def test_the_split_is_disjoint_complete_and_about_right() -> None:
    shards = numbered(4000)
    trained, held = split(shards, 0.1)
    assert sorted([*trained.keys, *held.keys]) == sorted(shards.keys)
    assert len(held) == pytest.approx(400, abs=60)


def test_an_example_stays_on_its_side_when_others_come() -> None:
    few, many = split(numbered(300), 0.2)[1], split(numbered(3000), 0.2)[1]
    assert set(few.keys) <= set(many.keys)


def test_both_sides_get_something() -> None:
    for share in (1e-9, 1 - 1e-9):
        trained, held = split(numbered(5), share)
        assert len(trained) >= 1 and len(held) >= 1
    with pytest.raises(UserError, match="at least 2 examples"):
        split(numbered(1), 0.5)
