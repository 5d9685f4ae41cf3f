"""The same hand twice: the same person's, in the same or in another pose, the second time malformed or not.

What a part refiner learns from: the second picture is what it is shown, the first what it shall draw.
"""

from dataclasses import dataclass, replace

import numpy as np

from handfirst.training.data.example import Example
from handfirst.training.data.procedural.background import draw_background
from handfirst.training.data.procedural.caption import hand_caption
from handfirst.training.data.procedural.geometry import Vector
from handfirst.training.data.procedural.gestures import GESTURES, Gesture
from handfirst.training.data.procedural.lighting import Lighting
from handfirst.training.data.procedural.look import HandLook, Shot
from handfirst.training.data.procedural.malformed import Faults, MalformedHand, draw_faults, smeared
from handfirst.training.data.procedural.palette import colour_name, skin_word
from handfirst.training.data.procedural.render import Picture
from handfirst.training.data.procedural.sample import (
    LEFT_HAND,
    RIGHT_HAND,
    background_words,
    facing,
    frame_hand,
    generator,
    hand_rotation,
    pixel_points,
    single_words,
)
from handfirst.training.data.procedural.scene import Part, Scene

SAME = 0.6
"""Share of the pairs whose pictures differ in nothing but the faults, as what a refiner is shown and gives does."""
WRONG = 0.85
"""Share of the pairs whose second hand is malformed; the others are two true pictures, as of a video."""


@dataclass(frozen=True)
class _Setting:
    """One picture but for what is wrong in it."""

    pose: Gesture
    shot: Shot
    joints: Vector
    attributes: dict[str, str]


def sample_pair(
    seed: int, size: int = 128, same: bool | None = None, faults: Faults | None = None, supersample: int = 2
) -> Example:
    """A hand as it should be; `other` is the one that it is to be drawn by.

    Args:
        same: whether both have the same pose, light and background; None: with chance SAME.
        faults: of the other; None: drawn with chance WRONG, else none.
    """
    rng = generator("pair", seed)
    look, lighting = HandLook.draw(rng), Lighting.draw(rng)
    alike, wrong = bool(rng.uniform() < SAME), bool(rng.uniform() < WRONG)
    drawn = draw_faults(rng)
    found = faults if faults is not None else drawn if wrong else Faults()
    first = _setting(rng, look, lighting, size, None)
    second = _setting(rng, look, lighting, size, first.attributes["side"])
    second = first if (alike if same is None else same) else second
    target = _example(f"pair-{seed:09d}", first, look, Faults(), rng, supersample)
    other = _example(f"pair-{seed:09d}", second, look, found, rng, supersample)
    return replace(target, other=other)


def _setting(rng: np.random.Generator, look: HandLook, lighting: Lighting, size: int, side: str | None) -> _Setting:
    words = single_words(rng, None, None, side)
    left, pose = words["side"] == "left", GESTURES[words["gesture"]].jittered(rng)
    turn = hand_rotation(rng, words["view"], pose, left)
    joints = MalformedHand(Scene(), replace(look.shape, left=left)).build(pose)
    camera, placement = frame_hand(rng, joints @ turn.T, turn, size)
    background = draw_background(rng, size)
    shot = Shot(camera, placement, lighting, background, rng.normal(0, 2.0, (size, size, 3)))
    attributes = {**words, "facing": facing(turn), "skin": skin_word(look.skin.level), **background_words(background)}
    return _Setting(pose, shot, joints, attributes)


def _example(
    key: str, setting: _Setting, look: HandLook, faults: Faults, rng: np.random.Generator, supersample: int
) -> Example:
    left = setting.attributes["side"] == "left"
    scene = Scene()
    MalformedHand(scene, replace(look.shape, left=left)).build_with(setting.pose, faults)
    picture: Picture = setting.shot.picture(scene, look, supersample)
    shown = np.zeros(133, np.bool_)
    shown[LEFT_HAND if left else RIGHT_HAND] = True
    camera, placement = setting.shot.camera, setting.shot.placement
    keypoints = pixel_points(camera.project(placement.to_camera(setting.joints)), shown)
    attributes = {
        **setting.attributes,
        "sleeve": colour_name(look.sleeve.colour) if picture.shows(Part.SLEEVE, 0.01) else "none",
        "pattern": look.sleeve.pattern,
        "faults": faults.words or "none",
    }
    rgb = picture.rgb
    if faults.smear:
        rgb = smeared(rgb, keypoints[shown, :2], faults.smear, rng)
    return Example(key, rgb, picture.hands, keypoints, hand_caption(attributes), attributes)
