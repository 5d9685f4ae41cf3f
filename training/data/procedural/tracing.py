"""Sphere tracing through the capsules of sdf.py: what each ray hits, with its normal, occlusion and shadow.

Rays travel in packets of LANES neighbours.
"""

import numpy as np

from handfirst.training.data.procedural.jit import compiled, inlined
from handfirst.training.data.procedural.sdf import (
    FAR,
    LANES,
    Floats,
    Ints,
    Packet,
    Shape,
    capsule_rows,
    groups_near,
    groups_on_rays,
    measure,
    nearest_capsules,
)

MAX_STEPS = 80
SHADOW_STEPS = 18
# Columns of the result of trace_rays.
DEPTH_ALONG_RAY, PRIMITIVE, NORMAL_X, NORMAL_Y, NORMAL_Z, OCCLUSION, SHADOW = range(7)
RESULT_COLUMNS = 7


@inlined
def _move(packet: Packet, origin: Floats, direction: Floats, t: Floats) -> None:
    """Put each lane's point `t` [L] along its ray [3,L]."""
    for axis in range(3):
        for n in range(len(t)):
            packet.point[axis, n] = origin[axis, n] + direction[axis, n] * t[n]


@compiled
def _march(shape: Shape, packet: Packet, origin: Floats, direction: Floats, t: Floats) -> None:
    """Walk the living lanes to what they hit, at `t` [L]; those that hit nothing die."""
    span = np.empty((2, len(t)))
    groups_on_rays(shape, packet, origin, direction, 0.0, span)
    t[:] = span[0]
    end = span[1].copy()
    walking = t < FAR
    packet.alive[:] = walking
    if not walking.any():
        return
    count = groups_on_rays(shape, packet, origin, direction, shape.cull, span)
    packet.alive[:] = False
    for _ in range(MAX_STEPS):
        _move(packet, origin, direction, t)
        measure(shape, packet, count)
        for n in range(len(t)):
            if walking[n]:
                packet.alive[n] = packet.distance[n] < 0.0006 * t[n]
                t[n] += 0.0 if packet.alive[n] else packet.distance[n] * 0.92
                walking[n] = not packet.alive[n] and t[n] <= end[n]
        if not walking.any():
            break


@compiled
def _normals(shape: Shape, packet: Packet, count: int, hit: Floats, normal: Floats) -> None:
    """Unit gradient `normal` [3,L] at `hit` [3,L], by the corners of a tetrahedron."""
    normal[:] = 0.0
    for corner in range(4):
        sx = 1.0 if corner == 0 or corner == 3 else -1.0
        sy = 1.0 if corner >= 2 else -1.0
        sz = 1.0 if corner == 1 or corner == 3 else -1.0
        for n in range(len(packet.alive)):
            packet.point[0, n] = hit[0, n] + 0.03 * sx
            packet.point[1, n] = hit[1, n] + 0.03 * sy
            packet.point[2, n] = hit[2, n] + 0.03 * sz
        measure(shape, packet, count)
        for n in range(len(packet.alive)):
            normal[0, n] += packet.distance[n] * sx
            normal[1, n] += packet.distance[n] * sy
            normal[2, n] += packet.distance[n] * sz
    normal /= np.sqrt(normal[0] ** 2 + normal[1] ** 2 + normal[2] ** 2) + 1e-9


@compiled
def _occlusion(
    shape: Shape, packet: Packet, count: int, hit: Floats, normal: Floats, detail: float, result: Floats
) -> None:  # fmt: skip
    """How open the sky is at `hit`, in `result` [L]: the room found along the normal."""
    total = np.zeros(len(result))
    weight = 1.0
    h = np.empty(len(result))
    for j in range(4):
        h[:] = (0.12 + 0.42 * j) * detail
        _move(packet, hit, normal, h)
        measure(shape, packet, count)
        total += (h - packet.distance) / detail * weight
        weight *= 0.6
    result[:] = np.minimum(1.0, np.maximum(0.0, 1.0 - 0.75 * total))


