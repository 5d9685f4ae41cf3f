"""Head and neck: the skull's capsules, the ears, and where the 68 face points lie on them.

Head frame: that of an upright body whose shoulders are at y = -3: chin near y = 11.5, crown near y = 31, face
towards z, centimetres. The person's left is +x.
"""

import numpy as np
from numpy.typing import NDArray

from handfirst.training.data.procedural.geometry import Vector, X, vector
from handfirst.training.data.procedural.scene import Capsule, Frame, Link, Part, Scene

Floats = NDArray[np.float64]

EYE_X, EYE_Y, MOUTH_Y, BROW_Y = 3.2, 20.8, 15.0, 22.65
HEAD_PIVOT: Vector = vector(0.0, 8.0, 0.0)  # the head turns about it
SKULL_BLEND, NOSE_BLEND = 3.0, 0.8


def skull() -> list[Capsule]:
    """Cranium, jaw, cheeks, brow, chin and mouth in the head frame."""
    face = Part.FACE
    return [
        Capsule(vector(0, 23.0, -2.5), vector(0, 23.0, 1.8), 8.3, 8.0, face, axis=X, squash=1.10),
        Capsule(vector(0, 18, 1.5), vector(0, 14.2, 4.6), 6.6, 3.5, face, axis=X, squash=1.02),
        Capsule(vector(-2.6, 17.6, 5.0), vector(2.6, 17.6, 5.0), 3.4, 3.4, face),
        Capsule(vector(-3.3, 22.6, 7.4), vector(3.3, 22.6, 7.4), 1.7, 1.7, face),
        Capsule(vector(0, 13.4, 6.6), vector(0, 13.0, 6.4), 2.0, 2.0, face),
        Capsule(vector(-1.0, 15.0, 7.3), vector(1.0, 15.0, 7.3), 1.35, 1.35, face),
    ]


def nose() -> list[Capsule]:
    """Bridge and wings of the nose in the head frame."""
    return [
        Capsule(vector(0, 21.2, 8.7), vector(0, 17.9, 10.2), 0.75, 1.15, Part.FACE),
        Capsule(vector(-0.95, 17.5, 9.5), vector(0.95, 17.5, 9.5), 0.75, 0.75, Part.FACE),
    ]


def ear(side: float) -> list[Capsule]:
    """One ear in the head frame; `side` is +1 for the person's left."""
    axis = vector(1.0, 0.0, 0.3)
    return [
        Capsule(vector(side * 7.3, 20.6, -0.6), vector(side * 7.2, 18.6, 0.0), 1.9, 1.4, Part.SKIN, axis, squash=1.9)
    ]


def add_head(scene: Scene, frame: Frame, torso: int) -> None:
    """Neck, skull, nose and ears, blended from the torso up."""
    index = scene.add_frame(frame)
    neck = Capsule(vector(0, 1, -1.5), frame.point(vector(0, 14, -1.0)), 5.4, 4.9, Part.SKIN)
    neck_group = scene.add([neck], 0.1, Link(torso, np.zeros(3), 0.3, 8.0, 0.2))
    chin = Link(neck_group, frame.point(vector(0, 12, -1)), 1.5, 6.0, 0.3)
    head = scene.add(in_frame(skull(), frame, index), SKULL_BLEND, chin)
    bridge = Link(head, frame.point(vector(0, 20, 9)), 1.3, 6.0, 1.2)
    scene.add(in_frame(nose(), frame, index), NOSE_BLEND, bridge)
    for side in (1.0, -1.0):
        root = Link(head, frame.point(vector(side * 7, 19.5, 0)), 0.5, 3.0, 0.3)
        scene.add(in_frame(ear(side), frame, index), 0.3, root)


def in_frame(capsules: list[Capsule], frame: Frame, index: int) -> list[Capsule]:
    """Capsules of the head frame moved to the scene, remembering their frame."""
    return [
        Capsule(
            frame.point(c.a), frame.point(c.b), c.ra, c.rb, c.part,
            axis=frame.axes @ c.axis, squash=c.squash, frame=index,
        )
        for c in capsules
    ]  # fmt: skip


