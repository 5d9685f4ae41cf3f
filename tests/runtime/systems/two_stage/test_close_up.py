"""The second pass around small hands: which window, which ring, what is painted, and that nothing else changes."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st
from support.arithmetic_model import SETTINGS, changed, model, person, request
from support.arithmetic_reference import painted

from handfirst.runtime.diffusion.masks import mask_table
from handfirst.runtime.diffusion.noise import part_seed
from handfirst.runtime.errors import RequestError
from handfirst.runtime.geometry import Similarity
from handfirst.runtime.pose.crop import HandCrop, hand_crops
from handfirst.runtime.pose.person import Pose
from handfirst.runtime.systems.two_stage import seam
from handfirst.runtime.systems.two_stage.canvas import Canvas
from handfirst.runtime.systems.two_stage.close_up import put_back, ring, window_of
from handfirst.runtime.systems.two_stage.request import CloseUpResult

SMALL = person(left=(16, 20, 8.0), right=(48, 40, 8.0))
ONE = person(left=(16, 20, 8.0), right=None)


def crop_at(x, y, extent, size=32):
    """A crop of 1.5 times a box of that longer side."""
    scale = size / (1.5 * extent)
    return HandCrop(("left",), Similarity(scale, size / 2 - scale * x, size / 2 - scale * y), size, 1.5 * extent)


def on_canvas(width, height):
    return changed(body={"width": width, "height": height})


@settings(deadline=None)
@given(
    st.sampled_from([(64, 64), (192, 192), (128, 64), (64, 256)]), st.floats(-0.2, 1.2), st.floats(-0.2, 1.2),
    st.floats(0.5, 60),
)  # fmt: skip
def test_a_window_shows_the_hand_at_a_quarter_of_its_shorter_side_and_lies_in_the_picture(size, across, down, extent):
    width, height = size
    x, y = across * width, down * height
    window = window_of(crop_at(x, y, extent), "always", on_canvas(width, height))
    if 4 * extent >= min(size):
        assert window is None or window.scale == pytest.approx(1)
        return
    assert window.scale * extent == pytest.approx(min(size) / 4)
    low, high = window.inverse().apply(np.array([[0.0, 0.0], [width, height]]))
    assert (low >= -1e-6).all() and (high <= (width + 1e-6, height + 1e-6)).all()
    middle = window.apply(np.array([x, y]))  # in the middle, unless the window would leave the picture
    for at, side, near, far in zip(middle, size, low, high, strict=True):
        assert at == pytest.approx(side / 2) or near == pytest.approx(0, abs=1e-6) or far == pytest.approx(side)


@pytest.mark.parametrize(
    ("how", "extent", "wanted"),
    [("off", 8, False), ("auto", 8, True), ("always", 8, True), ("auto", 12, False), ("always", 12, True),
     ("auto", 16, False), ("always", 16.1, False)],
)  # fmt: skip
def test_auto_is_for_hands_that_become_half_as_large_again(how, extent, wanted):
    assert (window_of(crop_at(30, 30, extent), how, SETTINGS) is not None) is wanted


def test_auto_is_for_hands_below_eight_cells():
    wide = on_canvas(512, 512)  # a quarter of it is 128 pixels: 63 become twice as large
    assert window_of(crop_at(200, 200, 63), "auto", wide) is not None
    assert window_of(crop_at(200, 200, 65), "auto", wide) is None
    assert window_of(crop_at(200, 200, 65), "always", wide) is not None


def test_a_ring_fades_with_the_distance_and_spares_hands():
    hand, other = np.zeros((2, 40, 50), bool)
    hand[12:20, 10:18], other[14:18, 22:30] = True, True
    distance = scipy.ndimage.distance_transform_edt(~hand)
    expected = np.clip((8 - distance) / 4, 0, 1)
    expected[hand | other] = 0
    np.testing.assert_allclose(ring(hand, hand | other, 8.0), expected, atol=1e-12)


def test_close_ups_come_back_as_block_means_and_change_nothing_beyond_their_weight():
    rng = np.random.default_rng(3)
    image, patch = rng.integers(0, 256, (2, 24, 24, 3), np.uint8)
    weight = np.zeros((24, 24))
    weight[8:12, 10:14], weight[9:11, 14] = 1.0, 0.25
    made = put_back(image, [CloseUpResult("a", Similarity(2.0, -12.0, -10.0), patch, weight)])
    small = patch.reshape(12, 2, 12, 2, 3).mean((1, 3))  # of the window from pixel 6, 5 of the picture on
    np.testing.assert_array_equal(made[8:12, 10:14], np.rint(small[3:7, 4:8]))
    np.testing.assert_array_equal(made[9:11, 14], np.rint(0.75 * image[9:11, 14] + 0.25 * small[4:6, 8]))
    np.testing.assert_array_equal(made[weight == 0], image[weight == 0])
    assert put_back(image, []) is image


def test_where_rings_meet_they_are_mixed_by_weight():
    image = np.full((8, 8, 3), 10, np.uint8)
    here = Similarity(1.0, 0.0, 0.0)
    one, two = (np.full((8, 8, 3), value, np.uint8) for value in (100, 200))
    weights = [np.full((8, 8), w) for w in (0.5, 1.0)]
    made = put_back(image, [CloseUpResult("a", here, one, weights[0]), CloseUpResult("b", here, two, weights[1])])
    assert (made == round((50 + 200) / 1.5)).all()
    made = put_back(image, [CloseUpResult("a", here, one, weights[0] / 2), CloseUpResult("b", here, two, weights[0])])
    assert (made == round(2.5 + 25 + 100)).all()


def test_the_second_pass_equals_the_plain_loop():
    """The window by SciPy's bilinear interpolation, its loop as the specification has stage 2, its seed by name."""
    asked = request(ONE, close_up="always")
    result = model()[0].render(asked)
    (made,), first = result.close_ups, model()[0].render(request(ONE))
    assert made.name == "hand-0-left-close-up"
    (crop,) = hand_crops(ONE, SETTINGS.hand, 64, 64)
    scale = 64 / 4 / (crop.side_px / 1.5)
    assert made.window.scale == pytest.approx(scale)
    y, x = (np.mgrid[:64, :64] + 0.5 - np.array([made.window.dy, made.window.dx])[:, None, None]) / scale - 0.5
    bilinear = np.stack(
        [scipy.ndimage.map_coordinates(first.image[..., c].astype(float), (y, x), order=1, mode="nearest")
         for c in range(3)], -1,
    )  # fmt: skip
    ring_seen = scipy.ndimage.map_coordinates((made.weight > 0).astype(float), (y, x), order=1, mode="nearest") > 1e-9
    canvas = Canvas(np.rint(bilinear).astype(np.uint8))
    drawn = result.hands[0]
    canvas = canvas.place(drawn.image, drawn.mask, made.window.inverse().then(drawn.crop.similarity))
    table = mask_table(canvas.parts, 6, "expansion", SETTINGS.body, 8)
    table |= ~ring_seen.reshape(8, 8, 8, 8).any((1, 3))
    pose = Pose((ONE.moved(scale, made.window.dx, made.window.dy),), 64, 64)
    seed = part_seed(asked.seed, "hand-0-left-close-up")
    _, image = painted(canvas, pose, seed, table)
    image = np.where(canvas.mask[..., None], canvas.image, image)
    assert np.abs(made.image.astype(int) - image.astype(int)).max() <= 1
    assert table[0].mean() > table[-1].mean() > 0.3  # the ring is a small part, and opens step by step


