"""Signed distance of grouped tapered capsules, and sphere tracing through it.

Arrays (C capsules in G groups, camera space, centimetres):
  capsules [C,12]  ax ay az  bx by bz  ra rb  nx ny nz  squash   (flattened `squash` times along n)
  starts   [G+1]   first capsule of each group
  spheres  [G,4]   bounding sphere x y z r of each group
  blends   [G]     smooth-union width inside the group
  links    [G,7]   parent group (-1: none), anchor x y z, blend width at the anchor, fall-off length, width far away
A group's parent comes before it.
"""

import math

import numpy as np
from numpy.typing import NDArray

from handfirst.training.data.procedural.jit import compiled, inlined

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FAR = 1e9
MAX_STEPS = 80
SHADOW_STEPS = 18
# Columns of the result of trace_rays.
DEPTH_ALONG_RAY, PRIMITIVE, NORMAL_X, NORMAL_Y, NORMAL_Z, OCCLUSION, SHADOW = range(7)
RESULT_COLUMNS = 7


@inlined
def _capsule(capsules: Floats, i: int, x: float, y: float, z: float) -> float:
    """Signed distance from a point to capsule `i` (a lower bound where it is flattened)."""
    ax = capsules[i, 0]
    ay = capsules[i, 1]
    az = capsules[i, 2]
    bx = capsules[i, 3] - ax
    by = capsules[i, 4] - ay
    bz = capsules[i, 5] - az
    px = x - ax
    py = y - ay
    pz = z - az
    h = (px * bx + py * by + pz * bz) / (bx * bx + by * by + bz * bz + 1e-9)
    h = min(1.0, max(0.0, h))
    qx = px - bx * h
    qy = py - by * h
    qz = pz - bz * h
    squash = capsules[i, 11]
    radius = capsules[i, 6] + (capsules[i, 7] - capsules[i, 6]) * h
    f = (qx * capsules[i, 8] + qy * capsules[i, 9] + qz * capsules[i, 10]) * (squash - 1.0)
    qx += capsules[i, 8] * f
    qy += capsules[i, 9] * f
    qz += capsules[i, 10] * f
    distance: float = (math.sqrt(qx * qx + qy * qy + qz * qz) - radius) / max(1.0, squash)
    return distance


@inlined
def _smooth_min(a: float, b: float, k: float) -> float:
    """Polynomial smooth minimum with blend width `k`."""
    if k <= 1e-6:
        return min(a, b)
    h = max(k - abs(a - b), 0.0) / k
    return min(a, b) - h * h * k * 0.25


@compiled
def _distance(
    capsules: Floats, starts: Ints, spheres: Floats, blends: Floats, links: Floats,
    active: Ints, count: int, field: Floats, x: float, y: float, z: float, cull: float,
) -> float:  # fmt: skip
    """Signed distance of the union of the first `count` groups in `active`; `field` [G] is scratch."""
    best = FAR
    for j in range(count):
        g = active[j]
        dx = x - spheres[g, 0]
        dy = y - spheres[g, 1]
        dz = z - spheres[g, 2]
        bound = math.sqrt(dx * dx + dy * dy + dz * dz) - spheres[g, 3]
        if bound > cull:
            field[g] = bound
            best = min(best, bound)
            continue
        d = FAR
        for i in range(starts[g], starts[g + 1]):
            d = _smooth_min(d, _capsule(capsules, i, x, y, z), blends[g])
        field[g] = d
        parent = int(links[g, 0])
        if parent >= 0 and field[parent] < FAR:
            ex = x - links[g, 1]
            ey = y - links[g, 2]
            ez = z - links[g, 3]
            e = (ex * ex + ey * ey + ez * ez) / (links[g, 5] * links[g, 5])
            k = links[g, 6] + (links[g, 4] - links[g, 6]) * math.exp(-e)
            d = _smooth_min(d, field[parent], k)
        best = min(best, d)
    return best


@compiled
def _nearest_capsule(
    capsules: Floats, starts: Ints, active: Ints, count: int, x: float, y: float, z: float
) -> int:  # fmt: skip
    """Index of the capsule nearest to a point, blends left out."""
    best = FAR
    index = -1
    for j in range(count):
        g = active[j]
        for i in range(starts[g], starts[g + 1]):
            d = _capsule(capsules, i, x, y, z)
            if d < best:
                best = d
                index = i
    return index


@compiled
def _groups_on_ray(
    spheres: Floats, ox: float, oy: float, oz: float, dx: float, dy: float, dz: float,
    reach: float, active: Ints, field: Floats,
) -> tuple[int, float, float]:  # fmt: skip
    """Groups whose sphere, grown by `reach`, the ray meets: their count (ids in `active`) and the range of t.

    Leaving the others out is exact: the ray never comes near enough to them for a hit or a blend.
    """
    count = 0
    first = FAR
    last = 0.0
    for g in range(spheres.shape[0]):
        field[g] = FAR
        cx = spheres[g, 0] - ox
        cy = spheres[g, 1] - oy
        cz = spheres[g, 2] - oz
        t = cx * dx + cy * dy + cz * dz
        r = spheres[g, 3] + reach
        gap2 = cx * cx + cy * cy + cz * cz - t * t
        if gap2 < r * r:
            half = math.sqrt(r * r - gap2)
            if t + half > 0.0:
                active[count] = g
                count += 1
                first = min(first, t - half)
                last = max(last, t + half)
    return count, max(first, 0.0), last


