"""The annotation picture is the published one, and 21 points come back out of it."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handfirst.runtime.pose.topology import HANDS, POINTS, SIDES
from handfirst.runtime.systems.annotated.annotation import COLOURS, palette
from handfirst.runtime.systems.annotated.consistency import confirmed, consistency
from handfirst.runtime.systems.annotated.recover import classify, recover
from handfirst.training.data.example import Example, decode, encode, fit
from handfirst.training.data.procedural.sample import sample_hand
from handfirst.training.data.procedural.writer import decode as decode_sample
from handfirst.training.data.procedural.writer import encode as encode_sample
from handfirst.training.systems.annotated.drawing import draw, far_to_near

SIZE = 128
LEVELS = ((3, 4, 100), (2, 3, 200), (1, 2, 50), (0, 1, 150))
"""Of the second channel, from the tips on: places in a finger, and the value; a fifth published value is unused."""
OPEN = np.array([(64, 110), (46, 100), (34, 86), (27, 74), (21, 63), (50, 66), (46, 48), (43, 35), (41, 23), (62, 63),
                 (62, 42), (62, 28), (62, 15), (74, 66), (78, 48), (80, 36), (82, 24), (86, 74), (93, 60), (97, 51),
                 (101, 42)], float)  # fmt: skip


@pytest.fixture(scope="module")
def rendered() -> list[Example]:
    """Hands alone and in pairs, rendered small: their points are what counts."""
    samples = [sample_hand(seed, 32, supersample=1) for seed in range(10)]
    return [fit(example_of(sample), SIZE) for sample in samples]


def example_of(sample) -> Example:
    return Example(
        str(sample.seed), sample.rgb, sample.hands, sample.keypoints, "", sample.attributes, sample.point_depths
    )


def one_hand(points: np.ndarray, side: str = "right", depths: np.ndarray | None = None, size: int = SIZE) -> Example:
    rows, all_depths = np.zeros((POINTS, 3), np.float32), None
    rows[HANDS[side]] = np.column_stack([points, np.ones(21)])
    if depths is not None:
        all_depths = np.zeros(POINTS, np.float32)
        all_depths[HANDS[side]] = depths
    blank = np.zeros((size, size, 3), np.uint8)
    return Example("hand", blank, blank[..., 0], rows, "", {}, all_depths)


def published(example: Example) -> np.ndarray:
    """The three grey channels as the published programs draw them, each by itself and in its own order of bones."""
    channels = [np.zeros((SIZE, SIZE, 1), np.uint8) for _ in range(3)]
    fingers = [[0, 1, 2, 3, 4], [0, 5, 6, 7, 8], [0, 9, 10, 11, 12], [0, 13, 14, 15, 16], [0, 17, 18, 19, 20]]
    by_finger = [(f[i], f[i + 1], v) for f, v in zip(fingers, (50, 150, 250, 100, 200), strict=True) for i in range(4)]
    by_level = [(f[i], f[j], value) for i, j, value in LEVELS for f in fingers]
    for side, grey in (("left", 100), ("right", 200)):
        rows, depths = example.keypoints[HANDS[side]], example.point_depths[HANDS[side]]
        if not rows[:, 2].any():
            continue
        pixels = [(int(x), int(y)) for x, y in np.floor(rows[:, :2])]
        pairs = (by_finger, by_level, [(a, b, grey) for a, b, _ in by_finger])
        for channel, bones in zip(channels, pairs, strict=True):
            for i in np.flip(np.argsort([depths[a] + depths[b] for a, b, _ in bones])):
                a, b, value = bones[i]
                cv2.line(channel, pixels[a], pixels[b], value, 2)
                cv2.circle(channel, pixels[a], 1, value, thickness=-1, lineType=cv2.FILLED)
                cv2.circle(channel, pixels[b], 1, value, thickness=-1, lineType=cv2.FILLED)
    return np.concatenate(channels, 2)


def test_it_is_what_the_published_programs_draw(rendered: list[Example]) -> None:
    for example in rendered:
        drawn = draw(example, "channels")
        assert (drawn > 0).any()
        np.testing.assert_array_equal(drawn, published(example))


def test_a_style_has_its_values_and_no_others(rendered: list[Example]) -> None:
    for style, count in (("channels", 40), ("colours", 20)):
        values = {tuple(value) for value in palette(style).values.tolist()}
        assert len(values) == count
        for example in rendered:
            assert {tuple(pixel) for pixel in draw(example, style).reshape(-1, 3).tolist()} - {(0, 0, 0)} <= values
    assert palette("colours").value(0, "left") == tuple(bytes.fromhex(COLOURS[0]))
    assert not draw(rendered[0], "none").any() and recover(draw(rendered[0], "none"), "none") == ()


def test_the_nearer_bone_is_drawn_last() -> None:
    known, depths = np.ones(21, bool), np.arange(21, dtype=np.float32)
    assert far_to_near(known, depths)[0] == 19 and far_to_near(known, depths)[-1] == 0
    assert far_to_near(known, None)[:5] == [0, 4, 8, 12, 16]
    known[4] = False
    assert 3 not in far_to_near(known, depths) and len(far_to_near(known, depths)) == 19


def test_depths_of_points_are_the_renderers() -> None:
    """A finger tip that is seen lies a finger's half thickness, at most two centimetres, behind the surface."""
    seen = 0
    for seed in range(4):
        sample = sample_hand(seed, 64, view="palm", gesture="palm", supersample=1)
        for side in SIDES:
            rows, depths = sample.keypoints[HANDS[side]], sample.point_depths[HANDS[side]]
            for point in (8, 12, 16, 20):
                x, y = np.floor(rows[point, :2]).astype(int)
                if rows[point, 2] > 0 and 0 <= x < 64 and 0 <= y < 64 and sample.hands[y, x]:
                    assert 0 <= depths[point] - sample.depth[y, x] < 2
                    seen += 1
        again = decode_sample(encode_sample(sample))
        np.testing.assert_allclose(again.point_depths, sample.point_depths, atol=0.006)
    assert seen >= 8


