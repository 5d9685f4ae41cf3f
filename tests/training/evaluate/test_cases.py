"""Lists of cases: JSON lines, shards, folders; and one clear line for everything else."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.evaluation import random_scenes, write_list

from handfirst.engines.errors import UserError
from handfirst.training.data.example import Example, encode
from handfirst.training.evaluate.cases import read_cases


def example(key: str, side: int = 16) -> Example:
    rng = np.random.default_rng(len(key))
    keypoints = np.zeros((133, 3), np.float32)
    keypoints[91:112] = np.c_[rng.uniform(0, side, (21, 2)), np.ones(21)]
    rgb = np.full((side, side, 3), 200, np.uint8)
    return Example(key, rgb, np.ones((side, side), np.uint8), keypoints, "a hand", {"gesture": "fist"})


def write_shard(path: Path, *examples: Example) -> Path:
    with tarfile.open(path, "w") as tar:
        for one in examples:
            for name, data in encode(one).items():
                info = tarfile.TarInfo(f"{one.key}.{name}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return path


def picture(path: Path, shade: int = 90) -> Path:
    cv2.imwrite(str(path), np.full((8, 6, 3), shade, np.uint8))
    return path


def test_a_line_holds_picture_pose_prompt_and_attributes(tmp_path: Path) -> None:
    scenes = random_scenes(np.random.default_rng(0), 3)
    cases = read_cases(write_list(tmp_path, scenes))
    assert [case.key for case in cases] == ["s0", "s1", "s2"]
    for case, scene in zip(cases, scenes, strict=True):
        assert case.pose is not None and case.prompt == f"picture {case.key[1:]}"
        np.testing.assert_allclose(case.pose.people[0].points, scene.true[0])
        assert case.attributes == scene.attributes
        assert case.picture.read().shape == (48, 48, 3)


def test_a_pose_may_be_a_file_beside_the_list(tmp_path: Path) -> None:
    points = [v for i in range(17) for v in (10 + i, 20, 1)]
    (tmp_path / "p.json").write_text(json.dumps({"keypoints": points}))
    line = {"picture": "a.png", "pose": "p.json", "width": 64, "height": 32}
    (tmp_path / "list.jsonl").write_text(json.dumps(line) + "\n\n" + json.dumps({"picture": "b.png"}))
    first, second = read_cases(tmp_path / "list.jsonl")
    assert first.pose is not None and (first.pose.width, first.pose.height) == (64, 32)
    assert first.pose.people[0].points[3].tolist() == [13.0, 20.0]
    assert second.pose is None and second.prompt is None


@pytest.mark.parametrize("as_folder", [True, False])
def test_shards_are_truth_and_pictures(tmp_path: Path, as_folder: bool) -> None:
    shard = write_shard(tmp_path / "x-000.tar", example("a"), example("bb"))
    cases = read_cases(tmp_path if as_folder else shard)
    assert [case.key for case in cases] == ["a", "bb"]
    for case in cases:
        truth = example(case.key)
        assert case.pose is not None and (case.pose.width, case.pose.height) == (16, 16)
        np.testing.assert_allclose(case.pose.people[0].points[91:112], truth.keypoints[91:112, :2], atol=0.005)
        assert np.isnan(case.pose.people[0].points[:91]).all()
        assert (case.prompt, case.attributes) == ("a hand", {"gesture": "fist"})
        np.testing.assert_allclose(case.picture.read(), truth.rgb, atol=2)


def test_generated_pictures_take_the_place_of_the_true_ones(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "x.tar", example("a"), example("bb"))
    made, masks = tmp_path / "made", tmp_path / "masks"
    made.mkdir()
    masks.mkdir()
    for key in ("a", "bb"):
        picture(made / f"{key}.png")
        picture(masks / f"{key}.png", 255)
    cases = read_cases(shard, made, masks)
    assert [int(case.picture.read()[0, 0, 0]) for case in cases] == [90, 90]
    assert all(case.mask is not None and case.mask.read().max() == 255 for case in cases)
    (made / "bb.png").unlink()
    with pytest.raises(UserError, match=r"no picture for 1 cases, the first is 'bb\.png'"):
        read_cases(shard, made)


def test_a_folder_of_pictures_has_no_truth(tmp_path: Path) -> None:
    picture(tmp_path / "b.png")
    picture(tmp_path / "a.jpg")
    cases = read_cases(tmp_path)
    assert [(case.key, case.pose, case.prompt) for case in cases] == [("a", None, None), ("b", None, None)]
    picture(tmp_path / "a.png")
    with pytest.raises(UserError, match="two pictures are named 'a'"):
        read_cases(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "nothing to evaluate"),
        ("{", "line 1: "),
        ("[1]", "expected an object"),
        ('{"pose": null}', '"picture": expected a text, got None'),
        ('{"picture": "a.png"}\n{"picture": "sub/a.png"}', "two cases are named 'a'"),
        ('{"picture": "a.png", "pose": {"keypoints": []}}', 'needs the "width" and "height"'),
        ('{"picture": "a.png", "pose": {"x": 1}, "width": 9, "height": 9}', "not a pose"),
        ('{"picture": "a.png", "pose": "none.json"}', "none.json: cannot be read"),
        ('{"picture": "a.png", "attributes": "fist"}', '"attributes": expected an object'),
    ],
)
def test_bad_lists_are_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "list.jsonl"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        read_cases(path)
    assert str(path) in str(caught.value)


def test_damaged_shards_are_refused_in_one_line(tmp_path: Path) -> None:
    broken = tmp_path / "broken.tar"
    broken.write_bytes(b"not a tar" * 200)
    with pytest.raises(UserError, match="expected a tar"):
        read_cases(broken)
    half = tmp_path / "half.tar"
    with tarfile.open(half, "w") as tar:
        tar.addfile(tarfile.TarInfo("a.rgb.jpg"))
    with pytest.raises(UserError, match="'a' has no json"):
        read_cases(half)


lines = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["picture", "key", "pose", "width", "height", "keypoints", "people", "prompt", "attributes"]
            ),
            children,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(st.lists(lines, max_size=3))
def test_any_json_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: list[object]) -> None:
    path = tmp_path_factory.mktemp("any") / "list.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in content))
    try:
        assert all(case.key for case in read_cases(path))
    except UserError as error:
        assert "\n" not in str(error)
