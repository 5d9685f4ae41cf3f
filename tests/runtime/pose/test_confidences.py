"""Third columns and visibilities: what is a confidence, what is depth, what says that nothing was seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.named_person import BODY_18, CANVAS, SIZE, TRUTH, WHOLE, flat, openpose

from handfirst.runtime.errors import PoseError
from handfirst.runtime.pose.read import parse_pose

HAND = TRUTH["left"].tolist()
FRACTIONS = (TRUTH["left"] / SIZE).tolist()


def body(**more: Any) -> dict[str, Any]:
    return {"pose_landmarks": [{"x": 0.3 + i / 100, "y": 0.2 + i / 50, **more} for i in range(33)]}


def left(**more: Any) -> dict[str, Any]:
    return {"left_hand_landmarks": [{"x": x, "y": y, **more} for x, y in FRACTIONS]}


def known(data: Any, part: str = "body") -> int:
    (person,) = parse_pose(data, SIZE).people
    return int(np.isfinite(getattr(person, part)[:, 0]).sum())


@pytest.mark.parametrize("name", ["visibility", "score", "confidence"])
def test_a_body_that_was_not_seen_is_none(name: str) -> None:
    with pytest.raises(PoseError, match="pose_landmarks: the visibility of all landmarks is 0: none was seen"):
        parse_pose(body(**{name: 0}), SIZE)
    assert known(body(**{name: 0.1})) == 0 and known(body(**{name: 0.9})) == 17


def test_a_body_that_does_not_say_so_was_seen() -> None:
    assert known(body()) == known(body(visibility=None)) == 17


def test_zero_is_what_some_programs_fill_a_hand_s_visibility_with() -> None:
    assert known(left(visibility=0.0, presence=0.0), "left_hand") == 21
    with pytest.raises(PoseError, match="none was seen"):
        parse_pose(left(score=0), SIZE)


def test_presence_counts_too() -> None:
    assert known(body(presence=0.1)) == known(body(visibility=0.9, presence=0.1)) == 0
    assert known(body(visibility=0.9, presence=0.8)) == known(body(presence=0.8)) == 17
    assert known(body(visibility=0.9, presence=0)) == 17  # as zero throughout says nothing


def thirds(values: list[float]) -> Any:
    points = [[x, y, value] for (x, y), value in zip(FRACTIONS, values, strict=True)]
    return {"left_hand_landmarks": points}


def test_a_third_number_of_a_landmark() -> None:
    """Confidence where it can be nothing else, depth where it can; told where it could be both."""
    told = "left_hand_landmarks: the third number of its landmarks is read as {}; write {{x, y, z, visibility}}"
    sure = parse_pose(thirds([0.2, *[0.9] * 20]), SIZE)
    assert np.flatnonzero(sure.people[0].scores[91:112] == 0).tolist() == [0]
    assert told.format("confidence") in sure.warnings
    low = parse_pose(thirds([0.1] * 21), SIZE)
    assert (low.people[0].scores[91:112] == 1).all() and told.format("depth") in low.warnings
    for depth in ([0.0] * 21, [-0.01 * i for i in range(21)], [0.2 - 0.03 * i for i in range(21)]):
        pose = parse_pose(thirds(depth), SIZE)
        assert (pose.people[0].scores[91:112] == 1).all() and not any("third number" in w for w in pose.warnings)


def test_keypoints_of_hands_are_x_y_score() -> None:
    points = [[x, y, 0.1 if i < 3 else 0.8] for i, (x, y) in enumerate(HAND)]
    pose = parse_pose([{"keypoints": points, "side": "left"}], SIZE)
    assert np.flatnonzero(pose.people[0].scores[91:112]).tolist() == list(range(3, 21))
    with pytest.raises(PoseError, match="expected confidences of 0 to 1, got -2 to"):
        parse_pose([{"keypoints": [[x, y, -0.1 * i] for i, (x, y) in enumerate(HAND)], "side": "left"}], SIZE)


def column(*values: Any) -> dict[str, Any]:
    """The left hand with these confidences in turn, beside a right one."""
    points = [[x, y, values[i % len(values)]] for i, (x, y) in enumerate(HAND)]
    person = {"hand_left_keypoints_2d": points, "hand_right_keypoints_2d": flat(TRUTH["right"])}
    return {"people": [person], **CANVAS}


@pytest.mark.parametrize("values", [(-0.3, 0.4), (95, 99.5), (30, -2, 0.5)])
def test_what_cannot_be_a_confidence_costs_its_part(values: tuple[float, ...]) -> None:
    pose = parse_pose(column(*values))
    (person,) = pose.people
    assert not person.has_hand("left") and person.has_hand("right")
    assert pose.warnings[0].startswith("person 1, hand_left_keypoints_2d: expected confidences of 0 to 1, got ")


def test_unusual_confidences_are_told() -> None:
    pose = parse_pose(column(3, 2.5))
    assert pose.people[0].has_hand("left") and "confidences run to 3, where 1 is usual" in pose.warnings[0]
    for nothing in (None, -1):
        pose = parse_pose(column(nothing))
        assert not pose.people[0].has_hand("left")
        assert pose.warnings[0] == "21 points have coordinates but no confidence (null or -1): they are missing"
    for usual in ((0.9, 1.2), (0, 1), (2, 1), ("0.9", "1")):
        assert not any("confidence" in line for line in parse_pose(column(*usual)).warnings)


def test_an_object_without_a_confidence_and_one_that_is_null() -> None:
    points = [{"x": x, "y": y} for x, y in HAND]
    points[4]["score"] = None  # type: ignore[assignment]
    data = {"people": [{"hand_left_keypoints_2d": points}], **CANVAS}
    assert np.flatnonzero(parse_pose(data).people[0].scores[91:112] == 0).tolist() == [4]


WHOLE_3D = [[x, y, 0.01 * i] for i, (x, y) in enumerate(WHOLE.tolist())]
BAD: dict[str, tuple[Any, str]] = {
    "percents": ([{"keypoints": WHOLE.tolist(), "keypoint_scores": [95] * 133}], "scores: expected 0 to 1, got 95"),
    "percents of DWPose": (
        {"keypoints": [[[9, 9]] * 134], "scores": [[95] * 134]}, "scores: expected 0 to 1, got 95",
    ),
    "depth beside scores": (
        [{"keypoints": WHOLE_3D, "keypoint_scores": [0.9] * 133}], "third column and their scores differ",
    ),
    "scores twice": (
        [{"keypoints": WHOLE.tolist(), "keypoint_scores": [0.9] * 133, "scores": [0.1] * 133}],
        "'keypoint_scores' and 'scores' are two names for one thing and differ",
    ),
    "visibility in percent": (body(visibility=95), "expected confidences of 0 to 1, got 95 to 95"),
    "visibility before the sigmoid": (body(visibility=-3), "expected confidences of 0 to 1, got -3 to -3"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "message"), BAD.values(), ids=BAD)
def test_one_clear_line(data: Any, message: str) -> None:
    with pytest.raises(PoseError, match=message) as caught:
        parse_pose(data, SIZE)
    assert "\n" not in str(caught.value)


def test_flags_beside_scores() -> None:
    """COCO's flags say which points are there, the scores how sure they are."""
    points = [[x, y, 2.0] for x, y in WHOLE[:17].tolist()]
    points[3][2] = 0
    (person,) = parse_pose([{"keypoints": points, "keypoint_scores": [0.9] * 17}], SIZE).people
    assert np.flatnonzero(person.scores == 0.9).tolist() == [0, 1, 2, *range(4, 17)]


@pytest.mark.parametrize(("scale", "size"), [(100, (640, 480)), (1000, (4000, 3000))])
def test_coordinates_of_another_scale_are_told(scale: int, size: tuple[int, int]) -> None:
    data = openpose(BODY_18, (SIZE[0] / scale, SIZE[1] / scale))
    line = f"no coordinate is above {scale} on a canvas of {size[0]} x {size[1]}"
    assert any(each.startswith(line) for each in parse_pose(data, size).warnings)
    assert not any("no coordinate" in each for each in parse_pose(data, (2 * scale, 2 * scale)).warnings)
    assert not any("no coordinate" in each for each in parse_pose(openpose(BODY_18, SIZE), size).warnings)


def test_a_person_upside_down_is_told() -> None:
    stand = np.tile([300.0, 100.0], (17, 1))
    stand[5:7, 1], stand[11:13, 1] = 160, 290
    line = "the person stands on the head: does y run upwards in the file? Here it runs down"
    assert line in parse_pose([{"keypoints": ([0, 480] + stand * [1, -1]).tolist()}], SIZE).warnings
    assert line not in parse_pose([{"keypoints": stand.tolist()}], SIZE).warnings
