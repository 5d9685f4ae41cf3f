"""The gate's figures by hand, and what it says."""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor, nn

from handfirst.training.data.arrays import Pictures
from handfirst.training.models.autoencoder import Autoencoder
from handfirst.training.recipe.autoencoder import Codec, Rgb, codec_of, fidelity, shortfalls
from handfirst.training.systems.two_stage.config import Gate

SIDE = 64


def off(error: int, y0: int, y1: int, x0: int, x1: int) -> Codec:
    """Gives pictures back with `error` added in a box."""

    def there_and_back(rgb: Rgb) -> Rgb:
        out = rgb.copy()
        out[:, y0:y1, x0:x1] += np.uint8(error)
        return out

    return there_and_back


class Halving(Autoencoder):
    """Latents are half the picture."""

    def __init__(self) -> None:
        nn.Module.__init__(self)

    def encode(self, image: Tensor) -> Tensor:
        return image / 2

    def decode(self, latent: Tensor) -> Tensor:
        return 2 * latent


def pictures() -> Pictures:
    """Two grey pictures; a face in 8..24 x 8..24, a left hand in 40..56 x 40..56."""
    keypoints = np.zeros((2, 133, 3), np.float32)
    keypoints[:, 23:91] = (8, 8, 2)
    keypoints[:, 90] = (24, 24, 2)
    keypoints[:, 91:112] = (40, 40, 2)
    keypoints[:, 111] = (56, 56, 2)
    grey = np.full((2, SIDE, SIDE, 3), 100, np.uint8)
    return Pictures(grey, np.zeros((2, SIDE, SIDE), np.uint8), keypoints, ("a", "b"), ({}, {}))


def test_figures_are_psnr_by_part() -> None:
    figures = fidelity(off(10, 8, 24, 8, 24), pictures(), pictures())
    face = 10 * math.log10(255**2 / 100)
    whole = face + 10 * math.log10(SIDE**2 / 16**2)
    assert abs(figures["face"] - face) < 0.01
    assert abs(figures["people"] - whole) < 0.01 and abs(figures["hands"] - whole) < 0.01
    assert figures["hand"] > 100


def test_a_models_pictures_come_back_in_their_own_colours_and_places() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (3, 8, 16, 3)).astype(np.uint8)
    np.testing.assert_array_equal(codec_of(Halving())(rgb), rgb)


def test_the_gate_names_what_is_missed() -> None:
    gate = Gate(people_db=32, face_below_hand_db=0.5)
    assert shortfalls({"people": 32.0, "face": 29.5, "hand": 30.0, "hands": 35.0}, gate) == []
    missed = shortfalls({"people": 31.9, "face": 29.4, "hand": 30.0, "hands": 35.0}, gate)
    assert missed == ["people 31.9 dB, needed 32.0", "faces 29.4 dB, needed 29.50 (0.5 below their hands)"]
    assert shortfalls({"people": math.nan, "face": 30, "hand": 30, "hands": 30}, gate)
