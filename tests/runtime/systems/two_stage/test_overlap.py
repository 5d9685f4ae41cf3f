"""Hands that touch or cross: which crops they are drawn in, and whose the pixels are that several claim."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.arithmetic_model import SETTINGS, hand, model, person, request

from handfirst.runtime.diffusion.noise import part_seed
from handfirst.runtime.pose.person import Person, Pose
from handfirst.runtime.pose.topology import HANDS
from handfirst.runtime.systems.two_stage.condition import condition
from handfirst.runtime.systems.two_stage.crops import find_crops, overlap
from handfirst.runtime.systems.two_stage.hands import find_hands
from handfirst.runtime.systems.two_stage.overlap import FLESH, distances, share_out

NUMBERS = st.floats(-20, 60)
BONES = st.lists(st.tuples(*[NUMBERS] * 4), min_size=1, max_size=4).map(lambda b: np.reshape(b, (-1, 2, 2)))


def segment_distance(p, a, b):
    """By hand: beside the segment the height over it, beyond its ends the way to them."""
    a, b, p = np.longdouble(a), np.longdouble(b), np.longdouble(p)
    length = np.hypot(*(b - a))
    if length == 0:
        return np.hypot(*(p - a))
    unit = (b - a) / length
    foot = unit @ (p - a)
    height = unit[0] * (p - a)[1] - unit[1] * (p - a)[0]
    return abs(height) if 0 <= foot <= length else min(np.hypot(*(p - a)), np.hypot(*(p - b)))


def one_bone(x, y, length=20.0):
    """A bone that stands upright from (x, y) on."""
    return np.array([[[x, y], [x, y + length]]], float)


def block(top, bottom, left, right, shape=(40, 40)):
    mask = np.zeros(shape, bool)
    mask[top:bottom, left:right] = True
    return mask


@settings(deadline=None)
@given(BONES, st.tuples(NUMBERS, NUMBERS))
def test_the_distance_to_bones(bones, point):
    expected = min(float(segment_distance(point, *bone)) for bone in bones)
    assert distances(np.array([point]), bones)[0] == pytest.approx(expected, abs=1e-5)


@settings(deadline=None)
@given(st.integers(0, 2**20), st.integers(1, 4), st.data())
def test_every_pixel_that_was_claimed_has_one_owner_who_claimed_it(seed, count, data):
    claims = list(np.random.default_rng(seed).random((count, 9, 11)) < 0.5)
    shares = share_out(claims, [data.draw(st.none() | BONES) for _ in range(count)])
    np.testing.assert_array_equal(np.sum(shares, 0), np.any(claims, 0))
    for claim, share in zip(claims, shares, strict=True):
        assert not (share & ~claim).any()
        alone = claim & (np.sum(claims, 0) == 1)
        np.testing.assert_array_equal(share & alone, alone)


def test_without_an_overlap_or_bones_it_is_as_it_was():
    apart = [block(0, 5, 0, 5), block(5, 9, 5, 9)]
    for claim, share in zip(apart, share_out(apart, [one_bone(1, 1), None]), strict=True):
        np.testing.assert_array_equal(claim, share)
    back, front = block(0, 10, 0, 10), block(5, 15, 5, 15)
    shares = share_out([back, front], [None, None])  # the later one is in front
    np.testing.assert_array_equal(shares[1], front)
    np.testing.assert_array_equal(shares[0], back & ~front)
    assert share_out([], []) == []


def test_a_mask_that_spills_over_takes_nothing_of_the_other_hand():
    """Two fingers side by side, 10 pixels apart; the front one's mask covers both."""
    back, front = block(5, 25, 8, 13), block(5, 25, 5, 30)
    shares = share_out([back, front], [one_bone(10.5, 5), one_bone(20.5, 5)])
    np.testing.assert_array_equal(shares[0], back)
    np.testing.assert_array_equal(shares[1], front & ~back)


def test_a_finger_in_front_stays_whole_where_it_crosses_another():
    upright, across = block(0, 40, 16, 24), block(16, 24, 0, 40)
    bones = [np.array([[[20.0, 0.0], [20.0, 40.0]]]), np.array([[[0.0, 20.0], [40.0, 20.0]]])]
    assert FLESH * 40 >= 4  # both are 4 pixels thick to either side
    shares = share_out([upright, across], bones)
    np.testing.assert_array_equal(shares[1], across)
    np.testing.assert_array_equal(shares[0], upright & ~across)
    shares = share_out([across, upright], bones[::-1])
    np.testing.assert_array_equal(shares[1], upright)


