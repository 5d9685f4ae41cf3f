"""From an example to everything that one sample of a batch needs, randomness included: NumPy arrays, no network.

Pose pictures, foregrounds, rings and what is masked are the runtime's own, so that what is trained is what is served.
All that is drawn for a sample comes from one generator.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from handfirst.engines.errors import UserError
from handfirst.runtime.pose.topology import FACE, SIDES
from handfirst.runtime.systems.part_refiner.capsule import draw_face, draw_hands
from handfirst.runtime.systems.part_refiner.masks import foreground, masked, part_mask, part_masks
from handfirst.runtime.systems.part_refiner.settings import Kind, KindSettings, PartRefinerSettings
from handfirst.training.data.augment import Colours, recolour
from handfirst.training.data.example import Example, fit
from handfirst.training.data.record import to_person
from handfirst.training.loop.samples import Sample
from handfirst.training.systems.part_refiner.options import InpaintOptions, RefineOptions

Rgb = NDArray[np.uint8]
POSE = "pose"
"""Of an example's further pictures: its pose picture, where it is not drawn from key points."""
PART = "part"
"""Of an example's attributes: hand or face; hand where it says nothing."""


@dataclass(frozen=True)
class RefineSamples:
    """Stage 1, on pairs: the example is what shall be drawn, its other one the reference.

    rgb, reference uint8 [S, S, 3], the part on black; pose, reference_pose uint8 [S, S, 3]; picture float32 [3, s, s];
    referenced float32 []; eps float32 [C, h, w]; t int64 [].
    """

    settings: PartRefinerSettings
    options: RefineOptions

    def draw(self, example: Example, rng: np.random.Generator) -> Sample:
        t = int(rng.integers(self.settings.schedule.train_steps))
        referenced = bool(rng.random() >= self.options.reference_dropout)
        return self._sample(example, rng, t, referenced, self.options.colours)

    def fix(self, example: Example, rng: np.random.Generator, t: int) -> Sample:
        return self._sample(example, rng, t, True, None)

    def _sample(
        self, example: Example, rng: np.random.Generator, t: int, referenced: bool, colours: Colours | None
    ) -> Sample:
        if example.other is None:
            raise UserError(f"{example.key}: expected a pair, got one picture; 'handfirst data pairs' makes pairs")
        settings, kind = self.settings, kind_of(example, self.settings)
        fitted = fit(example, settings.part.size)
        other = fitted.other
        assert other is not None
        seed = int(rng.integers(1 << 32))
        poses = [pose_picture(each, kind) for each in (fitted, other)]
        parts = [part_mask(pose, of(settings, kind).mask_threshold) for pose in poses]
        target, reference = (
            foreground(_recoloured(each.rgb, colours, seed), part)
            for each, part in zip((fitted, other), parts, strict=True)
        )
        picture = encoder_picture(reference, settings)
        return {
            "rgb": target,
            "reference": reference,
            "pose": poses[0],
            "reference_pose": poses[1],
            "picture": picture if referenced else np.zeros_like(picture),
            "referenced": np.array(referenced, np.float32),
            "eps": noise(rng, settings),
            "t": np.array(t),
        }


