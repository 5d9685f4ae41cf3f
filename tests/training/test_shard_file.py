"""Shards against WebDataset and the tar format's own writer."""

import io
import tarfile
from pathlib import Path

import pytest
import webdataset

from handfirst.training.data.shards import new_shard, read_shard, remove_leftovers

LONG = "reinterhand-" + "x" * 150
EXAMPLES = [("a", {"rgb.jpg": b"1", "json": b"{}"}), (LONG, {"rgb.jpg": b"22", "json": b"[]"})]


def write(path: Path, examples=EXAMPLES) -> Path:
    with new_shard(path) as shard:
        for key, members in examples:
            shard.write(key, members)
    return path


def test_webdataset_reads_it_long_keys_too(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar")
    found = [
        (e["__key__"], {"rgb.jpg": e["rgb.jpg"], "json": e["json"]})
        for e in webdataset.WebDataset(str(path), shardshuffle=False)
    ]
    assert found == EXAMPLES == list(read_shard(path))


def test_short_keys_are_plain_ustar(tmp_path: Path) -> None:
    wanted = io.BytesIO()
    with tarfile.open(fileobj=wanted, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in (("a.rgb.jpg", b"1"), ("a.json", b"{}")):
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.mode = len(content), 946684800, 0o644
            tar.addfile(info, io.BytesIO(content))
    assert write(tmp_path / "a.tar", EXAMPLES[:1]).read_bytes() == wanted.getvalue()


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), new_shard(tmp_path / "a.tar") as shard:
        shard.write(*EXAMPLES[0])
        assert [p.suffix for p in tmp_path.iterdir()] == [".part"]
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_leftovers_go_and_shards_stay(tmp_path: Path) -> None:
    write(tmp_path / "a.tar")
    for name in (".a.tar.17.0123abcd.part", ".a.json.17.0123abcd.tmp.json"):
        (tmp_path / name).write_bytes(b"half")
    remove_leftovers(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["a.tar"]
