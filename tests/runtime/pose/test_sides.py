"""Which hand is which: who named it, whether it was swapped, and that this is told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.named_person import SIZE, TRUTH

from handfirst.runtime.errors import PoseError
from handfirst.runtime.pose.handedness import MIRRORED, UNSURE
from handfirst.runtime.pose.read import parse_pose

FRACTIONS = (TRUTH["left"] / SIZE).tolist()


def listed(points: str, **labels: Any) -> list[dict[str, Any]]:
    """A list of one hand, in the manner of TensorFlow.js ("keypoints") or of others ("landmarks")."""
    return [{points: FRACTIONS, **labels}]


def tasks(label: Any) -> dict[str, Any]:
    return {"hand_landmarks": [FRACTIONS], "handedness": [label]}


BOTH = ((0, "Right", 0.1), (1, "Left", 0.9))
CASES: dict[str, tuple[Any, str, str | None]] = {
    "TensorFlow.js": (listed("keypoints", handedness="Left"), "right", MIRRORED),
    "in capitals": (listed("keypoints", handedness="LEFT"), "right", MIRRORED),
    "with spaces": (listed("keypoints", handedness=" left "), "right", MIRRORED),
    "Hands": (
        {"multi_hand_landmarks": [FRACTIONS], "multi_handedness": [{"label": "Left"}]}, "right", MIRRORED,
    ),
    "a side": (listed("keypoints", side="left"), "left", None),
    "a side beside landmarks": (listed("landmarks", side="left"), "left", None),
    "a label": (listed("keypoints", label="Left"), "left", UNSURE),
    "a label beside landmarks": (listed("landmarks", label="Left"), "left", UNSURE),
    "handedness beside landmarks": (listed("landmarks", handedness="Left"), "left", UNSURE),
    "both, and they agree": (listed("keypoints", handedness="Right", side="left"), "left", MIRRORED),
    "a side makes it sure": (listed("landmarks", handedness="Left", side="left"), "left", None),
    "Tasks, text": (tasks("Left"), "left", UNSURE),
    "Tasks, no index": (tasks([{"category_name": "Left"}]), "left", UNSURE),
    "Tasks, an index of nothing": (tasks([{"category_name": "Left", "index": 7}]), "left", UNSURE),
    "Tasks": (tasks([{"category_name": "Left", "index": 1}]), "left", None),
    "Tasks of old": (tasks([{"category_name": "Left", "index": 0}]), "right", MIRRORED),
    "the likelier of two": (
        tasks([{"category_name": name, "index": i, "score": s} for i, name, s in BOTH]),
        "left", None,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("data", "side", "note"), CASES.values(), ids=CASES)
def test_sides(data: Any, side: str, note: str | None) -> None:
    pose = parse_pose(data, SIZE)
    (person,) = pose.people
    np.testing.assert_allclose(person.left_hand if side == "left" else person.right_hand, TRUTH["left"])
    assert person.has_hand("left") == (side == "left") and person.has_hand("right") == (side == "right")
    assert [line for line in pose.warnings if line in (MIRRORED, UNSURE)] == ([note] if note else [])


@pytest.mark.parametrize("label", [0, 1, "L", "", True, [], {}, {"index": 0}])
def test_what_is_no_side_is_refused(label: Any) -> None:
    with pytest.raises(PoseError, match='expected the label "Left" or "Right"'):
        parse_pose(listed("keypoints", handedness=label), SIZE)


CONTRADICTIONS = {
    "handedness and side": (listed("keypoints", handedness="Left", side="left"), "two labels say different sides"),
    "named twice": (tasks([{"category_name": "Left", "label": "Right"}]), "its label has two names that differ"),
    "two lists": (tasks("Left") | {"handednesses": ["Right"]}, "'handedness' and 'handednesses' are two names"),
}


@pytest.mark.parametrize(("data", "message"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_contradictions_are_refused(data: Any, message: str) -> None:
    with pytest.raises(PoseError, match=message):
        parse_pose(data, SIZE)
