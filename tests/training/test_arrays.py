"""Mirrored copies, prompts and the training condition: what a mirrored hand must be, and train equals serve."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from handfirst.runtime.pose.person import Person, Pose
from handfirst.runtime.systems.two_stage.hands import find_hands
from handfirst.runtime.systems.two_stage.request import Request
from handfirst.training.data.arrays import MIRRORED, Pictures, load_pictures, mirror_keypoints, mirror_words
from handfirst.training.data.procedural.writer import render_dataset
from handfirst.training.recipe.prompts import view_words
from handfirst.training.systems.two_stage.conditions import hand_condition
from handfirst.training.systems.two_stage.config import load_config


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    folder = tmp_path_factory.mktemp("arrays")
    render_dataset("hand", folder / "shards", 4, 32, workers=1, progress=False)
    return load_pictures(folder / "shards", folder / "cache")


def test_mirroring_twice_is_nothing() -> None:
    assert (MIRRORED[MIRRORED] == np.arange(133)).all()
    points = np.random.default_rng(0).uniform(1, 31, (133, 3)).astype(np.float32)
    np.testing.assert_allclose(mirror_keypoints(mirror_keypoints(points, 32), 32), points, atol=1e-5)


def test_words_swap_sides_and_nothing_else() -> None:
    assert mirror_words("a left hand, right-handed, bright light") == "a right hand, left-handed, bright light"


def test_a_mirrored_picture_is_one_of_the_other_hand(pictures: Pictures) -> None:
    n = len(pictures) // 2
    assert n == 4
    for i in range(n):
        assert (pictures.rgb[n + i] == pictures.rgb[i][:, ::-1]).all()
        side, other = pictures.attributes[i]["side"], pictures.attributes[n + i]["side"]
        assert {side, other} == {"left", "right"}
        assert f"{other} hand" in pictures.captions[n + i]
        mine, theirs = (91, 112) if side == "left" else (112, 91)
        x, mirrored = pictures.keypoints[i, mine : mine + 21], pictures.keypoints[n + i, theirs : theirs + 21]
        np.testing.assert_allclose(mirrored[:, 0], 32 - x[:, 0])
        np.testing.assert_allclose(mirrored[:, 1], x[:, 1])
        assert set(np.unique(pictures.hands[n + i])) <= {0, 1 if other == "left" else 2}


def test_the_view_of_a_mirrored_hand_is_the_same(pictures: Pictures) -> None:
    n = len(pictures) // 2
    for i in range(n):
        a = view_words(pictures.keypoints[i], pictures.attributes[i]["side"], 32)
        b = view_words(pictures.keypoints[n + i], pictures.attributes[n + i]["side"], 32)
        assert mirror_words(a) == b


def test_training_condition_equals_the_runtimes(tmp_path: Path) -> None:
    """One rendered hand through both paths: the training cache and a request."""
    settings = load_config("demo").settings
    size = settings.hand.size
    render_dataset("hand", tmp_path / "shards", 1, size, workers=1, progress=False)
    picture = load_pictures(tmp_path / "shards", tmp_path / "cache")
    keypoints = picture.keypoints[0]
    points = np.where(keypoints[:, 2:] > 0, keypoints[:, :2], np.nan).astype(float)
    # put the hand where the runtime's own crop is the whole picture: scaled so that 1.5 x extent = size, centred
    hand = points[np.isfinite(points[:, 0])]
    low, high = hand.min(0), hand.max(0)
    scale = size / (settings.hand.margin * (high - low).max())
    moved = (points - (low + high) / 2) * scale + size / 2
    pose = Pose((Person(moved, (keypoints[:, 2] > 0).astype(float)),), size, size)
    fitted = settings.model_copy(update={"body": settings.body.model_copy(update={"height": size, "width": size})})
    (found,) = find_hands(Request(pose=pose, prompt="a hand").resolve(fitted), fitted)
    trained = hand_condition(np.concatenate([np.nan_to_num(moved), keypoints[:, 2:]], 1), None, settings)
    np.testing.assert_allclose(found.c_p, trained, atol=1e-5)
