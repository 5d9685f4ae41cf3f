"""What is said of a wrong kind, a wrong folder, a damaged file; and that long files are read a little at a time."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.datasets import write_hagrid, write_interhand, write_wholebody
from support.more_datasets import CAPTURE, write_humansd, write_reinterhand

from handfirst.engines.errors import UserError
from handfirst.training.data.sources.interhand import paired
from handfirst.training.data.sources.opening import KINDS, open_source
from handfirst.training.data.sources.reinterhand import MaskFolder
from handfirst.training.data.sources.streams import entries, items, whole

NAMED = {
    "hagrid": "hagrid_annotations/.*GESTURE.json",
    "interhand": "InterHand2.6M_SPLIT_data.json",
    "reinterhand": "Mugsy_cameras/envmap_per_frame/images/",
    "humansd": "mapping_file_training.json",
    "wholebody": "coco_wholebody_train_v1.0.json",
    "folder": "pictures",
    "shards": ".tar",
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_folder_is_told_what_belongs_there(kind: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"{tmp_path}: expected .*{NAMED[kind]}") as error:
        open_source(kind, tmp_path)
    assert "\n" not in str(error.value)


def test_wrong_kinds_and_paths(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown kind of source 'imagenet': expected one of hagrid, "):
        open_source("imagenet", tmp_path)
    with pytest.raises(UserError, match="no such file or folder"):
        open_source("hagrid", tmp_path / "nowhere")
    with pytest.raises(UserError, match="for reinterhand only"):
        open_source("folder", tmp_path, masks=MaskFolder("masks", 1, 2))


def test_half_a_data_set_is_told_what_is_missing(tmp_path: Path) -> None:
    write_hagrid(tmp_path / "h", count=1)
    (tmp_path / "h/hagrid_dataset").rename(tmp_path / "h/pictures")
    write_interhand(tmp_path / "i", count=1)
    camera = tmp_path / "i/annotations/train/InterHand2.6M_train_camera.json"
    write_wholebody(tmp_path / "w", count=1)
    (tmp_path / "w/val2017").rename(tmp_path / "w/pictures")
    write_reinterhand(tmp_path / "r", count=1)
    with pytest.raises(UserError, match="expected pictures in hagrid_dataset/palm/"):
        open_source("hagrid", tmp_path / "h")
    with pytest.raises(UserError, match=r"expected annotations.*for a SPLIT of test"):
        open_source("interhand", tmp_path / "i", splits=["test"])
    with pytest.raises(UserError, match="in val2017/"):
        open_source("wholebody", tmp_path / "w")
    with pytest.raises(UserError, match="expected masks in masks/"):
        open_source("reinterhand", tmp_path / "r", masks=MaskFolder("masks", 1, 2))
    camera.unlink()
    with pytest.raises(UserError, match=f"{camera}: missing"):
        open_source("interhand", tmp_path / "i")
    (tmp_path / "r" / CAPTURE / "keypoints_orig").rename(tmp_path / "r/k")
    with pytest.raises(UserError, match="expected keypoints_orig/"):
        open_source("reinterhand", tmp_path / "r")


DAMAGED = {
    "hagrid": (write_hagrid, "hagrid_annotations/train/palm.json"),
    "interhand": (write_interhand, "annotations/train/InterHand2.6M_train_data.json"),
    "interhand-camera": (write_interhand, "annotations/train/InterHand2.6M_train_camera.json"),
    "interhand-joints": (write_interhand, "annotations/train/InterHand2.6M_train_joint_3d.json"),
    "reinterhand": (write_reinterhand, f"{CAPTURE}/Mugsy_cameras/cam_params.json"),
    "humansd": (write_humansd, "mapping_file_training.json"),
    "wholebody": (write_wholebody, "annotations/coco_wholebody_val_v1.0.json"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_file_cut_off_is_named(name: str, tmp_path: Path) -> None:
    write, file = DAMAGED[name]
    write(tmp_path, count=2)
    path = tmp_path / file
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match=f"{path}: not JSON") as error:
        list(open_source(name.partition("-")[0], tmp_path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["interhand", "wholebody"])
def test_a_file_of_something_else_is_named(name: str, tmp_path: Path) -> None:
    write, file = DAMAGED[name]
    write(tmp_path, count=1)
    for text, reason in (("{}", r"expected (lists|a list) `images`"), ("[1]", "expected a JSON object")):
        (tmp_path / file).write_text(text)
        with pytest.raises(UserError, match=reason):
            list(open_source(name, tmp_path))


def test_damaged_shards(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"x" * 2000)
    with pytest.raises(UserError, match=r"a\.tar: a damaged shard"):
        list(open_source("shards", tmp_path / "a.tar"))
    (tmp_path / "a.rgb.jpg").write_bytes(b"")
    (tmp_path / "b.json").write_text("{}")
    for member in ("rgb.jpg", "mask.png"):
        (tmp_path / f"b.{member}").write_bytes(b"")
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name in ("a.rgb.jpg", "b.rgb.jpg", "b.mask.png", "b.json"):
            tar.add(tmp_path / name, name)
    reasons = [getattr(entry, "reason", None) for entry in open_source("shards", tmp_path)]
    assert reasons == ["a sample without picture, mask or json", "json that cannot be read"]


def test_records_come_before_the_file_is_read(tmp_path: Path) -> None:
    """A gesture's file of megabytes gives its first entry though its end is damaged."""
    write_hagrid(tmp_path, count=1)
    path = tmp_path / "hagrid_annotations/train/palm.json"
    good = json.loads(path.read_text())
    path.write_text(json.dumps(good | {f"x{i}": {"pad": "0" * 1000} for i in range(2000)})[:-100])
    source = iter(open_source("hagrid", tmp_path))
    assert next(source)
    with pytest.raises(UserError, match="not JSON"):
        list(source)


