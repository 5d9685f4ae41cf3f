"""Crops against slices of the picture: they look at faces more often than chance, and mark hands and faces."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from handfirst.training.data.arrays import Pictures
from handfirst.training.loop.feed import Draws
from handfirst.training.recipe.crops import CROP, CropSource, Windows, face_circle

CPU = torch.device("cpu")
SIZE = 192


def pictures(face: bool) -> Pictures:
    """Two 192 x 192 pictures; a face of radius 12 around (150, 40), a hand in a corner."""
    keypoints = np.zeros((2, 133, 3), np.float32)
    if face:
        angles = np.linspace(0, 2 * np.pi, 68, endpoint=False)
        keypoints[:, 23:91, 0] = 150 + 12 * np.cos(angles)
        keypoints[:, 23:91, 1] = 40 + 12 * np.sin(angles)
        keypoints[:, 23:91, 2] = 1
    hands = np.zeros((2, SIZE, SIZE), np.uint8)
    hands[:, 180:, 180:] = 2
    rgb = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3)).astype(np.uint8)
    return Pictures(rgb, hands, keypoints, ("a", "b"), ({}, {}))


def test_a_face_is_a_circle_around_its_points() -> None:
    circle = face_circle(pictures(True).keypoints[0])
    assert circle is not None
    np.testing.assert_allclose(circle, (150, 40, 18), atol=0.05)
    assert face_circle(pictures(False).keypoints[0]) is None


def test_a_window_shows_its_part_of_the_picture() -> None:
    truth = pictures(True)
    source = CropSource.of(truth, CPU)
    image, detail = source.cut(Windows(torch.tensor([1, 0]), torch.tensor([0, 96]), torch.tensor([80, 96])))
    rgb = np.rint((image.permute(0, 2, 3, 1).numpy() + 1) * 127.5).astype(np.uint8)
    np.testing.assert_array_equal(rgb[0], truth.rgb[1, :CROP, 80 : 80 + CROP])
    np.testing.assert_array_equal(rgb[1], truth.rgb[0, 96:, 96:])
    y, x = np.ogrid[:CROP, 80 : 80 + CROP]
    np.testing.assert_array_equal(detail[0, 0].numpy() > 0, (x - 150) ** 2 + (y - 40) ** 2 < 18.0**2)
    np.testing.assert_array_equal(detail[1, 0].numpy() > 0, truth.hands[0, 96:, 96:] > 0)


def test_crops_look_at_faces_more_often_than_chance() -> None:
    shares = []
    for face in (True, False):
        image, detail = CropSource.of(pictures(face), CPU).draw(200, Draws(CPU, 1))
        assert image.shape == (200, 3, CROP, CROP) and detail.shape == (200, 1, CROP, CROP)
        shares.append(float((detail.sum((1, 2, 3)) > (0.95 * np.pi * 18**2 if face else 0)).float().mean()))
    assert shares[0] > 0.6 > 0.3 > shares[1]


@pytest.mark.parametrize("grid", [1, 8])
def test_windows_lie_on_the_grid_and_inside(grid: int) -> None:
    source = CropSource.of(pictures(True), CPU)
    windows = source.windows(torch.tensor([1, 0] * 50), Draws(CPU, 0), grid)
    assert windows.picture.tolist() == [1, 0] * 50
    for place in (windows.y, windows.x):
        assert (place % grid == 0).all() and place.min() >= 0 and place.max() <= SIZE - CROP
