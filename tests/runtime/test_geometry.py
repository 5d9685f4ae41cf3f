"""Connected parts and nearest pixels against OpenCV and SciPy."""

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from handfirst.runtime.diffusion.masks import dilate
from handfirst.runtime.geometry import connected, nearest

masks = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24))


@settings(deadline=None)
@given(mask=masks, neighbours=st.sampled_from([4, 8]))
def test_parts(mask, neighbours):
    labels, areas = connected(mask, neighbours)
    theirs, count = ndimage.label(mask, np.ones((3, 3)) if neighbours == 8 else None)
    assert labels.max(initial=0) == count
    pairs = set(zip(labels.ravel().tolist(), theirs.ravel().tolist(), strict=True))
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
    assert ((labels == 0) == ~mask).all()
    np.testing.assert_array_equal(areas, [(labels == label).sum() for label in range(count + 1)])
    firsts = [np.flatnonzero(labels.ravel() == label)[0] for label in range(1, count + 1)]
    assert firsts == sorted(firsts)


def test_parts_of_a_large_checkerboard():
    board = np.indices((300, 300)).sum(0) % 2 == 0
    assert connected(board, 4)[0].max() == board.sum()
    assert connected(board, 8)[0].max() == 1


@settings(deadline=None)
@given(mask=masks, reach=st.floats(0, 30))
def test_nearest(mask, reach):
    distance, index = nearest(mask, reach)
    rows, columns = np.indices(mask.shape)
    if not mask.any():
        assert np.isinf(distance).all()
        return
    wanted = ndimage.distance_transform_edt(~mask)
    near = wanted <= reach
    np.testing.assert_allclose(distance[near], wanted[near])
    assert np.isinf(distance[~near]).all()
    there = np.unravel_index(index, mask.shape)
    assert mask[there][near].all()
    np.testing.assert_allclose(np.hypot(rows - there[0], columns - there[1])[near], wanted[near])


@settings(deadline=None)
@given(mask=masks, radius=st.integers(0, 30))
def test_dilating(mask, radius):
    kernel = np.ones((2 * radius + 1,) * 2, np.uint8)
    wanted = cv2.dilate(mask.astype(np.uint8), kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    np.testing.assert_array_equal(dilate(mask, radius), wanted.astype(bool))
