"""Noise per part: the first draw of a stream is x_T, the next ones are the steps'."""

import numpy as np

from handfirst.runtime.diffusion.noise import Streams, randn


def test_a_stream_is_one_draw_cut_into_steps():
    streams = Streams([3, 4], (4, 2, 2), steps=5)
    for row, seed in enumerate((3, 4)):
        whole = randn(seed, (6, 4, 2, 2))
        np.testing.assert_array_equal(streams.x_T[row], whole[0])
        for step in (1, 5):
            np.testing.assert_array_equal(streams.fresh(step)[row], whole[step])


def test_the_start_is_the_same_with_and_without_fresh_noise():
    for streams in (Streams([3], (4, 8, 8)), Streams([3], (4, 8, 8), steps=7)):
        assert streams.x_T.shape == (1, 4, 8, 8)
        assert streams.x_T.dtype == np.float32
        np.testing.assert_array_equal(streams.x_T[0], randn(3, (4, 8, 8)))


def test_a_part_does_not_depend_on_its_neighbours():
    np.testing.assert_array_equal(Streams([9], (4, 4, 4)).x_T[0], Streams([1, 9, 2], (4, 4, 4)).x_T[1])