@compiled
def _shadow(
    shape: Shape, packet: Packet, hit: Floats, normal: Floats, light: Floats, detail: float, lit: Floats
) -> None:  # fmt: skip
    """How much of the key light reaches `hit`, in `lit` [L]: the narrowest passage along the way to it."""
    origin = hit + normal * 0.08 * detail
    direction = np.empty_like(hit)
    for axis in range(3):
        direction[axis] = light[axis]
    lit[:] = 0.0
    walking = packet.alive & (normal[0] * light[0] + normal[1] * light[1] + normal[2] * light[2] > -0.35)
    if not walking.any():
        return
    lit[walking] = 1.0
    packet.alive[:] = walking
    t = np.full(len(lit), 0.25 * detail)
    count = groups_on_rays(shape, packet, origin, direction, shape.cull, np.empty((2, len(lit))))
    for _ in range(SHADOW_STEPS):
        _move(packet, origin, direction, t)
        measure(shape, packet, count)
        for n in range(len(lit)):
            if walking[n]:
                d = packet.distance[n]
                lit[n] = max(0.0, min(lit[n], 6.0 * d / t[n])) if d >= 0.005 else 0.0
                t[n] += max(d, 0.12 * detail)
                walking[n] = d >= 0.005 and t[n] <= 9.0 * detail
        if not walking.any():
            break


@compiled
def trace_rays(
    capsules: Floats, starts: Ints, spheres: Floats, blends: Floats, links: Floats,
    directions: Floats, light: Floats, detail: float, cull: float, result: Floats,
) -> None:  # fmt: skip
    """Trace unit `directions` [N,3] from the origin; fill `result` [N,7] (PRIMITIVE is -1 where nothing is hit).

    `light` [3] is the unit direction to the key light, `detail` the size of occlusion and shadow features (cm),
    `cull` the distance beyond which a group's bounding sphere stands for it (at least the widest blend).
    """
    shape = Shape(capsule_rows(capsules), starts, spheres, blends, links, cull)
    groups = len(spheres)
    packet = Packet(
        np.empty(groups, np.int64), np.empty((groups, LANES)), np.empty((groups, LANES)), np.empty(LANES),
        np.empty(LANES), np.empty(LANES), np.empty((3, LANES)), np.empty(LANES, np.bool_),
    )  # fmt: skip
    eye, direction, hit, normal = np.zeros((3, LANES)), np.zeros((3, LANES)), np.empty((3, LANES)), np.empty((3, LANES))
    t, occlusion, lit = np.empty(LANES), np.empty(LANES), np.empty(LANES)
    index = np.empty(LANES, np.int64)
    result[:, PRIMITIVE] = -1.0
    for start in range(0, len(directions), LANES):
        size = min(LANES, len(directions) - start)
        direction[:, :size] = directions[start : start + size].T
        packet.alive[:] = np.arange(LANES) < size
        _march(shape, packet, eye, direction, t)
        if not packet.alive.any():
            continue
        _move(packet, eye, direction, t)
        hit[:] = packet.point
        count = groups_near(shape, packet, 1.5 * detail + cull)
        nearest_capsules(shape, packet, count, index)
        _normals(shape, packet, count, hit, normal)
        _occlusion(shape, packet, count, hit, normal, detail, occlusion)
        found = packet.alive.copy()
        _shadow(shape, packet, hit, normal, light, detail, lit)
        for n in range(LANES):
            if found[n]:
                row = result[start + n]
                row[DEPTH_ALONG_RAY] = t[n]
                row[PRIMITIVE] = index[n]
                row[NORMAL_X], row[NORMAL_Y], row[NORMAL_Z] = normal[0, n], normal[1, n], normal[2, n]
                row[OCCLUSION] = occlusion[n]
                row[SHADOW] = lit[n]
