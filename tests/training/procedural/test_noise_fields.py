"""The compiled random fields against the plain formula and against finite differences."""

import numpy as np
import pytest

from handfirst.training.data.procedural.noise import BLOCK, Waves


@pytest.fixture
def waves() -> Waves:
    return Waves.draw(np.random.default_rng(3), 13, 0.2, 4.0, (1.3, 0.6, 1.0))


def points(count: int) -> np.ndarray:
    """Points [count,3] as far from the origin as a person reaches (cm)."""
    return np.random.default_rng(4).uniform(-120, 120, (count, 3))


@pytest.mark.parametrize("count", [0, 1, BLOCK, BLOCK + 1, 3 * BLOCK - 5])
def test_value_and_gradient_follow_the_formula(waves: Waves, count: int) -> None:
    where = points(count)
    phase = where @ waves.vectors.T + waves.phases
    value, gradient = waves.value_and_gradient(where)
    np.testing.assert_allclose(value, np.sin(phase).sum(axis=1) / np.sqrt(13), rtol=0, atol=1e-9)
    np.testing.assert_allclose(gradient, np.cos(phase) @ waves.vectors / np.sqrt(13), rtol=0, atol=1e-8)


def test_the_gradient_is_the_slope_of_the_value(waves: Waves) -> None:
    where, step = points(50), 1e-4
    slope = [(waves.value(where + step * axis) - waves.value(where - step * axis)) / (2 * step) for axis in np.eye(3)]
    np.testing.assert_allclose(waves.gradient(where), np.transpose(slope), rtol=0, atol=1e-4)


def test_one_pass_gives_what_two_give(waves: Waves) -> None:
    where = points(300)
    value, gradient = waves.value_and_gradient(where)
    np.testing.assert_allclose(waves.value(where), value, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(waves.gradient(where), gradient)


def test_points_may_lie_anyhow_in_memory(waves: Waves) -> None:
    where = points(20)
    np.testing.assert_array_equal(waves.value(np.asfortranarray(where)), waves.value(where))
    np.testing.assert_array_equal(waves.value(np.repeat(where, 2, axis=0)[::2]), waves.value(where))
