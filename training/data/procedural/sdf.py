"""Signed distance of grouped tapered capsules, to a packet of points at once.

Arrays (C capsules in G groups, camera space, centimetres):
  capsules [C,12]  ax ay az  bx by bz  ra rb  nx ny nz  squash   (flattened `squash` times along n)
  starts   [G+1]   first capsule of each group
  spheres  [G,4]   bounding sphere x y z r of each group
  blends   [G]     smooth-union width inside the group
  links    [G,7]   parent group (-1: none), anchor x y z, blend width at the anchor, fall-off length, width far away
A group's parent comes before it.

Points come in packets of LANES neighbours: each capsule is read once a packet, and the compiler turns the innermost
loops, over the lanes, into vector instructions. A lane's numbers depend on no other lane of its packet.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from handfirst.training.data.procedural.jit import compiled, inlined

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

FAR = 1e9
LANES = 16


class Shape(NamedTuple):
    """What the rays meet: `rows` of `capsule_rows`, the other arrays as above, and the culling distance."""

    rows: Floats
    starts: Ints
    spheres: Floats
    blends: Floats
    links: Floats
    cull: float


class Packet(NamedTuple):
    """Scratch of a packet: the groups that any lane needs, and a column a lane of L.

    `reach` is 0 where a lane needs a group and FAR where it does not; added to a distance, it leaves the group out.
    """

    active: Ints  # [G], the first so many
    reach: Floats  # [G,L]
    field: Floats  # [G,L] distances of the groups, blends with parents left out
    bound: Floats  # [L]
    group: Floats  # [L]
    distance: Floats  # [L], the result of `measure`
    point: Floats  # [3,L], where `measure` looks
    alive: Bools  # [L]


@compiled
def capsule_rows(capsules: Floats) -> Floats:
    """What `_add_capsule` needs of each capsule, divisions done.

    [C,14]: ax ay az  bx-ax by-ay bz-az  1/length^2  nx ny nz  stretch of (q.n)^2  ra  rb-ra  1/max(1,squash)
    """
    rows = np.empty((capsules.shape[0], 14))
    for i in range(capsules.shape[0]):
        squash = capsules[i, 11]
        length2 = 0.0
        normal2 = 0.0
        for j in range(3):
            rows[i, j] = capsules[i, j]
            rows[i, 3 + j] = capsules[i, 3 + j] - capsules[i, j]
            rows[i, 7 + j] = capsules[i, 8 + j]
            length2 += rows[i, 3 + j] ** 2
            normal2 += rows[i, 7 + j] ** 2
        rows[i, 6] = 1.0 / (length2 + 1e-9)
        # The square of q + n (q.n)(squash - 1) is that of q and this many times (q.n)^2.
        rows[i, 10] = 2.0 * (squash - 1.0) + normal2 * (squash - 1.0) ** 2
        rows[i, 11] = capsules[i, 6]
        rows[i, 12] = capsules[i, 7] - capsules[i, 6]
        rows[i, 13] = 1.0 / max(1.0, squash)
    return rows


@inlined
def _smooth_min(a: float, b: float, k: float) -> float:
    """Polynomial smooth minimum with blend width `k`, without a branch."""
    h = max(k - abs(a - b), 0.0)
    return min(a, b) - h * h * (0.25 / max(k, 1e-6))


@inlined
def _add_capsule(row: Floats, point: Floats, k: float, group: Floats) -> None:
    """Blend a capsule's signed distance (a lower bound where it is flattened) into `group` [L] with width `k`."""
    ax, ay, az, bx, by, bz, inverse = row[0], row[1], row[2], row[3], row[4], row[5], row[6]
    nx, ny, nz, stretch, radius, taper, share = row[7], row[8], row[9], row[10], row[11], row[12], row[13]
    for n in range(len(group)):
        qx = point[0, n] - ax
        qy = point[1, n] - ay
        qz = point[2, n] - az
        h = min(1.0, max(0.0, (qx * bx + qy * by + qz * bz) * inverse))
        qx -= bx * h
        qy -= by * h
        qz -= bz * h
        f = qx * nx + qy * ny + qz * nz
        d = (math.sqrt(qx * qx + qy * qy + qz * qz + stretch * f * f) - radius - taper * h) * share
        group[n] = _smooth_min(group[n], d, k)


