"""Arrays of DWPose, InterHand2.6M and FoundHand, laid out by hand from their documentation."""

from __future__ import annotations

import io
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handfirst.runtime.errors import PoseError
from handfirst.runtime.pose.read import parse_pose, read_pose

SIZE = (400, 200)
# DWPose's body: OpenPose's 18, and where COCO puts each of them
DWPOSE_BODY = ["nose", "neck", "rsho", "relb", "rwri", "lsho", "lelb", "lwri", "rhip", "rkne", "rank", "lhip", "lkne",
               "lank", "reye", "leye", "rear", "lear"]  # fmt: skip
COCO_BODY = ["nose", "leye", "reye", "lear", "rear", "lsho", "rsho", "lelb", "relb", "lwri", "rwri", "lhip", "rhip",
             "lkne", "rkne", "lank", "rank"]  # fmt: skip
# InterHand2.6M's 21 joints of one hand, and MediaPipe's
INTERHAND = [*(f"{f}{k}" for f in ("thumb", "index", "middle", "ring", "pinky") for k in (4, 3, 2, 1)), "wrist"]
MEDIAPIPE = ["wrist", *(f"{f}{k}" for f in ("thumb", "index", "middle", "ring", "pinky") for k in (1, 2, 3, 4))]


def raw(people: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    return rng.uniform(5, 195, (people, 134, 2)), rng.uniform(0.3, 1.2, (people, 134))


def saved(folder: Path, *arrays: Any, **named: Any) -> Path:
    np.savez(folder / "pose.npz", *arrays, **named)
    return folder / "pose.npz"


def check_dwpose(pose: Any, points: np.ndarray, feet: bool = True) -> None:
    assert len(pose.people) == len(points)
    for person, given in zip(pose.people, points, strict=True):
        for coco, name in enumerate(COCO_BODY):
            np.testing.assert_allclose(person.points[coco], given[DWPOSE_BODY.index(name)], err_msg=name)
        np.testing.assert_allclose(person.feet, given[18:24] if feet else np.full((6, 2), np.nan))
        np.testing.assert_allclose(person.face, given[24:92])
        np.testing.assert_allclose(person.left_hand, given[92:113])
        np.testing.assert_allclose(person.right_hand, given[113:134])


def test_dwpose_raw(tmp_path: Path) -> None:
    points, scores = raw(2)
    pose = read_pose(saved(tmp_path, keypoints=points, scores=scores), SIZE)
    check_dwpose(pose, points)
    assert pose.people[1].scores[0] == scores[1, 0] and pose.people[1].scores[91] == scores[1, 92]
    listed = {"keypoints": points.tolist(), "scores": scores.tolist(), "width": 400, "height": 200}
    check_dwpose(parse_pose(listed), points)
    np.save(tmp_path / "pose.npy", np.concatenate([points, scores[..., None]], -1)[0])
    check_dwpose(read_pose(tmp_path / "pose.npy", SIZE), points[:1])
    np.save(tmp_path / "pose.npy", points.astype(np.float32))
    assert (read_pose(tmp_path / "pose.npy", SIZE).people[0].scores == 1).all()


def test_dwpose_below_three_tenths_is_missing(tmp_path: Path) -> None:
    points, scores = raw()
    scores[0, 0], scores[0, 92], points[0, 93] = 0.299, 0.3, -1
    (person,) = read_pose(saved(tmp_path, keypoints=points, scores=scores), SIZE).people
    assert np.flatnonzero(person.scores == 0).tolist() == [0, 92]


@pytest.mark.parametrize("kind", ["json", "npz"])
def test_dwpose_parts(tmp_path: Path, kind: str) -> None:
    """Two people: left hands of both, then right hands of both; fractions of the picture; -1 is missing."""
    points, _ = raw(2)
    part = points / SIZE
    bodies = {"candidate": part[:, :18].reshape(36, 2), "subset": np.arange(36.0).reshape(2, 18)}
    rest = {"faces": part[:, 24:92], "hands": np.vstack([part[:, 92:113], part[:, 113:]])}
    score = {"hands_score": np.ones((4, 21))}
    bodies["subset"][0, 0] = -1
    rest["faces"][1, 5] = -1
    score["hands_score"][3, 7] = 0.2  # the second right hand
    if kind == "json":
        lists = {k: v.tolist() for k, v in (rest | score).items()}
        pose = parse_pose({"bodies": {k: v.tolist() for k, v in bodies.items()}, **lists, "W": 400, "H": 200})
    else:
        pose = read_pose(saved(tmp_path, **bodies, **rest, **score), SIZE)
    points[0, 0], points[1, 29], points[1, 113 + 7] = np.nan, np.nan, np.nan
    check_dwpose(pose, points, feet=False)


def test_interhand_by_the_names_of_its_joints(tmp_path: Path) -> None:
    joints = np.random.default_rng(0).uniform(1, 100, (42, 2))
    valid = np.ones(42)
    valid[INTERHAND.index("ring4")] = 0
    files = {
        "two columns": saved(tmp_path, joints=joints, joint_valid=valid),
        "a column of flags": saved(tmp_path, joints=joints, joint_valid=valid[:, None]),
        "three columns": saved(tmp_path, np.column_stack([joints, valid])),
        "depth": saved(tmp_path, joints=np.column_stack([joints, joints[:, 0]]), joint_valid=valid),
    }
    for path in files.values():
        (person,) = read_pose(path, SIZE, "interhand").people
        for place, name in enumerate(MEDIAPIPE):
            index = INTERHAND.index(name)
            right = [np.nan, np.nan] if name == "ring4" else joints[index]
            np.testing.assert_allclose(person.right_hand[place], right, err_msg=name)
            np.testing.assert_allclose(person.left_hand[place], joints[21 + index], err_msg=name)
        assert np.isnan(person.points[:91]).all()


def test_foundhand_puts_the_right_hand_first(tmp_path: Path) -> None:
    points = np.random.default_rng(0).uniform(1, 100, (42, 2))
    points[3] = 0
    pose = read_pose(saved(tmp_path, kpts=points, hand_mask=np.zeros((512, 480), np.uint8)))
    assert (pose.width, pose.height) == (480, 512)
    points[3] = np.nan
    np.testing.assert_array_equal(pose.people[0].right_hand, points[:21])
    np.testing.assert_array_equal(pose.people[0].left_hand, points[21:])


def test_a_bare_array_must_be_named(tmp_path: Path) -> None:
    points = np.random.default_rng(0).uniform(1, 100, (42, 2))
    np.save(tmp_path / "hands.npy", points)
    with pytest.raises(PoseError, match=r"--format interhand .* --format foundhand"):
        read_pose(tmp_path / "hands.npy", SIZE)
    first = {f: read_pose(tmp_path / "hands.npy", SIZE, f).people[0].right_hand[0] for f in ("interhand", "foundhand")}
    np.testing.assert_array_equal(first["interhand"], points[20])
    np.testing.assert_array_equal(first["foundhand"], points[0])
    (tmp_path / "hands.json").write_text(json.dumps(points.tolist()))
    np.testing.assert_array_equal(
        read_pose(tmp_path / "hands.json", SIZE, "foundhand").people[0].left_hand, points[21:]
    )


def test_dwpose_without_a_hand_keeps_the_body(tmp_path: Path) -> None:
    points, _ = raw()
    parts = {"candidate": points[0, :18] / SIZE, "subset": np.zeros((1, 18)), "hands": points[:, :21] / SIZE}
    pose = read_pose(saved(tmp_path, **parts), SIZE)
    np.testing.assert_allclose(pose.people[0].points[0], points[0, 0])
    assert not pose.people[0].has_hand("left")
    assert any(line.startswith("hands: expected 2 x 21 x 2 numbers") for line in pose.warnings)


RAW, SCORES = raw()
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "133 points": (
        {"keypoints": RAW[:, :133], "scores": SCORES},
        "scores: expected 133 numbers, got .134",
    ),
    "fewer scores": ({"keypoints": RAW, "scores": SCORES[:, :5]}, "scores: expected 1 x 134"),
    "infinite": ({"keypoints": RAW * np.inf, "scores": SCORES}, "up to 1e"),
    "texts": ({"keypoints": RAW.astype(str), "scores": SCORES}, "plain numbers"),
    "complex": ({"keypoints": RAW.astype(complex), "scores": SCORES}, "plain numbers"),
    "objects": ({"keypoints": np.array([{}, []], object), "scores": SCORES}, "plain numbers"),
    "no subset": ({"candidate": RAW[0]}, "candidate and subset"),
    "half a body": ({"candidate": RAW[0, :17], "subset": np.zeros((1, 18))}, "candidate: expected 18 x 2"),
    "people of 132 points": ({"people": np.zeros((1, 132, 3)), "width": 9, "height": 9}, "people: expected N x 133"),
    "width of nothing": ({"people": np.zeros((0, 133, 3)), "width": 0, "height": 9}, "1 to 16384 pixels"),
    "two widths": ({"people": np.zeros((0, 133, 3)), "width": np.ones(2), "height": 9}, "canvas width"),
    "a mask of nothing": (
        {"kpts": RAW[0, :42], "hand_mask": np.zeros((64, 0)), "width": 9},
        "canvas: expected 1 to",
    ),
    "something else": ({"weights": np.ones(3)}, "not a pose"),
}