@pytest.mark.parametrize("feather", [0.0, 2.0])
def test_hands_and_all_beyond_the_ring_stay_to_the_last_bit(feather):
    first = model()[0].render(request(SMALL, feather=feather))
    result = model()[0].render(request(SMALL, feather=feather, close_up="auto"))
    assert [each.name for each in result.close_ups] == ["hand-0-left-close-up", "hand-0-right-close-up"]
    np.testing.assert_array_equal(result.canvas, first.canvas)
    np.testing.assert_array_equal(result.image[result.mask], result.canvas[result.mask])
    anew = np.sum([each.weight for each in result.close_ups], 0) > 0
    assert not (anew & result.mask).any()
    np.testing.assert_array_equal(result.image[~anew], first.image[~anew])
    assert (result.image[anew] != first.image[anew]).any()
    np.testing.assert_array_equal(result.image, put_back(first.image, result.close_ups))


def test_off_is_the_default_and_large_hands_get_none():
    assert request().close_up == "off"
    assert model()[0].render(request(SMALL)).close_ups == ()
    always = model()[0].render(request(close_up="always"))
    assert always.close_ups == ()
    np.testing.assert_array_equal(always.image, model()[0].render(request()).image)


def test_a_hand_below_the_smallest_crop_fills_its_crop_where_a_close_up_is_asked_for():
    tiny = person(left=(16, 20, 3.0), right=None)
    sides = [model()[0].render(request(tiny, close_up=how)).hands[0].crop.side_px for how in ("off", "auto")]
    assert sides == pytest.approx([8.0, 8.0])  # an eighth of the canvas, and a latent cell: here they are the same
    wide = changed(hand={"min_side": 0.25})
    sides = [model(wide)[0].render(request(tiny, close_up=how)).hands[0].crop.side_px for how in ("off", "auto")]
    assert sides == pytest.approx([16.0, 8.0])


