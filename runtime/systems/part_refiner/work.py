"""A photo under repair: each of its parts as it is to be drawn, and what was drawn, put back into it.

Knows nothing about networks, or about which other photos are repaired with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.diffusion.noise import part_seed
from handfirst.runtime.errors import PoseError
from handfirst.runtime.systems.part_refiner.capsule import draw_face, draw_hands
from handfirst.runtime.systems.part_refiner.crops import Rgb, paste
from handfirst.runtime.systems.part_refiner.finding import Finding, Part
from handfirst.runtime.systems.part_refiner.masks import Mask, part_masks
from handfirst.runtime.systems.part_refiner.refine import Drawing
from handfirst.runtime.systems.part_refiner.request import PartResult, RepairRequest, RepairResult
from handfirst.runtime.systems.part_refiner.settings import PartRefinerSettings

Likeness = Callable[[Rgb, Sequence[NDArray[np.float64]]], float]
"""How well a detector sees hands of these points in a picture uint8 [S, S, 3]: `pose.detect.hand_likeness`; raises a
PoseError where it cannot look."""


class Work:
    """One photo.

    Attributes:
        request, finding: a resolved request, and what of it is repaired.
        image: the photo as it stands.
        mask: where it may have changed.
        parts: what was made of it by now.
    """

    def __init__(self, request: RepairRequest, finding: Finding, settings: PartRefinerSettings) -> None:
        self.request = request
        self.finding = finding
        self.image: Rgb = request.image
        self.mask: Mask = np.zeros(request.image.shape[:2], np.bool_)
        self.parts: list[PartResult] = []
        self._warnings: list[str] = []
        self._settings = settings

    def drawing(self, part: Part) -> Drawing:
        """The part in its square: as it is in the photo now, and how it shall be."""
        kind, size = self._settings.part.kinds[part.kind], part.crop.size
        if self.request.pose_picture is not None:
            pose = part.crop.cut(self.request.pose_picture, beyond="black")
        else:
            known = [(part.crop.to_crop.apply(each.points), each.side) for each in part.seen if each.points is not None]
            drawn = [draw_face(points, size) for points, _ in known] if part.kind == "face" else []
            hands = [(points, side) for points, side in known if side is not None]
            pose = np.maximum.reduce([draw_hands(hands, size), *drawn])
        masks = part_masks(pose, kind)
        masks = masks if self._settings.drawn_by == "reference" else masks.whole
        return Drawing(part.crop.cut(self.image), pose, masks, part_seed(self.request.seed, part.name), kind.prompt)

    def put_back(self, made: PartResult, drawing: Drawing, likeness: Likeness) -> None:
        """Into the photo, unless it asks for a check and a detector sees the wanted hand worse in it than before."""
        if not drawing.masks.part.any():
            self._warnings.append(f"{made.name}: its pose picture shows nothing, so nothing of it is repaired")
            return
        if self.request.check and made.part.kind == "hand" and self._is_worse(made, likeness):
            self.parts.append(replace(made, kept=True))
            return
        dilated = drawing.masks.dilated
        fade = (
            round(self._settings.part.kinds[made.part.kind].dilation * len(dilated)) // 4
        )  # half of how far it reaches
        self.image, changed = paste(self.image, made.crop, made.after, dilated, fade)
        self.mask = self.mask | changed
        self.parts.append(made)

    def result(self, seconds: dict[str, float]) -> RepairResult:
        """The photo with everything that was met on the way."""
        return RepairResult(
            image=self.image,
            mask=self.mask,
            parts=tuple(self.parts),
            request=self.request,
            seconds=seconds,
            warnings=(*self.request.notes, *self._lines(), *self._warnings),
        )

    def _is_worse(self, made: PartResult, likeness: Likeness) -> bool:
        to_crop = made.crop.to_crop
        wanted = [to_crop.apply(each.points) for each in made.part.seen if each.points is not None]
        try:
            before, after = likeness(made.before, wanted), likeness(made.after, wanted)
        except PoseError as error:
            self._warnings.append(f"{made.name}: not checked ({error})")
            return False
        if after < before:
            self._warnings.append(
                f"{made.name}: left as it was; to the detector it is {before:.2f} like the wanted hand, "
                f"repaired {after:.2f}"
            )
        return after < before

    def _lines(self) -> tuple[str, ...]:
        """How many parts were found and repaired, and how many of these were put back as they had been."""
        first, *others = self.finding.lines
        if kept := sum(len(part.part.seen) for part in self.parts if part.kept):
            first = f"{first}; {kept} of them left as {'it was' if kept == 1 else 'they were'}"
        return first, *others
