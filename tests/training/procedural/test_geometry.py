"""Rotations, frames and chains of two bones."""

from itertools import pairwise

import numpy as np

from handfirst.training.data.procedural.geometry import frame_along, rotation, two_bone_ik


def test_rotations_and_chains() -> None:
    turn = rotation((1, 2, 3), 40.0)
    assert np.allclose(turn @ turn.T, np.eye(3)) and np.isclose(np.linalg.det(turn), 1)
    frame = frame_along(np.array([0.0, 2.0, 1.0]), np.array([0.0, 0.0, 1.0]))
    assert np.allclose(frame.T @ frame, np.eye(3)) and np.isclose(np.linalg.det(frame), 1)
    root, target = np.zeros(3), np.array([20.0, -10.0, 15.0])
    elbow, end = two_bone_ik(root, target, 28.0, 25.0, np.array([0.0, -1.0, 0.0]))
    assert np.allclose(end, target)
    lengths = [np.linalg.norm(b - a) for a, b in pairwise((root, elbow, end))]
    assert np.allclose(lengths, (28.0, 25.0))