LEAVES = st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-1e9, 1e9) | st.text(max_size=3)
JSON = st.recursive(
    LEAVES, lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text("ab"), x, max_size=2), max_leaves=9
)


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_streams_equal_json(tmp_path_factory: pytest.TempPathFactory, data: dict[str, Any]) -> None:
    path = tmp_path_factory.getbasetemp() / "stream.json"
    path.write_text(json.dumps({"list": [data, 1.5], **{f"k{k}": v for k, v in data.items()}}))
    truth = json.loads(path.read_text())
    assert dict(entries(path)) == truth == whole(path)
    assert list(items(path, "list")) == truth["list"]
    assert list(items(path, "nothing")) == []


@given(st.lists(st.integers(0, 6), max_size=8), st.lists(st.integers(0, 6), max_size=8))
def test_pairs_are_complete(images: list[int], annotations: list[int]) -> None:
    left = [{"id": v, "n": n} for n, v in enumerate(images)]
    right = [{"image_id": v, "n": n} for n, v in enumerate(annotations)]
    found = list(paired(iter([*left, "junk"]), iter(right), "id", "image_id"))
    assert all(a is None or b is None or a["id"] == b["image_id"] for a, b in found)
    ns = [sorted(e["n"] for pair in found if isinstance(e := pair[side], dict)) for side in (0, 1)]
    assert ns == [list(range(len(left))), list(range(len(right)))]
    assert ("junk", None) in found
    paired_ids = {a["id"] for a, b in found if isinstance(a, dict) and b is not None}
    assert paired_ids == set(images) & set(annotations)


def test_pairs_hold_only_what_waits() -> None:
    """Of two endless lists with neighbours swapped, six pairs need no more than six of each."""
    taken = {"id": 0, "image_id": 0}

    def endless(key: str, swapped: int) -> Iterator[dict[str, int]]:
        for n in count():
            taken[key] += 1
            yield {key: n ^ swapped}

    found = list(islice(paired(endless("id", 0), endless("image_id", 1), "id", "image_id"), 6))
    assert all(a["id"] == b["image_id"] for a, b in found)
    assert sorted(a["id"] for a, _ in found) == list(range(6))
    assert taken == {"id": 6, "image_id": 6}