def face_points() -> Floats:
    """The 68 face points [68,3] of the 300-W / COCO-WholeBody order, in the head frame."""
    flat = np.array([*_jaw(), *_brows(), *_nose_points(), *_eyes(), *_mouth()])
    return np.column_stack([flat, _front_of_head(flat)])


def body_face_points(face: Floats) -> Floats:
    """COCO's nose, left eye, right eye, left ear, right ear [5,3] from the 68 `face` points."""
    return np.array(
        [
            face[30],
            [EYE_X, EYE_Y, face[42:48, 2].mean()],
            [-EYE_X, EYE_Y, face[36:42, 2].mean()],
            [7.6, 19.5, -0.5],
            [-7.6, 19.5, -0.5],
        ]
    )


def _jaw() -> list[tuple[float, float]]:
    """17 points of the jaw from the person's right ear round the chin to the left one."""
    points = []
    for i in range(17):
        a = np.pi * (1 - i / 16)
        narrow = 1 - 0.22 * np.sin(a) ** 3 * abs(np.cos(a))
        points.append((7.2 * np.cos(a) * narrow, 20.5 - 9.3 * abs(np.sin(a)) ** 0.9))
    return points


def _brows() -> list[tuple[float, float]]:
    right = [-5.2, -4.3, -3.2, -2.1, -1.2]
    return [(x, 22.7 + 0.55 * (1 - ((abs(x) - EYE_X) / 2) ** 2)) for x in [*right, *(-x for x in reversed(right))]]


def _nose_points() -> list[tuple[float, float]]:
    wings = [(x, 16.9 - 0.25 * (1 - abs(x) / 1.3)) for x in (-1.3, -0.7, 0.0, 0.7, 1.3)]
    return [(0.0, y) for y in (21.0, 20.0, 19.0, 18.0)] + wings


def _eyes() -> list[tuple[float, float]]:
    outline = ((-1.45, 0), (-0.6, 0.55), (0.6, 0.55), (1.45, 0), (0.6, -0.45), (-0.6, -0.45))
    return [(x + dx, EYE_Y + dy) for x in (-EYE_X, EYE_X) for dx, dy in outline]


def _mouth() -> list[tuple[float, float]]:
    outer = ((-2.4, 0), (-1.5, 0.5), (-0.6, 0.75), (0, 0.65), (0.6, 0.75), (1.5, 0.5),
             (2.4, 0), (1.5, -0.6), (0.7, -0.95), (0, -1.0), (-0.7, -0.95), (-1.5, -0.6))  # fmt: skip
    inner = ((-2.0, 0), (-0.8, 0.1), (0, 0.08), (0.8, 0.1), (2.0, 0), (0.8, -0.12), (0, -0.15), (-0.8, -0.12))
    return [(x, MOUTH_Y + y) for x, y in (*outer, *inner)]


def _front_of_head(flat: Floats) -> Floats:
    """First z [N] at which a line from the front at `flat` [N,2] meets the head; 2 where it misses."""
    steps = np.arange(13.0, -2.0, -0.1)
    points = np.column_stack([np.repeat(flat, len(steps), axis=0), np.tile(steps, len(flat))])
    distance = np.minimum(_union(skull(), SKULL_BLEND, points), _union(nose(), NOSE_BLEND, points))
    inside = distance.reshape(len(flat), len(steps)) < 0
    return np.where(inside.any(axis=1), steps[np.argmax(inside, axis=1)], 2.0)


def _union(capsules: list[Capsule], blend: float, points: Vector) -> Floats:
    """Signed distance [N] of smoothly joined capsules: the tracer's formula for whole arrays."""
    total = np.full(len(points), 1e9)
    for c in capsules:
        bone, offset = c.b - c.a, points - c.a
        h = np.clip(offset @ bone / (bone @ bone + 1e-9), 0, 1)
        q = offset - h[:, None] * bone
        q = q + (q @ c.axis)[:, None] * c.axis * (c.squash - 1)
        distance = (np.linalg.norm(q, axis=1) - (c.ra + (c.rb - c.ra) * h)) / max(1.0, c.squash)
        overlap = np.maximum(blend - np.abs(total - distance), 0) / blend
        total = np.minimum(total, distance) - overlap * overlap * blend * 0.25
    return total