def test_steps_tell_of_the_second_pass_and_show_the_picture_with_it():
    system, _ = model()
    seen = list(system.steps(request(SMALL, steps=3, close_up="auto")))
    assert [(p.stage, p.step, p.total) for p in seen[-5:]] == [
        ("body", 3, 3), ("close_ups", 1, 3), ("close_ups", 2, 3), ("close_ups", 3, 3), ("decode", 1, 1),
    ]  # fmt: skip
    result = seen[-1].result
    assert list(result.seconds)[-2:] == ["close_ups", "total"] and result.seconds["close_ups"] > 0
    anew = np.sum([each.weight for each in result.close_ups], 0) > 0
    for progress in seen[-4:-1]:
        np.testing.assert_array_equal(progress.preview()[~anew], result.image[~anew])


def test_a_picture_is_the_same_alone_and_in_a_batch_and_by_seed():
    asked = [
        request(seed=1, close_up="auto"),
        request(SMALL, seed=2, close_up="auto", blend="naive"),
        request(SMALL, seed=3),
        request(ONE, ONE.moved(1.0, 30.0, 12.0), seed=4, close_up="always"),
    ]
    together = model()[0].render_batch(asked)
    assert [len(result.close_ups) for result in together] == [0, 2, 0, 2]
    for each, result in zip(asked, together, strict=True):
        np.testing.assert_array_equal(model()[0].render(each).image, result.image)
    other = model()[0].render(replace(asked[1], seed=9))
    assert (other.close_ups[0].image != together[1].close_ups[0].image).any()


def test_a_hand_that_was_not_found_gets_none():
    system, _ = model(mask_head=lambda inputs: {"mask": np.zeros((len(inputs["feature"]), 1, 32, 32), np.float32)})
    result = system.render(request(SMALL, close_up="always"))
    assert result.close_ups == () and not result.mask.any()


def test_what_is_told_of_it():
    system, _ = model()
    asked = request(SMALL, close_up="auto")
    assert seam.together(asked, SETTINGS)[-1] == 2 and seam.together(request(SMALL), SETTINGS)[-1] == 0
    assert seam.work(asked, SETTINGS)["close_ups"] == 2 and "close_ups" not in seam.work(request(), SETTINGS)
    result = system.render(asked)
    assert result.asked["close_up"] == "auto"
    assert [name for kind, name, _ in seam.pictures(result) if kind == "close-up"] == [
        "hand-0-left-close-up", "hand-0-right-close-up",
    ]  # fmt: skip
    small = changed(hand={"margin": 1.0})  # crops of 8 pixels, below 12
    (told,) = [w for w in model(small)[0].render(request(ONE)).warnings if "is small" in w]
    assert "--close-up auto" in told
    assert not [w for w in model(small)[0].render(request(ONE, close_up="auto")).warnings if "is small" in w]
    with pytest.raises(RequestError, match="close_up: expected one of off, auto, always, got 'on'"):
        request(close_up="on")
