"""The pinhole camera, and where it puts the scene."""

from dataclasses import dataclass

import numpy as np

from handfirst.training.data.procedural.geometry import Matrix, Vector


@dataclass(frozen=True)
class Camera:
    """A pinhole at the origin looking along -z; x right, y up, focal length and principal point in pixels."""

    focal: float
    cx: float
    cy: float

    def project(self, points: Vector) -> Vector:
        """Camera-space points [N,3] to pixels [N,2]."""
        return np.stack(
            [self.cx + self.focal * points[:, 0] / -points[:, 2], self.cy - self.focal * points[:, 1] / -points[:, 2]],
            axis=1,
        )

    def directions(self, pixels: Vector) -> Vector:
        """Unit rays [N,3] through pixels [N,2]."""
        rays = np.stack(
            [
                (pixels[:, 0] - self.cx) / self.focal,
                -(pixels[:, 1] - self.cy) / self.focal,
                np.full(len(pixels), -1.0),
            ],
            axis=1,
        )
        return np.asarray(rays / np.linalg.norm(rays, axis=1, keepdims=True), dtype=np.float64)


@dataclass(frozen=True)
class Placement:
    """Scene to camera: camera = rotation @ scene + translation."""

    rotation: Matrix
    translation: Vector

    def to_camera(self, points: Vector) -> Vector:
        """Scene points [N,3] to camera space."""
        return np.asarray(points @ self.rotation.T + self.translation, dtype=np.float64)

    def to_scene(self, points: Vector) -> Vector:
        """Camera points [N,3] to scene space."""
        return np.asarray((points - self.translation) @ self.rotation, dtype=np.float64)
