"""Rendered people: sizes, sides, and what lies in the picture."""

import numpy as np
from support.rendered import HAND_SLOTS, SIZE, points_of

from handfirst.training.data.procedural.pairs import PAIRS
from handfirst.training.data.procedural.sample import SIDES, Sample, sample_person


def test_busts_hold_big_hands_and_faces() -> None:
    hands, faces, missing, covered = [], [], 0, []
    for seed in range(40):
        sample = sample_person(seed, SIZE, frame="bust", supersample=1)
        for side in SIDES:
            points = points_of(sample, side)
            word = sample.attributes[f"{side}_hand"]
            assert len(points) == (0 if word == "none" else 21)
            assert (f"{side} hand" in sample.caption) == (word != "none" and word not in PAIRS)
            missing += word == "none"
            if len(points):
                hands.append(np.ptp(points, axis=0).max() / SIZE)
        face = sample.keypoints[23:91, :2]
        faces.append(np.ptp(face, axis=0).max() / SIZE)
        x, y = face.astype(int).T
        covered.append((sample.hands[y, x] > 0).mean())
        assert "trousers" not in sample.caption
    assert np.median(hands) > 36 / 192 and np.median(faces) > 38 / 192
    assert 0 < missing < 16
    assert np.mean(np.array(covered) > 0.3) < 0.15, "hands seldom hide the face"


def test_sides_of_a_person() -> None:
    """Facing the viewer, the person's left is on the right of the picture; the hands follow their wrists."""
    for seed in range(6):
        sample = sample_person(seed, SIZE, frame="half")
        body = sample.keypoints
        assert body[5, 0] > body[6, 0] and body[11, 0] > body[12, 0]
        for wrist, side in ((9, "left"), (10, "right")):
            assert np.linalg.norm(points_of(sample, side)[0] - body[wrist, :2]) < 0.05 * SIZE


def test_limbs_and_points_are_inside_or_absent(people: list[Sample]) -> None:
    for sample in people:
        labelled = sample.keypoints[:, 2] > 0
        assert ((sample.keypoints[labelled, :2] >= 0) & (sample.keypoints[labelled, :2] < SIZE)).all()
        assert (sample.keypoints[~labelled] == 0).all()
        assert labelled[23:91].all() and labelled[:7].all(), "face and shoulders are always in the picture"
        for side, slot in HAND_SLOTS.items():
            assert labelled[slot].all() or (sample.attributes[f"{side}_hand"] == "none" and not labelled[slot].any())
        assert labelled.all() or sample.attributes["frame"] != "full"
