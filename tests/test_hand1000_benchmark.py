"""benchmarks/hand1000.py on hands whose answers are known: bending angles, who is nearest, shares, and what is left."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
import hand1000
import hand1000_judging as judging
from plan import pin


def straight_hand() -> np.ndarray:
    """Five straight fingers from one wrist, [21, 3], 0, 20, 40, 60 and 80 degrees apart from the first."""
    points = np.zeros((21, 3))
    for finger in range(5):
        angle = np.radians(20 * finger)
        for joint in range(4):
            points[1 + 4 * finger + joint] = (joint + 1) * np.array([np.cos(angle), np.sin(angle), 0])
    return points


def test_angles_of_a_straight_and_of_a_bent_hand() -> None:
    found = judging.angles(straight_hand())
    np.testing.assert_allclose(found[:15], 0, atol=1e-6)
    np.testing.assert_allclose(np.degrees(found[15:]), [20, 20, 20, 20, 80], atol=1e-6)
    bent = straight_hand()
    bent[8] = bent[7] + (0, 0, 1)  # the index finger's tip stands upright
    changed = np.flatnonzero(np.abs(judging.angles(bent) - found) > 1e-6)
    assert changed.tolist() == [5] and judging.angles(bent)[5] == pytest.approx(np.pi / 2)
    turned = straight_hand() @ np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]]) * 3 + 5
    np.testing.assert_allclose(judging.angles(turned), found, atol=1e-6)


def test_the_nearest_gesture() -> None:
    known = {"ok": np.zeros(20), "fist": np.ones(20), "unseen": np.full(20, np.inf)}
    assert judging.nearest_gesture(np.full(20, 0.4), known) == "ok"
    assert judging.nearest_gesture(np.full(20, 0.6), known) == "fist"


def test_arms_are_compared_picture_by_picture() -> None:
    one = [{"scores": [0.9], "agrees": i % 2 == 0, "background": True} for i in range(10)]
    other = [{"scores": [0.7] if i < 5 else [], "agrees": i % 2 == 0, "background": True} for i in range(10)]
    found = judging.paired(one, other)
    assert found["agreement"] == [0, 0, 0]  # equal pictures leave no doubt, though each arm alone has an interval
    assert found["hand_conf"] == pytest.approx([0.2, 0.2, 0.2])
    value, low, high = found["detected"]
    assert value == 0.5 and 0 < low < 0.5 < high < 1


def test_shares_and_intervals() -> None:
    rows = [
        {"scores": [0.8, 1.0], "agrees": True, "background": True},
        {"scores": [], "agrees": False, "background": True},
    ]
    found = judging.figures(rows, 200)
    assert found["detected"][0] == 0.5 and found["agreement"][0] == 0.5 and found["hand_conf"][0] == 0.9
    assert found["background_kept"] == [1.0, 1.0, 1.0]
    assert found["detected"][1] == 0 and found["detected"][2] == 1 and found["pictures"] == 2
    assert "hand_conf" not in judging.figures(rows[1:], 0)


def test_a_row_by_hand(tmp_path: Path) -> None:
    """A red picture with something blue in it, whose one hand makes the gesture."""
    image = np.zeros((64, 64, 3), np.uint8)
    image[..., 0] = 200
    image[40:, 16:48] = (40, 80, 180)
    for kind in ("true", "hand1000"):
        folder = tmp_path / f"pictures-{kind}"
        folder.mkdir()
        for i in range(2):
            judging.write_png(folder / f"{i:05}.png", image)
            told = {"caption": "", "background": "red", "wrist": [10, 10]}
            (folder / f"{i:05}.json").write_text(json.dumps(told))
        near = {"score": 0.9, "wrist": [11, 9], "box": [4, 4, 20, 20], "angles": [0.5] * 20}
        far = {"score": 0.6, "wrist": [50, 50], "box": [40, 40, 60, 60], "angles": [2.0] * 20}
        (folder / "seen.json").write_text(json.dumps([[far, near], [near]]))
    np.testing.assert_allclose(judging.mean_angles(tmp_path, 0), 0.5)
    means = {parity: {"ok": np.full(20, 0.5), "fist": np.full(20, 3.0)} for parity in (0, 1)}
    first, _ = judging.judged(tmp_path, "hand1000", "ok", means)
    assert first == {"scores": [0.6, 0.9], "agrees": True, "background": True}
    crop = judging.read_png(judging.crops(tmp_path / "pictures-hand1000")[1])
    assert crop.shape == (128, 128, 3) and (crop == (200, 0, 0)).all()


def test_the_plan_names_every_step_once(tmp_path: Path) -> None:
    options = Namespace(
        work=tmp_path, base=tmp_path, gestures=["ok", "fist"], rank=8, embedding_steps=3, tuning_steps=5, batch=2,
        general=4, base_minutes=1.0, hands=4, pictures=2, sample_steps=2, inception=None, out=tmp_path, dry_run=True,
    )  # fmt: skip
    names = [step.name for step in hand1000.plan(options)]
    assert len(set(names)) == len(names) == 3 + 2 * 5 + 2 + 2 * (1 + 3 + 4)
    assert names[:3] == ["begin", "render hands of all gestures", "base"]
    assert names[3:8] == ["render ok", "feature of ok", "plain of ok", "embedding of ok", "hand1000 of ok"]
    pin(tmp_path, hand1000.budget(options))
    options.pictures = 3
    with pytest.raises(SystemExit, match="was begun with"):
        pin(tmp_path, hand1000.budget(options))