@pytest.mark.parametrize(("arrays", "message"), BAD.values(), ids=BAD.keys())
def test_one_clear_line(arrays: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(PoseError, match=message) as caught:
        read_pose(saved(tmp_path, **arrays), None if "width" in arrays else SIZE)
    assert "\n" not in str(caught.value) and "pose.npz" in str(caught.value)


@pytest.mark.filterwarnings("error")
def test_a_signalling_nan_is_a_missing_point(tmp_path: Path) -> None:
    points = RAW.astype(np.float32)
    points.view(np.uint32)[0, 0, 0] = 0x7F800001
    (person,) = read_pose(saved(tmp_path, keypoints=points, scores=SCORES), SIZE).people
    assert np.flatnonzero(person.scores == 0).tolist() == [0]


def test_pickles_are_not_loaded(tmp_path: Path) -> None:
    for protocol in (2, 3, 4, 5):
        (tmp_path / "pose.pkl").write_bytes(pickle.dumps({"bodies": {}, "hands": io.StringIO}, protocol))
        with pytest.raises(PoseError, match=r"a pickle can run code.*numpy\.savez"):
            read_pose(tmp_path / "pose.pkl")


def test_a_format_that_is_not_there(tmp_path: Path) -> None:
    path = saved(tmp_path, kpts=np.ones((42, 2)), hand_mask=np.zeros((8, 8)))
    with pytest.raises(PoseError, match="expected the format 'coco'"):
        read_pose(path, format="coco")
    with pytest.raises(PoseError, match="unknown format 'bvh'; choose one of openpose"):
        read_pose(path, format="bvh")  # type: ignore[arg-type]
    with pytest.raises(PoseError, match="an array 'joints' of 42 points; the file has hand_mask, kpts"):
        read_pose(path, format="interhand")