@dataclass(frozen=True)
class InpaintSamples:
    """Stage 2, on any crops.

    rgb uint8 [S, S, 3]; masked uint8 [S, S, 3], the part inside, grey in the ring; ring uint8 [1, h, w]; dilated uint8
    [S, S]; told bool []; kind int64 [], its place among the settings' kinds; eps float32 [C, h, w]; t int64 [].
    """

    settings: PartRefinerSettings
    options: InpaintOptions

    def draw(self, example: Example, rng: np.random.Generator) -> Sample:
        t = int(rng.integers(self.settings.schedule.train_steps))
        told = bool(rng.random() >= self.options.text_dropout)
        kind = kind_of(example, self.settings)
        ring = self._ring(of(self.settings, kind), rng)
        fitted = fit(example, self.settings.part.size)
        rgb = recolour(fitted.rgb, self.options.colours, rng)
        refined = shifted(recolour(rgb, self.options.seam_colours, rng), self.options.seam_shift, rng)
        return self._sample(fitted, rgb, refined, kind, ring, rng, t, told)

    def fix(self, example: Example, rng: np.random.Generator, t: int) -> Sample:
        kind = kind_of(example, self.settings)
        fitted = fit(example, self.settings.part.size)
        return self._sample(fitted, fitted.rgb, fitted.rgb, kind, of(self.settings, kind), rng, t, True)

    def _ring(self, kind: KindSettings, rng: np.random.Generator) -> KindSettings:
        out, inwards = rng.uniform(*self.options.ring, 2).tolist()
        return kind.model_copy(update={"dilation": kind.dilation * out, "erosion": kind.erosion * inwards})

    def _sample(
        self, example: Example, rgb: Rgb, refined: Rgb, kind: Kind, ring: KindSettings, rng: np.random.Generator,
        t: int, told: bool,
    ) -> Sample:  # fmt: skip
        masks, factor = part_masks(pose_picture(example, kind), ring), self.settings.latent.factor
        return {
            "rgb": rgb,
            "masked": masked(rgb, refined, masks),
            "ring": masks.ring[None, ::factor, ::factor].astype(np.uint8),
            "dilated": masks.dilated.astype(np.uint8),
            "told": np.array(told),
            "kind": np.array(list(self.settings.part.kinds).index(kind)),
            "eps": noise(rng, self.settings),
            "t": np.array(t),
        }


def kind_of(example: Example, settings: PartRefinerSettings) -> Kind:
    """Which kind of part an example shows.

    Raises:
        UserError: one that the model is not for.
    """
    found = example.attributes.get(PART, "hand")
    for kind in settings.part.kinds:
        if kind == found:
            return kind
    raise UserError(f"{example.key}: expected a part of {' or '.join(settings.part.kinds)}, got {found!a:.40}")


def of(settings: PartRefinerSettings, kind: Kind) -> KindSettings:
    """What the settings say about a kind."""
    return settings.part.kinds[kind]


def pose_picture(example: Example, kind: Kind) -> Rgb:
    """The example's own, or one drawn from its key points: uint8 [S, S, 3]."""
    if POSE in example.pictures:
        own = example.pictures[POSE]
        return own if own.ndim == 3 else np.repeat(own[..., None], 3, 2)
    person, size = to_person(example.keypoints), len(example.rgb)
    if kind == "face":
        return draw_face(person.points[FACE], size)
    return draw_hands([(person.hand(side), side) for side in SIDES if person.has_hand(side)], size)


def on_black(example: Example, settings: PartRefinerSettings) -> Rgb:
    """The example's part as the first stage sees and paints it: uint8 [S, S, 3]."""
    kind = kind_of(example, settings)
    return foreground(example.rgb, part_mask(pose_picture(example, kind), of(settings, kind).mask_threshold))


def encoder_picture(reference: Rgb, settings: PartRefinerSettings) -> NDArray[np.float32]:
    """The reference on black, uint8 [S, S, 3] -> what the image encoder takes, float32 [3, s, s]."""
    encoder = settings.image_encoder
    small = cv2.resize(reference, (encoder.size, encoder.size), interpolation=cv2.INTER_AREA)
    colours = small.astype(np.float32) / np.float32(255)
    normal = (colours - np.array(encoder.mean, np.float32)) / np.array(encoder.std, np.float32)
    return np.ascontiguousarray(normal.transpose(2, 0, 1))


def shifted(rgb: Rgb, most: float, rng: np.random.Generator) -> Rgb:
    """Moved by up to `most` of its side, its edge going on; draws two numbers whatever `most` is."""
    dx, dy = np.rint(rng.uniform(-most, most, 2) * len(rgb)).astype(int).tolist()
    if not dx and not dy:
        return rgb
    move = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
    return np.asarray(cv2.warpAffine(rgb, move, rgb.shape[:2], borderMode=cv2.BORDER_REPLICATE), np.uint8)


def noise(rng: np.random.Generator, settings: PartRefinerSettings) -> NDArray[np.float32]:
    """Standard normal, the shape of a crop's latents: float32 [C, h, w]."""
    return rng.standard_normal((settings.latent.channels, settings.cells, settings.cells), dtype=np.float32)


def _recoloured(rgb: Rgb, colours: Colours | None, seed: int) -> Rgb:
    """Both pictures of a pair change alike."""
    return rgb if colours is None else recolour(rgb, colours, np.random.default_rng(seed))