def test_examples_keep_depths_where_they_have_any(rendered: list[Example]) -> None:
    again = decode("a", encode(rendered[0]))
    np.testing.assert_allclose(again.point_depths, rendered[0].point_depths, atol=0.006)
    assert decode("a", encode(replace(rendered[0], point_depths=None))).point_depths is None


@pytest.mark.parametrize(("style", "noise"), [("channels", 0), ("channels", 12), ("colours", 0)])
def test_points_come_back_from_rendered_hands(rendered: list[Example], style: str, noise: int) -> None:
    rng, errors, shares = np.random.default_rng(0), [], []
    for example in rendered:
        sides = [side for side in SIDES if example.keypoints[HANDS[side], 2].any()]
        if style == "colours" and len(sides) == 2:
            continue  # it does not tell hands apart
        drawn = draw(example, style).astype(float) + noise * rng.standard_normal((SIZE, SIZE, 3))
        hands = recover(np.clip(drawn, 0, 255).astype(np.uint8), style)
        assert [hand.side for hand in hands] == (sides if style == "channels" else [None])
        for side, hand in zip(sides, hands, strict=True):
            known = np.isfinite(hand.points).all(1)
            errors += list(np.hypot(*(hand.points - example.keypoints[HANDS[side], :2])[known].T))
            shares.append(known.mean())
            assert hand.agreement > 0.8
    assert np.median(errors) < 1 and np.mean(np.array(errors) < 4) > 0.95
    assert np.mean(shares) > 0.9


@given(st.floats(0.5, 1.1), st.floats(-40, 40), st.sampled_from(SIDES))
@settings(max_examples=15, deadline=None)
def test_an_open_hand_comes_back_wherever_it_lies(scale: float, degrees: float, side: str) -> None:
    angle, centre = np.radians(degrees), np.array([64.0, 64.0])
    turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    points = (OPEN - centre) @ turn + centre
    (hand,) = recover(draw(one_hand(points, side), "channels"), "channels")
    inside = ((points > 2) & (points < SIZE - 2)).all(1)
    assert hand.side == side
    if inside.all():
        assert np.hypot(*(hand.points - points).T).max() < 2.5
        assert hand.bones.all() and hand.consistency > 0.9


def test_a_broken_annotation_is_less_consistent() -> None:
    whole = draw(one_hand(OPEN), "channels")
    colours = palette("channels")
    finger = np.isin(classify(whole, colours), [k for k in range(40) if colours.bones[k] // 4 == 1])
    missing, moved = whole.copy(), whole.copy()
    missing[finger] = 0
    moved[finger] = np.roll(whole, 25, axis=1)[finger]
    rng = np.random.default_rng(0)
    rubbish = rng.integers(0, 256, whole.shape, dtype=np.uint8)
    scores = [consistency(recover(each, "channels")) for each in (whole, missing, rubbish, np.zeros_like(whole))]
    assert scores[0] > 0.9 and scores[1] < 0.85 * scores[0] and scores[2] < 0.3 and scores[3] == 0
    (hand,) = recover(missing, "channels")
    assert np.isnan(hand.points[5:9]).all() and np.isfinite(hand.points[9:]).all()
    assert consistency(recover(moved, "channels")) < scores[0]
    speck = whole.copy()
    speck[3:6, 3:6] = palette("channels").value(0, "left")
    assert len(recover(speck, "channels")) == 2
    assert consistency(recover(speck, "channels")) == pytest.approx(scores[0] * 20 / 21, abs=0.01)


def test_a_detectors_points_count_by_pck() -> None:
    far = OPEN + 1000
    assert confirmed(OPEN, [far, OPEN + 3]) == 1 and confirmed(OPEN, [far]) == 0 and confirmed(OPEN, []) == 0
    half = OPEN.copy()
    half[:7] += 30  # beyond a fifth of the box's longer side, 95
    assert confirmed(OPEN, [half]) == pytest.approx(14 / 21)
    hands = recover(draw(one_hand(OPEN), "channels"), "channels")
    assert consistency(hands, [half]) == pytest.approx(hands[0].consistency * confirmed(hands[0].points, [half]))
