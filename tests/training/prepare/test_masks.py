"""Found masks: the dilation against SciPy, the way back from a crop against discs drawn by hand."""

import numpy as np
import pytest
from scipy import ndimage
from support.painted import RADIUS, ground, person

from handfirst.training.data.prepare.cuts import body_cut, hand_squares
from handfirst.training.data.prepare.examples import dilated, found_mask, large_enough
from handfirst.training.data.prepare.settings import Origin, PrepareSettings
from handfirst.training.data.record import to_person

LEFT, RIGHT = (85.0, 50.0), (35.0, 48.0)


def settings(stage: str = "hand", size: int = 128) -> PrepareSettings:
    return PrepareSettings(stage=stage, origins=(Origin(kind="folder", path="x"),), size=size)


def blob(seed: int) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(60, 60)), 4)
    return noise > 0.03


@pytest.mark.parametrize("label", [1, 2])
def test_one_hand_is_dilated_by_five_by_five(label: int) -> None:
    wanted = ndimage.binary_dilation(blob(1), np.ones((5, 5)))
    np.testing.assert_array_equal(dilated((blob(1) * label).astype(np.uint8)), wanted * label)


def test_hands_do_not_grow_into_each_other() -> None:
    left, right = blob(2), blob(3) & ~blob(2)
    grown = dilated(np.where(left, 1, np.where(right, 2, 0)).astype(np.uint8))
    assert (grown[left] == 1).all() and (grown[right] == 2).all()
    union = ndimage.binary_dilation(left | right, np.ones((5, 5)))
    np.testing.assert_array_equal(grown > 0, union)


def discs(rgb: np.ndarray, hands: dict[str, np.ndarray]) -> np.ndarray:
    """A segmenter that knows: a disc about the first point, through the second."""
    out = np.zeros(rgb.shape[:2], np.uint8)
    y, x = np.mgrid[: len(rgb), : len(rgb)] + 0.5
    for label, side in ((1, "left"), (2, "right")):
        if side in hands:
            centre, rim = hands[side][0], hands[side][1]
            out[np.hypot(x - centre[0], y - centre[1]) <= np.hypot(*(rim - centre))] = label
    return out


@pytest.mark.parametrize("stage", ["hand", "body"])
def test_a_mask_comes_back_to_where_its_hand_is(stage: str) -> None:
    """In the example every hand is a disc of its radius, grown by two pixels of a crop of 512.

    The crop is 1.5 x 2 RADIUS wide, so those two pixels are 27 / 512 x 2 of the picture's.
    """
    chosen = settings(stage)
    someone = to_person(person(LEFT, RIGHT))
    square = (
        body_cut(someone, 1.25, [(128, 128)], 120, 90)
        if stage == "body"
        else hand_squares(someone, chosen.hand, 120, 90)[0]
    )
    assert square is not None
    found = found_mask(ground(1).read(), someone, square, chosen, discs)
    y, x = np.mgrid[:128, :128] + 0.5
    back = square.similarity.inverse()
    px, py = x * back.scale + back.dx, y * back.scale + back.dy
    for label, centre in ((1, LEFT), (2, RIGHT)) if stage == "body" else ((1, LEFT),):
        away = np.hypot(px - centre[0], py - centre[1])
        grown = 2 * 27 / 512
        assert (found[away <= RADIUS - back.scale] == label).all()
        assert (found[(away > RADIUS + np.sqrt(2) * grown + back.scale) & (away < 1.5 * RADIUS)] == 0).all()
    if stage == "hand":
        assert set(np.unique(found)) == {0, 1}


def test_pixels_are_counted_as_if_there_were_512_a_side() -> None:
    """2,500 pixels at 512 are 156.25 at 128."""
    for count, enough in ((156, False), (157, True)):
        mask = np.zeros(128 * 128, np.uint8)
        mask[:count] = 2
        assert large_enough(mask.reshape(128, 128), settings(size=128)) is enough
