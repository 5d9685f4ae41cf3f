"""How one person's hand looks, whatever it does: skin, build and sleeve; and the picture of a scene of such hands."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handfirst.training.data.procedural.background import Background
from handfirst.training.data.procedural.camera import Camera, Placement
from handfirst.training.data.procedural.geometry import pick
from handfirst.training.data.procedural.hand import HandShape
from handfirst.training.data.procedural.lighting import Lighting
from handfirst.training.data.procedural.outfit import Cloth
from handfirst.training.data.procedural.paint import Paint
from handfirst.training.data.procedural.palette import random_colour
from handfirst.training.data.procedural.render import Picture, Quality, render
from handfirst.training.data.procedural.scene import Part, Scene
from handfirst.training.data.procedural.skin import Skin
from handfirst.training.data.procedural.surface import Surface, pack


@dataclass(frozen=True)
class HandLook:
    """Skin, sleeve, and the shape of a right hand at the origin."""

    skin: Skin
    sleeve: Cloth
    shape: HandShape

    @staticmethod
    def draw(rng: np.random.Generator) -> "HandLook":
        """Anybody's."""
        skin = Skin.draw(rng)
        sleeve = Cloth.draw(rng, random_colour(rng), pick(rng, ("plain", "striped"), (0.8, 0.2)), 1.2, 0.12)
        sleeved = bool(rng.uniform() < 0.5)
        shape = HandShape(
            axes=np.eye(3),
            origin=np.zeros(3),
            left=False,
            fat=float(rng.uniform(0.9, 1.1)),
            forearm=16.0,
            wrist_flexion=float(rng.uniform(-25, 25)),
            wrist_deviation=float(rng.uniform(-12, 12)),
            sleeve_from=float(rng.uniform(0.3, 3.0)) if sleeved else None,
            sleeve_width=float(rng.uniform(0.25, 0.7)),
        )
        return HandLook(skin, sleeve, shape)

    def paint(self, surface: Surface, paint: Paint) -> None:
        """Skin everywhere, and the sleeve over it."""
        self.skin.apply(surface, paint)
        cloth = surface.is_part(Part.SLEEVE)
        if cloth.any():
            self.sleeve.apply(surface, paint, cloth, surface.local[cloth])


@dataclass(frozen=True)
class Shot:
    """All that a picture of hands needs beside the scene; `grain` [S,S,3] is the sensor's noise."""

    camera: Camera
    placement: Placement
    lighting: Lighting
    background: Background
    grain: NDArray[np.float64]

    def picture(self, scene: Scene, look: HandLook, supersample: int = 2) -> Picture:
        """Of the size of the grain."""
        packed = pack(scene, self.placement)
        quality = Quality(1.0, 1.5, supersample)
        return render(packed, self.camera, self.lighting, look.paint, self.background.image, quality, self.grain)