def test_masks_of_a_picture_do_not_cut_each_other():
    """Two people's left hands on top of each other, which share no crop; every mask is the whole crop."""
    whole = {"mask_head": lambda inputs: {"mask": np.ones((len(inputs["feature"]), 1, 32, 32), np.float32)}}
    two = person(left=(20, 20), right=None), person(left=(26, 22), right=None)
    result = model(**whole)[0].render(request(*two))
    assert [made.name for made in result.hands] == ["hand-0-left", "hand-1-left"]
    (line,) = [line for line in result.warnings if "overlap" in line]
    assert line.startswith("hand-0-left and hand-1-left overlap: two left hands have no crop together")
    pixels = np.argwhere(np.ones((64, 64)))[:, ::-1] + 0.5
    near = [distances(pixels, made.bones).reshape(64, 64) for made in result.hands]
    thick = [FLESH * np.hypot(*(made.bones[:, 1] - made.bones[:, 0]).T).mean() for made in result.hands]
    first = (near[1] > thick[1]) & ((near[0] <= thick[0]) | (near[0] < near[1]))
    squares = [made.crop.similarity for made in result.hands]
    inside = [
        (np.abs(square.apply(pixels) - 16) < 15).all(1).reshape(64, 64) for square in squares
    ]  # but a margin, where half pixels count
    both = inside[0] & inside[1]
    assert (both & first).any() and (both & ~first).any()
    for chosen, made in ((both & first, result.hands[0]), (both & ~first, result.hands[1])):
        alone = model(**whole)[0].render(request(two[made.person], seed=5))
        assert alone.hands[0].name == "hand-0-left"
        # the same hand, drawn with another seed where it is the second: compare with its own picture in place
        from handfirst.runtime.systems.two_stage.canvas import Canvas

        placed = Canvas.empty(SETTINGS.body).place(made.image, made.mask, made.crop.similarity)
        np.testing.assert_array_equal(result.canvas[chosen], placed.image[chosen])


@pytest.mark.parametrize(("shift", "wanted"), [(0, 1.0), (8, 0.5), (16, 0.0), (20, 0.0)])
def test_the_overlap_of_boxes(shift, wanted):
    assert overlap(hand(20, 20), hand(20 + shift, 20)) == pytest.approx(wanted)
    assert overlap(hand(20, 20), hand(20 + shift / 2, 20, 8.0)) == pytest.approx(
        {0: 1.0, 8: 1.0, 16: 0.5, 20: 0.25}[shift]
    )


def test_two_peoples_hands_share_a_crop_where_they_overlap():
    """A left and a right hand; the crop, its condition, its words and its noise are those of the two of them."""
    one, two = person(left=(30, 30), right=(10, 50)), person(left=(54, 54), right=(36, 32))
    asked = request(one, two).resolve(SETTINGS)
    crops = find_crops(asked, SETTINGS)
    assert [each.name for each in crops] == ["hand-0-left-1-right", "hand-0-right", "hand-1-left"]
    shared = crops[0]
    assert (shared.person, shared.partner, shared.crop.sides) == (0, 1, ("left", "right"))
    both = np.concatenate([one.left_hand, two.right_hand])
    low, high = both.min(0), both.max(0)
    assert shared.crop.side_px == pytest.approx(1.5 * (high - low).max())
    np.testing.assert_allclose(shared.crop.similarity.apply((low + high) / 2), (16, 16))
    drawn = find_hands(asked, SETTINGS)[0]
    points = [shared.crop.similarity.apply(each) for each in (one.left_hand, two.right_hand)]
    np.testing.assert_array_equal(drawn.c_p, condition(*points, None, 32, SETTINGS.hand.condition, 8))
    assert drawn.seed == part_seed(5, "hand-0-left-1-right")
    result = model()[0].render(request(one, two))
    assert [made.name for made in result.hands] == [each.name for each in crops]
    assert result.hands[0].partner == 1 and not [line for line in result.warnings if "overlap" in line]


@pytest.mark.parametrize(
    ("others", "names"),
    [
        (person(left=None, right=(45, 30)), ["hand-0-left", "hand-1-right"]),  # boxes share 1/16
        (person(left=None, right=(43, 30)), ["hand-0-left-1-right"]),  # 3/16
        (person(left=(43, 30), right=None), ["hand-0-left", "hand-1-left"]),  # two left ones
        (person(left=(47, 30), right=(43, 30)), ["hand-0-left", "hand-1-both"]),  # they share one already
    ],
)
def test_who_shares_a_crop(others, names):
    asked = request(person(left=(30, 30), right=None), others).resolve(SETTINGS)
    assert [each.name for each in find_crops(asked, SETTINGS)] == names


def test_the_right_hand_may_be_the_first_persons():
    asked = request(person(left=None, right=(30, 30)), person(left=(34, 30), right=None)).resolve(SETTINGS)
    assert [each.name for each in find_crops(asked, SETTINGS)] == ["hand-1-left-0-right"]


def test_of_three_hands_the_two_share_a_crop_that_overlap_most():
    people = (
        person(left=(30, 30), right=None), person(left=None, right=(40, 30)), person(left=None, right=(28, 30)),
    )  # fmt: skip
    asked = request(*people).resolve(SETTINGS)
    assert [each.name for each in find_crops(asked, SETTINGS)] == ["hand-0-left-2-right", "hand-1-right"]


def test_many_people_have_their_own_hands_and_one_body_pass():
    places = [(10 + 18 * i, 12 + 8 * j) for i in range(3) for j in (0, 5)]
    people = [person(left=(x, y, 8.0), right=None) for x, y in places]
    system, tapes = model()
    result = system.render(request(*people))
    assert [made.name for made in result.hands] == [f"hand-{i}-left" for i in range(6)]
    assert len(tapes["body_unet"].inputs) == 6 and {len(t["sample"]) for t in tapes["body_unet"].inputs} == {2}
    assert len(result.warnings) == 0


def test_missing_points_have_no_bones():
    lost = person(right=None)
    points = lost.points.copy()
    points[HANDS["left"].start + 8] = np.nan  # the index finger's tip
    pose = Pose((Person(points, lost.scores),), 64, 64)
    (found,) = find_crops(request(pose=pose).resolve(SETTINGS), SETTINGS)
    assert found.bones.shape == (19, 2, 2) and np.isfinite(found.bones).all()
