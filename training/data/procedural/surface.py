"""The scene packed for the tracer, and the surface samples that come back."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from handfirst.training.data.procedural import tracing
from handfirst.training.data.procedural.camera import Camera, Placement
from handfirst.training.data.procedural.geometry import Vector
from handfirst.training.data.procedural.scene import Link, Part, Scene

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class PackedScene:
    """The scene in camera space as arrays for the tracer, with one row of attributes a capsule."""

    scene: Scene
    placement: Placement
    capsules: Floats  # [C,12]
    starts: Ints
    spheres: Floats
    blends: Floats
    links: Floats
    part: Ints  # [C]
    owner: Ints  # [C]
    frame: Ints  # [C]
    dorsal: Floats  # [C,3], camera space
    tip: Ints  # [C] index of the fingertip capsule whose nail a tip or pad carries, -1 elsewhere
    along: Floats  # [C,2]


def pack(scene: Scene, placement: Placement) -> PackedScene:
    """Move `scene` to camera space and lay it out for the tracer."""
    capsules = scene.capsules
    rows = np.array([[*c.a, *c.b, c.ra, c.rb, *c.axis, c.squash] for c in capsules])
    rows[:, 0:3] = placement.to_camera(rows[:, 0:3])
    rows[:, 3:6] = placement.to_camera(rows[:, 3:6])
    rows[:, 8:11] = rows[:, 8:11] @ placement.rotation.T
    starts = np.cumsum([0, *(len(group.capsules) for group in scene.groups)])
    tip = np.full(len(capsules), -1)
    last = -1
    for i, capsule in enumerate(capsules):
        last = i if capsule.nail else last
        if capsule.nail or capsule.part == Part.PAD:
            tip[i] = last
    return PackedScene(
        scene=scene,
        placement=placement,
        capsules=rows,
        starts=starts.astype(np.int64),
        spheres=np.array([_bounding_sphere(rows[i:j]) for i, j in pairwise(starts)]),
        blends=np.array([group.blend for group in scene.groups]),
        links=np.array([_link_row(group.link, placement) for group in scene.groups]),
        part=np.array([int(c.part) for c in capsules]),
        owner=np.array([int(c.owner) for c in capsules]),
        frame=np.array([c.frame for c in capsules]),
        dorsal=np.array([c.dorsal for c in capsules]) @ placement.rotation.T,
        tip=tip,
        along=np.array([c.along for c in capsules]),
    )


def _bounding_sphere(rows: Floats) -> Floats:
    """x y z r of a sphere around capsule rows [n,12]."""
    radii = rows[:, 6:8] / np.minimum(1.0, rows[:, 11:12])
    points = np.concatenate([rows[:, 0:3], rows[:, 3:6]])
    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    reach = np.linalg.norm(points - centre, axis=1) + np.concatenate([radii[:, 0], radii[:, 1]])
    return np.array([*centre, reach.max() + 0.05])


def _link_row(link: Link | None, placement: Placement) -> list[float]:
    if link is None:
        return [-1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    anchor = placement.to_camera(link.anchor[None])[0]
    return [float(link.parent), *map(float, anchor), link.near, link.falloff, link.far]


@dataclass(frozen=True)
class Surface:
    """N surface samples (the G-buffer): what the rays that hit something found. `ray` [N] indexes the rays traced."""

    packed: PackedScene
    ray: Ints
    position: Floats  # [N,3] camera space
    local: Floats  # [N,3] scene space
    normal: Floats  # [N,3] camera space
    primitive: Ints
    occlusion: Floats  # 1 = open
    shadow: Floats  # 1 = lit

    @property
    def part(self) -> Ints:
        """Part of each sample [N]."""
        return self.packed.part[self.primitive]

    @property
    def depth(self) -> Floats:
        """Distance from the camera plane [N] (cm)."""
        return -self.position[:, 2]

    def is_part(self, *parts: Part) -> Bools:
        """Which samples belong to one of `parts` [N]."""
        return np.isin(self.part, [int(p) for p in parts])

    def in_frame(self, index: int, where: Bools) -> Floats:
        """Local coordinates of the samples `where`, in frame `index`."""
        return self.packed.scene.frames[index].local(self.local[where])


def trace(packed: PackedScene, camera: Camera, pixels: Floats, light: Vector, detail: float, cull: float) -> Surface:
    """Shoot one ray through each of `pixels` [M,2]; see `tracing.trace_rays` for `detail` and `cull`."""
    directions = camera.directions(pixels)
    result = np.zeros((len(pixels), tracing.RESULT_COLUMNS))
    tracing.trace_rays(
        packed.capsules, packed.starts, packed.spheres, packed.blends, packed.links,
        directions, light, detail, cull, result,
    )  # fmt: skip
    ray = np.nonzero(result[:, tracing.PRIMITIVE] >= 0)[0]
    hits = result[ray]
    position = directions[ray] * hits[:, tracing.DEPTH_ALONG_RAY, None]
    return Surface(
        packed=packed,
        ray=ray,
        position=position,
        local=packed.placement.to_scene(position),
        normal=hits[:, tracing.NORMAL_X : tracing.NORMAL_Z + 1],
        primitive=hits[:, tracing.PRIMITIVE].astype(np.int64),
        occlusion=hits[:, tracing.OCCLUSION],
        shadow=hits[:, tracing.SHADOW],
    )
