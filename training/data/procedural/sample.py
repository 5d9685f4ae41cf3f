"""One rendered hand or person with its exact truth."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handfirst.training.data.procedural.background import draw_background
from handfirst.training.data.procedural.camera import Camera, Placement
from handfirst.training.data.procedural.caption import hand_caption, person_caption
from handfirst.training.data.procedural.cloth import Cloth
from handfirst.training.data.procedural.geometry import Matrix, Vector, X, Y, Z, pick, rotation, vector
from handfirst.training.data.procedural.gestures import GESTURES
from handfirst.training.data.procedural.hand import HandBuilder, HandShape
from handfirst.training.data.procedural.lighting import Lighting
from handfirst.training.data.procedural.paint import Paint
from handfirst.training.data.procedural.palette import colour_name, random_colour, skin_word
from handfirst.training.data.procedural.person import build_person
from handfirst.training.data.procedural.render import Picture, Quality, render
from handfirst.training.data.procedural.scene import Part, Scene
from handfirst.training.data.procedural.skin import Skin
from handfirst.training.data.procedural.surface import Surface, pack

VIEWS = ("palm", "back", "any", "side")
VIEW_WEIGHTS = (0.45, 0.40, 0.10, 0.05)
SIDES = ("left", "right")
FRAMES = ("half", "full")
LEFT_HAND = slice(91, 112)
RIGHT_HAND = slice(112, 133)
CROP = 1.5  # side of a hand crop, in units of the larger side of the box of its 21 points
_STREAM = {"hand": 1, "person": 2}


@dataclass(frozen=True)
class Sample:
    """A picture and its truth.

    `hands` is 0 outside, 1 on the person's left hand and 2 on the right one, up to the wrist crease; `person_mask`
    takes in forearm, hair and clothes; `depth` is in cm with 0 for the background. `keypoints` follow
    COCO-WholeBody (17 body, 6 feet, 68 face, 21 left hand, 21 right hand); x, y in pixels with pixel i centred at
    i + 0.5; v is 2 where labelled and 0 where absent.
    """

    rgb: NDArray[np.uint8]
    person_mask: NDArray[np.bool_]
    hands: NDArray[np.uint8]
    depth: NDArray[np.float32]
    keypoints: NDArray[np.float32]
    caption: str
    attributes: dict[str, str]
    seed: int


def generator(kind: str, seed: int) -> np.random.Generator:
    """The random stream of one sample; hands and people of the same seed have nothing in common."""
    return np.random.default_rng((_STREAM[kind], seed))


def sample_hand(
    seed: int,
    size: int = 128,
    view: str | None = None,
    gesture: str | None = None,
    side: str | None = None,
    supersample: int = 2,
) -> Sample:
    """A hand cropped as the runtime crops it. `view` palm, back, any or side; `gesture` a key of GESTURES."""
    rng = generator("hand", seed)
    view = _choice(rng, "view", view, VIEWS, VIEW_WEIGHTS)
    gesture = _choice(rng, "gesture", gesture, tuple(GESTURES))
    side = _choice(rng, "side", side, SIDES)
    skin = Skin.draw(rng)
    sleeve = Cloth.draw(rng, random_colour(rng), pick(rng, ("plain", "striped"), (0.8, 0.2)), 1.2, 0.12)
    sleeved = bool(rng.uniform() < 0.5)
    shape = HandShape(
        axes=np.eye(3),
        origin=np.zeros(3),
        left=side == "left",
        fat=float(rng.uniform(0.9, 1.1)),
        forearm=16.0,
        wrist_flexion=float(rng.uniform(-25, 25)),
        wrist_deviation=float(rng.uniform(-12, 12)),
        sleeve_from=float(rng.uniform(0.3, 3.0)) if sleeved else None,
        sleeve_width=float(rng.uniform(0.25, 0.7)),
    )
    scene = Scene()
    joints = HandBuilder(scene, shape).build(GESTURES[gesture].jittered(rng))
    turn = _hand_rotation(rng, view)
    camera, placement = _frame_hand(rng, joints @ turn.T, turn, size)
    lighting = Lighting.draw(rng)
    background = draw_background(rng, size)

    def painter(surface: Surface, paint: Paint) -> None:
        skin.apply(surface, paint)
        cloth = surface.is_part(Part.SLEEVE)
        if cloth.any():
            sleeve.apply(surface, paint, cloth, surface.local[cloth])

    grain = rng.normal(0, 2.0, (size, size, 3))
    packed = pack(scene, placement)
    picture = render(packed, camera, lighting, painter, background.image, Quality(1.0, 1.5, supersample), grain)
    keypoints = np.zeros((133, 3), dtype=np.float32)
    keypoints[LEFT_HAND if side == "left" else RIGHT_HAND, :2] = camera.project(placement.to_camera(joints))
    keypoints[LEFT_HAND if side == "left" else RIGHT_HAND, 2] = 2
    attributes = {
        "side": side,
        "view": view,
        "facing": _facing(turn),
        "gesture": gesture,
        "skin": skin_word(skin.level),
        "sleeve": colour_name(sleeve.colour) if picture.shows(Part.SLEEVE) else "none",
        "background": background.kind,
        "background_colour": background.colour,
    }
    return _sample(picture, keypoints, hand_caption(attributes, background.phrase), attributes, seed)


def _choice(
    rng: np.random.Generator, name: str, given: str | None, words: tuple[str, ...],
    weights: tuple[float, ...] | None = None,
) -> str:  # fmt: skip
    """`given` if it is one of `words`, a random one if it is None. Draws either way, so that streams stay in step."""
    drawn = pick(rng, words, weights)
    if given is not None and given not in words:
        raise ValueError(f"{name} must be one of {', '.join(words)}; got {given!r}")
    return drawn if given is None else given


def _hand_rotation(rng: np.random.Generator, view: str) -> Matrix:
    """How the hand is turned: yaw by view, with roll and pitch."""
    wobble, around, edge = rng.normal(0, 25), rng.uniform(0, 360), rng.choice([90, -90]) + rng.normal(0, 15)
    yaw = {"palm": wobble, "back": 180 + wobble, "any": around, "side": edge}[view]
    return rotation(Z, rng.normal(0, 25)) @ rotation(X, rng.normal(0, 22)) @ rotation(Y, yaw)


def _facing(turn: Matrix) -> str:
    """Which face of the hand the camera sees: palm, back or side."""
    towards = float((turn @ Z)[2])
    return "palm" if towards > 0.5 else "back" if towards < -0.5 else "side"


def _frame_hand(rng: np.random.Generator, joints: Vector, turn: Matrix, size: int) -> tuple[Camera, Placement]:
    """A camera whose square picture is the crop of the box of the turned `joints` [21,3], jittered."""
    centre = (joints.min(axis=0) + joints.max(axis=0)) / 2
    translation = -centre + vector(0.0, 0.0, -float(rng.uniform(38, 65)))
    flat = Camera(1.0, 0.0, 0.0).project(joints + translation)
    low, high = flat.min(axis=0), flat.max(axis=0)
    side = CROP * float((high - low).max()) * float(rng.uniform(0.9, 1.12))
    focal = size / side
    middle = (low + high) / 2 * focal
    shift = rng.uniform(-0.04, 0.04, 2) * size
    camera = Camera(focal, size / 2 - middle[0] + shift[0], size / 2 - middle[1] + shift[1])
    return camera, Placement(turn, translation)


def sample_person(
    seed: int,
    size: int = 192,
    frame: str = "half",
    supersample: int = 2,
    gestures: tuple[str | None, str | None] | None = None,
) -> Sample:
    """A person from the waist up ("half") or whole ("full"); `gestures` fixes (left, right), None for random."""
    rng = generator("person", seed)
    if frame not in FRAMES:
        raise ValueError(f"frame must be one of {', '.join(FRAMES)}; got {frame!r}")
    left, right = gestures or (None, None)
    names = tuple(GESTURES)
    chosen = (_choice(rng, "gesture", left, names), _choice(rng, "gesture", right, names))
    fixed = (left is not None, right is not None)
    person = build_person(rng, chosen, fixed)
    turn = rotation(Y, rng.normal(0, 16)) @ rotation(X, rng.normal(0, 4))
    camera, placement = _frame_person(rng, person.joints @ turn.T, turn, size, frame)
    lighting = Lighting.draw(rng)
    background = draw_background(rng, size)
    grain = rng.normal(0, 2.0, (size, size, 3))
    packed = pack(person.scene, placement)
    quality = Quality(2.5, 6.0, supersample)
    picture = render(packed, camera, lighting, person.paint, background.image, quality, grain)
    points = camera.project(placement.to_camera(person.joints))
    inside = ((points >= 0) & (points < size)).all(axis=1)
    keypoints = np.zeros((133, 3), dtype=np.float32)
    keypoints[inside, :2] = points[inside]
    keypoints[inside, 2] = 2
    attributes = {
        **person.attributes,
        "frame": frame,
        "background": background.kind,
        "background_colour": background.colour,
    }
    return _sample(picture, keypoints, person_caption(attributes, background.phrase), attributes, seed)


def _frame_person(
    rng: np.random.Generator, joints: Vector, turn: Matrix, size: int, frame: str
) -> tuple[Camera, Placement]:
    """A camera that holds all of the turned `joints` [133,3], or those from the hips up, with room for the hair."""
    kept = np.r_[0:13, 23:133] if frame == "half" else np.r_[0:133]
    low, high = joints[kept].min(axis=0), joints[kept].max(axis=0)
    low[1] -= 2
    high[1] = max(high[1], joints[23:91, 1].max() + 13)
    extent = max(high[0] - low[0] + 10, high[1] - low[1] + 6)
    distance = float(rng.uniform(180, 320))
    focal = size * float(rng.uniform(0.86, 0.97)) / extent * (distance - 15)
    return Camera(focal, size / 2, size / 2), Placement(turn, -(low + high) / 2 + vector(0.0, 0.0, -distance))


def _sample(
    picture: Picture, keypoints: NDArray[np.float32], caption: str, attributes: dict[str, str], seed: int
) -> Sample:
    return Sample(
        rgb=picture.rgb,
        person_mask=picture.person,
        hands=picture.hands,
        depth=picture.depth,
        keypoints=keypoints,
        caption=caption,
        attributes=attributes,
        seed=seed,
    )


SAMPLERS: dict[str, Callable[..., Sample]] = {"hand": sample_hand, "person": sample_person}