@compiled
def measure(shape: Shape, packet: Packet, count: int) -> None:
    """Signed distance of the union of the first `count` active groups at each lane's point."""
    lanes = len(packet.distance)
    point, bound, group, distance = packet.point, packet.bound, packet.group, packet.distance
    for n in range(lanes):
        distance[n] = FAR
    for j in range(count):
        g = packet.active[j]
        field, reach = packet.field[g], packet.reach[g]
        cx, cy, cz, radius = shape.spheres[g, 0], shape.spheres[g, 1], shape.spheres[g, 2], shape.spheres[g, 3]
        nearest = FAR
        for n in range(lanes):
            dx = point[0, n] - cx
            dy = point[1, n] - cy
            dz = point[2, n] - cz
            bound[n] = math.sqrt(dx * dx + dy * dy + dz * dz) - radius + reach[n]
            nearest = min(nearest, bound[n])
        if nearest > shape.cull:
            for n in range(lanes):
                field[n] = bound[n]
                distance[n] = min(distance[n], bound[n])
            continue
        for n in range(lanes):
            group[n] = FAR
        for i in range(shape.starts[g], shape.starts[g + 1]):
            _add_capsule(shape.rows[i], point, shape.blends[g], group)
        for n in range(lanes):
            group[n] = bound[n] if bound[n] > shape.cull else group[n]
            field[n] = group[n]
        if shape.links[g, 0] >= 0:
            _blend_with_parent(shape, packet, shape.links[g])
        for n in range(lanes):
            distance[n] = min(distance[n], group[n])


@inlined
def _blend_with_parent(shape: Shape, packet: Packet, link: Floats) -> None:
    """Blend the distances in `packet.group` with those of the link's parent, where they are near enough."""
    parent = packet.field[int(link[0])]
    widest = max(link[4], link[6])
    for n in range(len(parent)):
        if packet.bound[n] <= shape.cull and abs(packet.group[n] - parent[n]) < widest:
            ex = packet.point[0, n] - link[1]
            ey = packet.point[1, n] - link[2]
            ez = packet.point[2, n] - link[3]
            k = link[6] + (link[4] - link[6]) * math.exp(-(ex * ex + ey * ey + ez * ez) / (link[5] * link[5]))
            packet.group[n] = _smooth_min(packet.group[n], parent[n], k)


@compiled
def nearest_capsules(shape: Shape, packet: Packet, count: int, index: Ints) -> None:
    """Set `index` [L] to the capsule nearest to each lane's point, blends left out."""
    nearest, d = packet.distance, packet.group
    nearest[:] = FAR
    for j in range(count):
        g = packet.active[j]
        for i in range(shape.starts[g], shape.starts[g + 1]):
            d[:] = FAR
            _add_capsule(shape.rows[i], packet.point, 0.0, d)
            for n in range(len(d)):
                if d[n] + packet.reach[g, n] < nearest[n]:
                    nearest[n] = d[n] + packet.reach[g, n]
                    index[n] = i


@compiled
def groups_on_rays(
    shape: Shape, packet: Packet, origin: Floats, direction: Floats, grow: float, span: Floats
) -> int:  # fmt: skip
    """Choose the groups whose sphere, grown by `grow`, a lane's ray [3,L] meets: their count; `span` [2,L] of t.

    Leaving the others out is exact: the ray never comes near enough to them for a hit or a blend.
    """
    count = 0
    span[0, :] = FAR
    span[1, :] = 0.0
    for g in range(len(shape.spheres)):
        needed = False
        for n in range(len(packet.alive)):
            packet.reach[g, n] = FAR
            packet.field[g, n] = FAR
            cx = shape.spheres[g, 0] - origin[0, n]
            cy = shape.spheres[g, 1] - origin[1, n]
            cz = shape.spheres[g, 2] - origin[2, n]
            t = cx * direction[0, n] + cy * direction[1, n] + cz * direction[2, n]
            r = shape.spheres[g, 3] + grow
            gap2 = cx * cx + cy * cy + cz * cz - t * t
            half = math.sqrt(max(r * r - gap2, 0.0))
            if packet.alive[n] and gap2 < r * r and t + half > 0.0:
                packet.reach[g, n] = 0.0
                span[0, n] = max(0.0, min(span[0, n], t - half))
                span[1, n] = max(span[1, n], t + half)
                needed = True
        if needed:
            packet.active[count] = g
            count += 1
    return count


@compiled
def groups_near(shape: Shape, packet: Packet, grow: float) -> int:
    """Choose the groups whose sphere, grown by `grow`, holds a living lane's point: their count."""
    count = 0
    for g in range(len(shape.spheres)):
        needed = False
        for n in range(len(packet.alive)):
            packet.field[g, n] = FAR
            dx = packet.point[0, n] - shape.spheres[g, 0]
            dy = packet.point[1, n] - shape.spheres[g, 1]
            dz = packet.point[2, n] - shape.spheres[g, 2]
            r = shape.spheres[g, 3] + grow
            near = packet.alive[n] and dx * dx + dy * dy + dz * dz < r * r
            packet.reach[g, n] = 0.0 if near else FAR
            needed = needed or near
        if needed:
            packet.active[count] = g
            count += 1
    return count
