"""Hand1000's and RealisHuman's figures by hand."""

from __future__ import annotations

import numpy as np
import pytest

from handfirst.training.evaluate.detections import Found, FoundHand, FoundPart
from handfirst.training.evaluate.score import hand_confidence, part_confidence


def picture(hands: tuple[float, ...], parts: tuple[tuple[str, float | None], ...] = ()) -> Found:
    return Found(
        width=10,
        height=10,
        hands=tuple(FoundHand(score=s, side="left") for s in hands),
        parts=tuple(FoundPart.model_validate({"part": p, "score": s}) for p, s in parts),
    )


def test_hand_conf_is_over_hands_and_leaves_empty_pictures_out() -> None:
    measures = hand_confidence([picture((0.9, 0.4)), picture(()), picture((0.95,))])
    values = {m.name: m.statistic(np.ones(3)) for m in measures}
    assert values["hand_conf"] == pytest.approx((0.9 + 0.4 + 0.95) / 3)
    assert values["hand_conf_sure"] == pytest.approx(2 / 3)
    assert values["hand_conf_found"] == pytest.approx(2 / 3)


def test_det_conf_is_over_found_crops_with_the_share_found_beside_it() -> None:
    found = [
        picture((), (("left hand", 0.8), ("right hand", None), ("face", 0.6))),
        picture((), (("left hand", 0.6), ("face", None))),
        picture(()),
    ]
    values = {m.name: m.statistic(np.ones(3)) for m in part_confidence(found)}
    assert values["det_conf_hand"] == pytest.approx(0.7)
    assert values["det_conf_hand_found"] == pytest.approx(2 / 3)
    assert values["det_conf_face"] == pytest.approx(0.6)
    assert values["det_conf_face_found"] == pytest.approx(0.5)
