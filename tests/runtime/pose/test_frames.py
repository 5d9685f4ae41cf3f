"""Files of many frames and images, and frames inside other things."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.named_person import BODY_18, CANVAS, SIZE, TRUTH, WHOLE, coco, openpose

from handfirst.runtime.cli.main import main
from handfirst.runtime.errors import PoseError
from handfirst.runtime.pose.read import parse_pose

NOBODY = {"people": [], **CANVAS}


def one() -> dict[str, Any]:
    return openpose(BODY_18, **CANVAS)


def moved(by: float) -> dict[str, Any]:
    """The left hand alone, moved right."""
    hand = [[x + by, y, 1.0] for x, y in TRUTH["left"].tolist()]
    return {"people": [{"hand_left_keypoints_2d": hand}], **CANVAS}


def left(data: Any, *size: tuple[int, int], **asked: Any) -> list[float]:
    """The left wrist of the one person."""
    (person,) = parse_pose(data, *size, **asked).people
    place: list[float] = person.left_hand[0].tolist()
    return place


WRIST = TRUTH["left"][0].tolist()


def test_the_first_frame_with_somebody_is_read_and_said() -> None:
    pose = parse_pose([NOBODY, None, one(), moved(7)])
    np.testing.assert_allclose(pose.people[0].left_hand, TRUTH["left"])
    assert pose.warnings[0] == (
        "the file has 4 frames, frame 3 is read: --frame chooses another; 2 before it have nobody"
    )


def test_a_frame_by_its_number() -> None:
    video = [NOBODY, one(), moved(7)]
    assert left(video, frame=3) == [WRIST[0] + 7, WRIST[1]]
    assert parse_pose(video, frame=2).warnings == ()
    empty = parse_pose(video, frame=1)
    assert empty.people == () and empty.warnings[0] == "frame 1 of 3 has nobody: --frame chooses another"
    with pytest.raises(PoseError, match="no frame 4 in it; choose one of 1 to 3"):
        parse_pose(video, frame=4)
    assert parse_pose([NOBODY, NOBODY]).warnings[0] == "none of the 2 frames has anybody"


def test_a_frame_without_people_needs_no_size() -> None:
    video = [{"people": []}, one()]
    assert parse_pose(video).warnings[0].endswith("--frame chooses another; 1 before it has nobody")
    assert parse_pose(video, frame=1).people == ()


def test_a_broken_frame_costs_no_other() -> None:
    pose = parse_pose([{"people": [7], **CANVAS}, one()])
    np.testing.assert_allclose(pose.people[0].left_hand, TRUTH["left"])
    assert any("1 of the frames before it cannot be read (person 1: expected an object" in w for w in pose.warnings)


INSIDE = {
    "a web API's answer": {"images": [""], "info": "Success", "poses": [one()]},
    "frames beside their size": {"width": 640, "height": 480, "frames": [{"people": one()["people"]}]},
    "AlphaPose, by picture": {"a.jpg": one()},
    "a list in a list": [[one()]],
    "a web API's answer, JSON in JSON": {"openpose_json": [json.dumps([one()])]},
    "mostly null": {name: None for name in ("pose_landmarks", "left_hand_landmarks", "keypoints")} | one(),
}


@pytest.mark.parametrize("data", INSIDE.values(), ids=INSIDE)
def test_frames_inside_other_things(data: Any) -> None:
    pose = parse_pose(data)
    assert (pose.width, pose.height) == SIZE and pose.warnings == ()
    np.testing.assert_allclose(pose.people[0].left_hand, TRUTH["left"])
    np.testing.assert_allclose(pose.people[0].body, WHOLE[:17])


@pytest.mark.parametrize("name", ["annotations", "poses", "predictions", "data", "pred_instances"])
@pytest.mark.parametrize("empty", [[], {}, None])
def test_what_is_empty_hides_nothing(name: str, empty: Any) -> None:
    alone = {"people": one(), "keypoints": {**coco(), **CANVAS}, "hand": holistic(0) | CANVAS}
    for data in alone.values():
        pose = parse_pose(data | {name: empty})
        np.testing.assert_allclose(pose.people[0].left_hand, TRUTH["left"])
        assert not any("is not read" in line for line in pose.warnings)
    assert left({"people": [], name: empty, "frames": [one()]}) == WRIST


BESIDE: dict[str, tuple[dict[str, Any], str]] = {
    "annotations": ({"annotations": [coco()]}, "beside 'people' the file holds 'annotations', which is not read"),
    "frames": ({"frames": [moved(7)]}, "beside 'people' the file holds 'frames', which is not read"),
    "a result": ({"result": moved(7)}, "beside 'people' the file holds 'result', which is not read"),
    "arrays of MMPose": (
        {"pred_instances": {"keypoints": [WHOLE.tolist()]}},
        "beside 'people' the file holds 'pred_instances', which is not read",
    ),
    "keypoints": (
        {"keypoints": np.add(WHOLE, 7).tolist()},
        "it is read as openpose; what it holds as coco is not read: --format coco does that",
    ),
}


@pytest.mark.parametrize(("other", "line"), BESIDE.values(), ids=BESIDE)
def test_what_is_not_read_is_told(other: dict[str, Any], line: str) -> None:
    pose = parse_pose(one() | other)
    np.testing.assert_allclose(pose.people[0].left_hand, TRUTH["left"])
    assert pose.warnings == (line,)


def test_annotations_of_other_things_hide_nothing() -> None:
    cats = {"annotations": [{"bbox": [1, 2, 3, 4], "label": "cat"}]}
    assert parse_pose(one() | cats).warnings == ()
    assert left({**coco(), **CANVAS} | cats) == WRIST


@pytest.mark.parametrize("inside", [[], [one()], one(), {"data": one()}, {"people": [], "poses": [one()]}])
def test_results_in_results(inside: Any) -> None:
    pose = parse_pose({"status": "ok", "result": inside, **CANVAS})
    assert len(pose.people) == (1 if inside else 0)


def test_a_huge_number_of_people_is_refused() -> None:
    for data in ({"people": [{}] * 1001, **CANVAS}, [{"keypoints": [1, 1] * 17}] * 1001):
        with pytest.raises(PoseError, match="expected at most 1000 people in a picture, got 1001"):
            parse_pose(data, SIZE)


def test_an_answer_without_people() -> None:
    assert parse_pose({"images": [""], "info": "Success", "poses": []}, SIZE).people == ()


def images() -> dict[str, Any]:
    """Images 3, 5 and 8; nobody in 3, two people in 8."""
    entries = [(3, 640, 480), (5, 640, 480), (8, 1280, 960)]
    return {
        "images": [{"id": i, "file_name": f"{i}.jpg", "width": w, "height": h} for i, w, h in entries],
        "annotations": [coco(8), coco(5), coco(8)],
    }


def test_images_by_id_or_name() -> None:
    assert len(parse_pose(images(), image="5").people) == 1
    for name in ("8", "8.jpg"):
        pose = parse_pose(images(), image=name)
        assert (pose.width, pose.height, len(pose.people)) == (1280, 960, 2)
    first = parse_pose(images())
    assert (first.width, len(first.people)) == (640, 1)
    assert first.warnings[0] == (
        "the file has 3 frames, image '5' is read: --image chooses another; 1 before it has nobody"
    )
    assert parse_pose(images(), frame=3).width == 1280
    with pytest.raises(PoseError, match=r"no image '4\.jpg' in it; it has 3, 5, 8"):
        parse_pose(images(), image="4.jpg")
    with pytest.raises(PoseError, match="no image '5' in it; it has no names"):
        parse_pose([one()], image="5")


def test_results_of_several_images() -> None:
    listed = [{"image_id": name, **person} for name, person in (("a.jpg", coco("a.jpg")), ("b.jpg", coco("b.jpg")))]
    pose = parse_pose(listed, SIZE, image="b.jpg")
    assert len(pose.people) == 1 and pose.warnings == ()
    assert len(parse_pose(listed, SIZE).people) == 1


def holistic(shift: float | None) -> dict[str, Any]:
    hand = None if shift is None else [{"x": x / 640 + shift, "y": y / 480} for x, y in TRUTH["left"].tolist()]
    return {"poseLandmarks": None, "leftHandLandmarks": hand, "rightHandLandmarks": None}


def test_a_video_of_holistic() -> None:
    video = [holistic(None), holistic(0), holistic(0.25)]
    np.testing.assert_allclose(left(video, SIZE), WRIST)
    np.testing.assert_allclose(left(video, SIZE, frame=3), [WRIST[0] + 160, WRIST[1]])
    assert parse_pose(video, SIZE, frame=1).people == ()
    with pytest.raises(PoseError, match="add --size"):
        parse_pose(video)


def test_a_video_of_mmpose() -> None:
    def person(by: float) -> dict[str, Any]:
        return {"keypoints": np.add(WHOLE, [by, 0]).tolist(), "keypoint_scores": [0.9] * 133}

    numbered = [{"frame_id": 0, "instances": []}, {"frame_id": 1, "instances": [person(0), person(7)]}]
    shapes = (numbered, {"meta_info": {}, "instance_info": numbered}, {"predictions": [[], [person(0), person(7)]]})
    for video in shapes:
        pose = parse_pose(video, SIZE)
        assert "frame 2 is read" in pose.warnings[0]
        np.testing.assert_allclose(pose.people[1].points, np.add(WHOLE, [7, 0]))


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "video.json").write_text(json.dumps([NOBODY, one(), moved(7)]))
    assert main(["pose", str(tmp_path / "video.json"), "--frame", "3", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["people"][0]["left hand"]["found"] == 21 and told["people"][0]["body"]["found"] == 0
    assert main(["pose", str(tmp_path / "video.json"), "--frame", "4"]) == 2
    assert "no frame 4 in it" in capsys.readouterr().err
    (tmp_path / "coco.json").write_text(json.dumps(images()))
    assert main(["pose", str(tmp_path / "coco.json"), "--image", "8.jpg", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["width"] == 1280
