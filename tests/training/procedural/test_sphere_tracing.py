"""The tracer against plain formulas, and the independence of the rays of a packet."""

import numpy as np
import pytest

from handfirst.training.data.procedural import tracing
from handfirst.training.data.procedural.sdf import LANES

DETAIL, CULL = 2.5, 6.0
LIGHT = np.array([0.6, 0.8, 0.0])
# A ball; two tapered, flattened capsules blended with width 2; one joined to those by a link.
CAPSULES = np.array(
    [
        [12, 0, -60, 12, 0, -60, 4, 4, 0, 0, 1, 1.0],
        [-10, 0, -60, 0, 4, -62, 3, 2, 0, 0, 1, 1.2],
        [-10, 0, -60, -4, -8, -58, 3, 1, 0, 1, 0, 1.0],
        [-4, -8, -58, 3, -9, -55, 1.5, 1, 0, 0, 1, 1.0],
    ]
)
STARTS = np.array([0, 1, 3, 4])
SPHERES = np.array([[12, 0, -60, 4.05], [-5, -2, -60, 12], [-0.5, -8.5, -56.5, 6]], dtype=np.float64)
BLENDS = np.array([0.5, 2.0, 0.3])
UNLINKED = [-1.0, 0, 0, 0, 0, 1, 0]
LINKS = np.array([UNLINKED, UNLINKED, [1, -4, -8, -58, 1.5, 3.0, 0.2]])


def rays(side: int = 41) -> np.ndarray:
    """Unit rays [N,3] that cover the scene; N is no multiple of a packet."""
    x, y = np.meshgrid(np.linspace(-0.3, 0.35, side), np.linspace(-0.25, 0.2, side))
    directions = np.stack([x.ravel(), y.ravel(), -np.ones(side * side)], axis=1)
    return directions / np.linalg.norm(directions, axis=1, keepdims=True)


def trace(directions: np.ndarray) -> np.ndarray:
    result = np.zeros((len(directions), tracing.RESULT_COLUMNS))
    tracing.trace_rays(CAPSULES, STARTS, SPHERES, BLENDS, LINKS, directions, LIGHT, DETAIL, CULL, result)
    return result


def capsule(row: np.ndarray, point: np.ndarray) -> float:
    a, bone, (ra, rb), axis, squash = row[0:3], row[3:6] - row[0:3], row[6:8], row[8:11], row[11]
    h = np.clip((point - a) @ bone / (bone @ bone + 1e-9), 0, 1)
    q = point - a - bone * h
    q = q + axis * (q @ axis) * (squash - 1)
    return float((np.linalg.norm(q) - (ra + (rb - ra) * h)) / max(1, squash))


def smooth_min(a: float, b: float, k: float) -> float:
    return min(a, b) - max(k - abs(a - b), 0) ** 2 / k / 4


def distance(point: np.ndarray) -> float:
    """Signed distance of the scene above, written out."""
    ball, upper, lower, joined = (capsule(row, point) for row in CAPSULES)
    body = smooth_min(upper, lower, 2.0)
    k = 0.2 + 1.3 * np.exp(-(((point - LINKS[2, 1:4]) / 3.0) ** 2).sum())
    return min(ball, body, smooth_min(joined, body, k))


@pytest.fixture(scope="module")
def traced() -> np.ndarray:
    return trace(rays())


def test_hits_lie_on_the_surface_of_the_formula(traced: np.ndarray) -> None:
    hit = traced[:, tracing.PRIMITIVE] >= 0
    assert 100 < hit.sum() < len(hit) - 100
    assert set(traced[hit, tracing.PRIMITIVE]) == {0, 1, 2, 3}
    depth = traced[hit, tracing.DEPTH_ALONG_RAY]
    for point, t in zip(rays()[hit] * depth[:, None], depth, strict=True):
        assert abs(distance(point)) < 0.0006 * t + 1e-9


def test_a_missing_ray_passes_outside(traced: np.ndarray) -> None:
    for direction in rays()[traced[:, tracing.PRIMITIVE] < 0][::20]:
        assert min(distance(direction * t) for t in np.arange(40.0, 75.0, 0.25)) > 0


def test_normals_are_the_gradient_and_primitives_the_nearest(traced: np.ndarray) -> None:
    hit = np.nonzero(traced[:, tracing.PRIMITIVE] >= 0)[0][::10]
    points = rays()[hit] * traced[hit, tracing.DEPTH_ALONG_RAY, None]
    for row, point in zip(traced[hit], points, strict=True):
        slope = np.array([distance(point + e) - distance(point - e) for e in 1e-3 * np.eye(3)])
        normal = row[[tracing.NORMAL_X, tracing.NORMAL_Y, tracing.NORMAL_Z]]
        assert normal @ slope / np.linalg.norm(slope) > 0.995
        assert int(row[tracing.PRIMITIVE]) == np.argmin([capsule(c, point) for c in CAPSULES])


def test_occlusion_follows_the_formula(traced: np.ndarray) -> None:
    hit = np.nonzero(traced[:, tracing.PRIMITIVE] >= 0)[0][::10]
    for row, direction in zip(traced[hit], rays()[hit], strict=True):
        normal = row[[tracing.NORMAL_X, tracing.NORMAL_Y, tracing.NORMAL_Z]]
        heights = (0.12 + 0.42 * np.arange(4)) * DETAIL
        found = [distance(direction * row[tracing.DEPTH_ALONG_RAY] + normal * h) for h in heights]
        wanted = 1 - 0.75 * ((heights - found) / DETAIL * 0.6 ** np.arange(4)).sum()
        assert row[tracing.OCCLUSION] == pytest.approx(np.clip(wanted, 0, 1), abs=1e-9)


def test_shadow_falls_where_the_light_is_hidden(traced: np.ndarray) -> None:
    hit = traced[:, tracing.PRIMITIVE] == 0  # the ball: nothing stands between it and the light on its right
    facing = traced[hit][:, [tracing.NORMAL_X, tracing.NORMAL_Y, tracing.NORMAL_Z]] @ LIGHT
    assert (traced[hit, tracing.SHADOW][facing > 0.6] > 0.9).all()
    assert (traced[hit, tracing.SHADOW][facing < -0.4] == 0).all()


def test_a_ray_does_not_depend_on_its_packet(traced: np.ndarray) -> None:
    order = np.random.default_rng(0).permutation(len(traced))
    np.testing.assert_array_equal(trace(rays()[order]), traced[order])
    few = order[: LANES // 2 + 1]
    np.testing.assert_array_equal(trace(rays()[few]), traced[few])


def test_no_rays_no_work() -> None:
    assert trace(np.zeros((0, 3))).shape == (0, tracing.RESULT_COLUMNS)
