"""Canvases of several shapes: their rule against its words, and the best one by logarithms; examples cut to them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handfirst.engines.errors import UserError
from handfirst.training.data.buckets import Size, best, canvases, chosen, places, read
from handfirst.training.data.example import Example, cover, fit

SIDES = st.tuples(st.integers(2, 20), st.sampled_from([8, 16, 64])).map(lambda pair: (pair[0] * pair[1], pair[1]))


def test_those_of_512_worked_by_hand() -> None:
    """512^2 = 262,144: over 448 it is 585.1, over 384 682.7, over 320 819.2, more than twice 320."""
    assert canvases(512, 2, 64) == ((384, 640), (448, 576), (512, 512), (576, 448), (640, 384))
    assert canvases(512, 1, 64) == ((512, 512),) == canvases(512, 1.2, 64)


@given(SIDES, st.floats(1, 6))
def test_the_rule(square: tuple[int, int], ratio: float) -> None:
    side, multiple = square
    found = canvases(side, ratio, multiple)
    assert (side, side) in found and len(set(found)) == len(found)
    assert set(found) == {(h, w) for w, h in found}
    for width, height in found:
        short, long = sorted((width, height))
        assert short % multiple == long % multiple == 0
        assert short * long <= side * side < short * (long + multiple)
        assert long <= ratio * short
    assert list(found) == sorted(found, key=lambda size: size[0] / size[1])


@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=8, unique=True),
    st.integers(1, 5000),
    st.integers(1, 5000),
)
def test_the_best_has_the_nearest_ratio(sizes: list[Size], width: int, height: int) -> None:
    apart = [abs(np.log(width / height) - np.log(w / h)) for w, h in sizes]
    first = best(sizes, width, height)[0]
    assert apart[sizes.index(first)] <= min(apart) + 1e-12
    alike = [size for size, by in zip(sizes, apart, strict=True) if by <= min(apart) + 1e-12]
    assert first[0] * first[1] == max(w * h for w, h in alike)
    assert sorted(best(sizes, width, height)) == sorted(sizes)
    assert best(sizes, 3 * width, 3 * height) == best(sizes, width, height)


def test_many_pictures_are_placed_as_one() -> None:
    sizes = canvases(512, 3, 64)
    found = np.random.default_rng(0).integers(1, 2000, (500, 2))
    assert [sizes[i] for i in places(sizes, found)] == [best(sizes, w, h)[0] for w, h in found.tolist()]


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        (0.5, "largest ratio of two sides, from 1, such as 2, got 0.5"),
        (float("nan"), "got nan"),
        (("512x512", "500x512"), "in multiples of 64 pixels, .* got 500x512"),
        (("512x512", "512x512"), "each once"),
        ((), "each once"),
        (("wide",), "buckets: expected WIDTHxHEIGHT"),
    ],
)
def test_what_cannot_be_is_one_line(given_: float | tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        chosen(given_, 512, 64)
    assert "\n" not in str(caught.value)


def test_a_square_that_is_no_multiple_is_refused() -> None:
    with pytest.raises(UserError, match="got 520x520"):
        chosen(2, 520, 64)


def test_what_a_command_is_given() -> None:
    assert read("2", 512) == canvases(512, 2, 64)
    assert read("512x512,448x576", 512) == ((512, 512), (448, 576))


def example(width: int, height: int, hand: tuple[slice, slice]) -> Example:
    """Colours that tell every pixel apart, one hand, a key point in the middle of every tenth pixel of the diagonal."""
    y, x = np.mgrid[:height, :width]
    hands = np.zeros((height, width), np.uint8)
    hands[hand] = 2
    points = np.zeros((133, 3), np.float32)
    for i in range(0, min(width, height), 10):
        points[i // 10] = (i + 0.5, i + 0.5, 1)
    return Example("k", np.stack([x, y, x + y], -1).astype(np.uint8), hands, points, "words", pictures={"pose": hands})


def test_what_is_cut_off_is_cut_on_both_sides_alike() -> None:
    """90 x 60 onto 48 x 48: 60 x 60 about the middle, from 15 to 75, at .8."""
    cut = cover(example(90, 60, np.s_[20:30, 40:50]), (48, 48))
    assert cut.rgb.shape == (48, 48, 3) and cut.hands.shape == cut.pictures["pose"].shape == (48, 48)
    whole = fit(Example("k", np.zeros((60, 60, 3), np.uint8), np.zeros((60, 60), np.uint8), cut.keypoints, ""), 48)
    assert whole.rgb.shape == (48, 48, 3)
    np.testing.assert_allclose(cut.keypoints[2], [(20.5 - 15) * 0.8, 20.5 * 0.8, 1], rtol=1e-6)
    assert not cut.keypoints[:2].any()  # at 0.5 and 10.5
    assert cut.hands[18, 22] == 2 and cut.hands.sum() == pytest.approx(2 * 64, abs=20)


def test_hands_at_an_edge_stay() -> None:
    cut = cover(example(90, 60, np.s_[20:30, 80:90]), (60, 60))
    np.testing.assert_array_equal(cut.rgb, example(90, 60, np.s_[:0, :0]).rgb[:, 30:])
    assert (cut.hands > 0).sum() == 100


@settings(max_examples=60, deadline=None)
@given(st.integers(20, 80), st.integers(20, 80), st.tuples(st.integers(16, 64), st.integers(16, 64)), st.data())
def test_a_canvas_is_covered_and_holds_the_hands_that_fit(
    width: int, height: int, size: Size, data: st.DataObject
) -> None:
    top, left = data.draw(st.integers(0, height - 4)), data.draw(st.integers(0, width - 4))
    given_ = example(width, height, np.s_[top : top + 4, left : left + 4])
    cut = cover(given_, size)
    assert cut.rgb.shape == (size[1], size[0], 3) and cut.hands.shape == size[::-1]
    scale = max(size[0] / width, size[1] / height)
    if min(size) / scale >= 6:
        assert (cut.hands > 0).sum() >= 4 * scale**2 - 1
    known = cut.keypoints[cut.keypoints[:, 2] > 0]
    assert (known[:, :2] >= 0).all() and (known[:, :2] <= size).all()
    if size == (width, height):
        assert cut is given_


def test_a_square_stage_refuses_other_shapes() -> None:
    with pytest.raises(UserError, match=r"expected square examples, got 90x60 \('k'\)"):
        fit(example(90, 60, np.s_[:1, :1]), 64)