@compiled
def _groups_near(
    spheres: Floats, x: float, y: float, z: float, reach: float, active: Ints, field: Floats
) -> int:  # fmt: skip
    """Groups whose sphere, grown by `reach`, holds a point: their count (ids in `active`)."""
    count = 0
    for g in range(spheres.shape[0]):
        field[g] = FAR
        dx = x - spheres[g, 0]
        dy = y - spheres[g, 1]
        dz = z - spheres[g, 2]
        r = spheres[g, 3] + reach
        if dx * dx + dy * dy + dz * dz < r * r:
            active[count] = g
            count += 1
    return count


@compiled
def trace_rays(
    capsules: Floats, starts: Ints, spheres: Floats, blends: Floats, links: Floats,
    directions: Floats, light: Floats, detail: float, cull: float, result: Floats,
) -> None:  # fmt: skip
    """Trace unit `directions` [N,3] from the origin; fill `result` [N,7] (PRIMITIVE is -1 where nothing is hit).

    `light` [3] is the unit direction to the key light, `detail` the size of occlusion and shadow features (cm),
    `cull` the distance beyond which a group's bounding sphere stands for it (at least the widest blend).
    """
    groups = spheres.shape[0]
    active = np.empty(groups, np.int64)
    field = np.empty(groups, np.float64)
    lx = light[0]
    ly = light[1]
    lz = light[2]
    for n in range(directions.shape[0]):
        result[n, PRIMITIVE] = -1.0
        dx = directions[n, 0]
        dy = directions[n, 1]
        dz = directions[n, 2]
        count, t, end = _groups_on_ray(spheres, 0.0, 0.0, 0.0, dx, dy, dz, 0.0, active, field)
        if count == 0:
            continue
        count, _first, _last = _groups_on_ray(spheres, 0.0, 0.0, 0.0, dx, dy, dz, cull, active, field)
        hit = False
        for _ in range(MAX_STEPS):
            d = _distance(capsules, starts, spheres, blends, links, active, count, field, dx * t, dy * t, dz * t, cull)
            if d < 0.0006 * t:
                hit = True
                break
            t += d * 0.92
            if t > end:
                break
        if not hit:
            continue
        x = dx * t
        y = dy * t
        z = dz * t
        count = _groups_near(spheres, x, y, z, 1.5 * detail + cull, active, field)
        result[n, DEPTH_ALONG_RAY] = t
        result[n, PRIMITIVE] = _nearest_capsule(capsules, starts, active, count, x, y, z)
        # Gradient on the corners of a tetrahedron.
        nx = 0.0
        ny = 0.0
        nz = 0.0
        for corner in range(4):
            sx = 1.0 if corner == 0 or corner == 3 else -1.0
            sy = 1.0 if corner >= 2 else -1.0
            sz = 1.0 if corner == 1 or corner == 3 else -1.0
            d = _distance(capsules, starts, spheres, blends, links, active, count, field,
                          x + 0.03 * sx, y + 0.03 * sy, z + 0.03 * sz, cull)  # fmt: skip
            nx += d * sx
            ny += d * sy
            nz += d * sz
        inverse = 1.0 / (math.sqrt(nx * nx + ny * ny + nz * nz) + 1e-9)
        nx *= inverse
        ny *= inverse
        nz *= inverse
        result[n, NORMAL_X] = nx
        result[n, NORMAL_Y] = ny
        result[n, NORMAL_Z] = nz
        occlusion = 0.0
        weight = 1.0
        for j in range(4):
            h = (0.12 + 0.42 * j) * detail
            d = _distance(capsules, starts, spheres, blends, links, active, count, field,
                          x + nx * h, y + ny * h, z + nz * h, cull)  # fmt: skip
            occlusion += (h - d) / detail * weight
            weight *= 0.6
        result[n, OCCLUSION] = min(1.0, max(0.0, 1.0 - 0.75 * occlusion))
        # Soft shadow: the narrowest passage along the way to the light.
        lit = 1.0 if nx * lx + ny * ly + nz * lz > -0.35 else 0.0
        if lit > 0.0:
            ox = x + nx * 0.08 * detail
            oy = y + ny * 0.08 * detail
            oz = z + nz * 0.08 * detail
            count, _first, _last = _groups_on_ray(spheres, ox, oy, oz, lx, ly, lz, cull, active, field)
            t = 0.25 * detail
            for _ in range(SHADOW_STEPS):
                d = _distance(capsules, starts, spheres, blends, links, active, count, field,
                              ox + lx * t, oy + ly * t, oz + lz * t, cull)  # fmt: skip
                lit = min(lit, 6.0 * d / t)
                if d < 0.005:
                    lit = 0.0
                    break
                t += max(d, 0.12 * detail)
                if t > 9.0 * detail:
                    break
        result[n, SHADOW] = max(0.0, lit)
