"""Random poses, and what each pose format can carry of them, written down apart from the code."""

from __future__ import annotations

import numpy as np

from handfirst.runtime.pose.person import Person, Pose

FEET, TOES, HANDS = slice(17, 23), [18, 21], slice(91, 133)


def random_pose(seed: int, people: int = 1, spread: float = 1.2, missing: float = 0.3) -> Pose:
    """Points within `spread` canvases of the corner, some of them missing; scores in (0.01, 1]."""
    rng = np.random.default_rng(seed)
    width, height = (int(side) for side in rng.integers(1, 3000, 2))
    found = []
    for _ in range(people):
        points = rng.uniform(-0.2, spread, (133, 2)) * (width, height)
        scores = rng.uniform(0.01, 1, 133)
        absent = rng.random(133) < missing
        for part in ([slice(0, 17)], [FEET], [slice(23, 91)], [slice(91, 112)], [slice(112, 133)]):
            absent[part[0]] |= rng.random() < missing / 3
        points[absent], scores[absent] = np.nan, 0
        found.append(Person(points, scores))
    return Pose(tuple(found), width, height)


def carried(pose: Pose, format: str) -> Pose:
    """The same pose, less what `format` cannot say."""
    people = []
    for person in pose.people:
        points, scores = person.points.copy(), person.scores.copy()
        known = scores > 0
        match format:
            case "a1111":
                known[FEET] = False
                scores[:] = 1
            case "coco":
                scores[:] = 2
            case "mediapipe":
                known[TOES] = False
                known &= scores >= 0.5
                scores = np.minimum(scores, 1)
            case "dwpose":
                known &= scores >= 0.3
            case "interhand":
                known[:91] = False
                scores[:] = 1
            case "openpose":
                scores = np.minimum(scores, 1)
        points[~known], scores[~known] = np.nan, 0
        if known.any() or format not in ("mediapipe", "interhand"):  # these have no way to say: somebody, unseen
            people.append(Person(points, scores))
    return Pose(tuple(people), pose.width, pose.height)


def assert_same(got: Pose, want: Pose, tolerance: float = 0.0) -> None:
    """Points within `tolerance` pixels, scores to the last bits."""
    assert (got.width, got.height) == (want.width, want.height)
    assert len(got.people) == len(want.people)
    for a, b in zip(got.people, want.people, strict=True):
        np.testing.assert_allclose(a.points, b.points, rtol=0, atol=tolerance, equal_nan=True)
        np.testing.assert_allclose(a.scores, b.scores, rtol=0, atol=1e-12)
