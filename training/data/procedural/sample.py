"""One rendered hand or person with its exact truth."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from handfirst.training.data.procedural.background import Background, draw_background
from handfirst.training.data.procedural.camera import Camera, Placement
from handfirst.training.data.procedural.caption import hand_caption, person_caption
from handfirst.training.data.procedural.geometry import Matrix, Vector, X, Y, Z, pick, rotation, vector
from handfirst.training.data.procedural.gestures import GESTURES, Gesture, showing
from handfirst.training.data.procedural.hand import HandBuilder, HandShape
from handfirst.training.data.procedural.lighting import Lighting
from handfirst.training.data.procedural.look import HandLook, Shot
from handfirst.training.data.procedural.pairs import PAIRS, draw_pair
from handfirst.training.data.procedural.palette import colour_name, skin_word
from handfirst.training.data.procedural.person import build_person
from handfirst.training.data.procedural.render import Picture, Quality, render
from handfirst.training.data.procedural.scene import Part, Scene
from handfirst.training.data.procedural.surface import pack

VIEWS = ("palm", "back", "any", "side")
VIEW_WEIGHTS = (0.45, 0.40, 0.10, 0.05)
FIXED_FACE = 0.88  # of the hands whose gesture shows the palm (or the back) show just that; the rest is seen edge-on
SIDES = ("left", "right")
TOGETHER = 0.12  # of the hand crops hold two hands, of the people in busts put their hands together
FRAMES = ("bust", "half", "full")
FRAME_WEIGHTS = (0.72, 0.20, 0.08)
FRAME_POINTS = {"bust": np.r_[0:7, 23:133], "half": np.r_[0:13, 23:133], "full": np.r_[0:133]}
LEFT_HAND = slice(91, 112)
RIGHT_HAND = slice(112, 133)
CROP = 1.5  # side of a hand crop, in units of the larger side of the box of its 21 points
_STREAM = {"hand": 1, "person": 2, "pair": 3}


@dataclass(frozen=True)
class Sample:
    """A picture and its truth.

    `hands` is 0 outside, 1 on the person's left hand and 2 on the right one, up to the wrist crease; `person_mask`
    takes in forearm, hair and clothes; `depth` is in cm with 0 for the background. `keypoints` follow
    COCO-WholeBody (17 body, 6 feet, 68 face, 21 left hand, 21 right hand); x, y in pixels with pixel i centred at
    i + 0.5; v is 2 where labelled and 0 where absent. `point_depths` are in cm from the camera's plane, 0 where absent.
    """

    rgb: NDArray[np.uint8]
    person_mask: NDArray[np.bool_]
    hands: NDArray[np.uint8]
    depth: NDArray[np.float32]
    keypoints: NDArray[np.float32]
    point_depths: NDArray[np.float32]
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
    """A hand, or two that touch, cropped as the runtime crops them.

    `view` palm, back, any or side; `gesture` a key of GESTURES or, for two hands, of PAIRS; `side` left, right or both.
    """
    rng = generator("hand", seed)
    pair = _choice(rng, "gesture", gesture if gesture in PAIRS else None, tuple(PAIRS))
    alone = view is None and gesture is None and side is None
    both = bool(rng.uniform() < TOGETHER) if alone else side == "both" or gesture in PAIRS
    if both and ((gesture is not None and gesture not in PAIRS) or side in SIDES):
        raise ValueError(f"side both goes with the gestures {', '.join(PAIRS)}; got {side!r} and {gesture!r}")
    scene, look = Scene(), HandLook.draw(rng)
    words = {"side": "both", "view": view or "any", "gesture": pair} if both else single_words(rng, view, gesture, side)
    joints, turn = (_build_two if both else _build_one)(rng, scene, look.shape, words)
    shown = ~np.isnan(joints[:, 0])
    camera, placement = frame_hand(rng, joints[shown] @ turn.T, turn, size)
    lighting, background = Lighting.draw(rng), draw_background(rng, size)
    shot = Shot(camera, placement, lighting, background, rng.normal(0, 2.0, (size, size, 3)))
    picture = shot.picture(scene, look, supersample)
    attributes = {
        **words,
        "facing": "side" if both else facing(turn),
        "skin": skin_word(look.skin.level),
        "sleeve": colour_name(look.sleeve.colour) if picture.shows(Part.SLEEVE, 0.01) else "none",
        "pattern": look.sleeve.pattern,
        **background_words(background),
    }
    return _sample(
        picture, _truth(camera, placement.to_camera(joints[shown]), shown), hand_caption(attributes), attributes, seed
    )


def _build_one(
    rng: np.random.Generator, scene: Scene, shape: HandShape, words: dict[str, str]
) -> tuple[Vector, Matrix]:
    """Adds one hand to the scene: joints [133,3], NaN where there are none, and how it is turned to the camera."""
    joints = np.full((133, 3), np.nan)
    left, pose = words["side"] == "left", GESTURES[words["gesture"]].jittered(rng)
    turn = hand_rotation(rng, words["view"], pose, left)
    joints[LEFT_HAND if left else RIGHT_HAND] = HandBuilder(scene, replace(shape, left=left)).build(pose)
    return joints, turn


def _build_two(
    rng: np.random.Generator, scene: Scene, shape: HandShape, words: dict[str, str]
) -> tuple[Vector, Matrix]:
    """The same for two hands together; they are seen from the front, or a little aside."""
    joints = np.full((133, 3), np.nan)
    turn = rotation(Z, rng.normal(0, 9)) @ rotation(X, rng.normal(2, 12)) @ rotation(Y, rng.normal(0, 20))
    for side, place, slot in zip(SIDES, draw_pair(rng, words["gesture"]), (LEFT_HAND, RIGHT_HAND), strict=True):
        bend = place.flexion + shape.wrist_flexion / 3
        put = replace(shape, axes=place.axes, origin=place.origin, left=side == "left", wrist_flexion=bend)
        joints[slot] = HandBuilder(scene, put).build(place.pose)
    return joints, turn


def single_words(rng: np.random.Generator, view: str | None, gesture: str | None, side: str | None) -> dict[str, str]:
    """Side, view and gesture of one hand, each as given or drawn: a gesture that has a face is shown with that face."""
    gesture = _choice(rng, "gesture", gesture, tuple(GESTURES) if gesture else showing(view or "any"))
    face, turned = GESTURES[gesture].face, bool(rng.uniform() > FIXED_FACE)
    drawn = _choice(rng, "view", view, VIEWS, VIEW_WEIGHTS)
    if view is None and face != "either":
        drawn = "side" if turned else face
    return {"side": _choice(rng, "side", side, SIDES), "view": drawn, "gesture": gesture}


def background_words(background: Background) -> dict[str, str]:
    return {
        "background": background.kind,
        "background_colour": background.colour,
        "background_words": background.phrase,
    }


def pixel_points(points: Vector, shown: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Pixels [n,2] of the n points that are `shown` [133] -> [133,3], zeros elsewhere."""
    keypoints = np.zeros((133, 3), dtype=np.float32)
    keypoints[shown, :2] = points
    keypoints[shown, 2] = 2
    return keypoints


def _truth(camera: Camera, points: Vector, shown: NDArray[np.bool_]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Key points [133,3] and depths [133] of the n `points` [n,3] before the camera that are `shown` [133]."""
    depths = np.zeros(133, dtype=np.float32)
    depths[shown] = -points[:, 2]
    return pixel_points(camera.project(points), shown), depths


def _choice(
    rng: np.random.Generator, name: str, given: str | None, words: tuple[str, ...],
    weights: tuple[float, ...] | None = None,
) -> str:  # fmt: skip
    """`given` if it is one of `words`, a random one if it is None. Draws either way, so that streams stay in step."""
    drawn = pick(rng, words, weights)
    if given is not None and given not in words:
        raise ValueError(f"{name} must be one of {', '.join(words)}; got {given!r}")
    return drawn if given is None else given


def hand_rotation(rng: np.random.Generator, view: str, pose: Gesture, left: bool) -> Matrix:
    """How the hand is turned: its gesture's tilt, then yaw by view, with roll and pitch."""
    wobble, around, edge = rng.normal(0, 25), rng.uniform(0, 360), rng.choice([90, -90]) + rng.normal(0, 15)
    yaw = {"palm": wobble, "back": 180 + wobble, "any": around, "side": edge}[view]
    roll = rng.normal(0, 14 if pose.tilt else 25)  # a thumb that means up or down stays so
    tilt = rotation(Z, -pose.tilt if left else pose.tilt)
    return rotation(Z, roll) @ rotation(X, rng.normal(0, 22)) @ rotation(Y, yaw) @ tilt


def facing(turn: Matrix) -> str:
    """Which face of the hand the camera sees: palm, back or side."""
    towards = float((turn @ Z)[2])
    return "palm" if towards > 0.5 else "back" if towards < -0.5 else "side"


def frame_hand(rng: np.random.Generator, joints: Vector, turn: Matrix, size: int) -> tuple[Camera, Placement]:
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
    frame: str | None = None,
    supersample: int = 2,
    gestures: tuple[str | None, str | None] | None = None,
) -> Sample:
    """A person: face, shoulders and hands ("bust"), from the hips up ("half") or whole ("full").

    `gestures` fixes (left, right), None for random; a key of PAIRS must be given for both.
    """
    rng = generator("person", seed)
    frame = _choice(rng, "frame", frame, FRAMES, FRAME_WEIGHTS)
    chosen, fixed = _person_gestures(rng, frame, gestures or (None, None))
    person = build_person(rng, chosen, fixed, frame)
    turn = rotation(Y, rng.normal(0, 16 if frame != "bust" else 12)) @ rotation(X, rng.normal(0, 4))
    present = np.ones(133, dtype=bool)
    for word, slot in ((person.attributes["left_hand"], LEFT_HAND), (person.attributes["right_hand"], RIGHT_HAND)):
        present[slot] = word != "none"
    kept = np.intersect1d(FRAME_POINTS[frame], np.nonzero(present)[0])
    camera, placement = _frame_person(rng, person.joints @ turn.T, turn, size, kept)
    lighting = Lighting.draw(rng)
    background = draw_background(rng, size, avoid=person.attributes["top"])
    grain = rng.normal(0, 2.0, (size, size, 3))
    packed = pack(person.scene, placement)
    quality = Quality(2.5, 6.0, supersample)
    picture = render(packed, camera, lighting, person.paint, background.image, quality, grain)
    placed = placement.to_camera(person.joints)
    points = camera.project(placed)
    inside = ((points >= 0) & (points < size)).all(axis=1) & present
    attributes = {**person.attributes, "frame": frame, **background_words(background)}
    if not picture.shows(Part.TROUSERS, 0.01):
        attributes["trousers"] = "unseen"
    if not picture.shows(Part.SLEEVE, 0.02):
        attributes["sleeve"] = "unseen"
    return _sample(picture, _truth(camera, placed[inside], inside), person_caption(attributes), attributes, seed)


def _person_gestures(
    rng: np.random.Generator, frame: str, given: tuple[str | None, str | None]
) -> tuple[tuple[str, str], tuple[bool, bool]]:
    """What (left, right) do, and which of the two was asked for."""
    together = frame == "bust" and bool(rng.uniform() < TOGETHER)
    pair, names = pick(rng, tuple(PAIRS)), tuple(GESTURES)
    left, right = given
    if left in PAIRS and right == left:
        return (str(left), str(left)), (True, True)
    chosen = (_choice(rng, "gesture", left, names), _choice(rng, "gesture", right, names))
    if together and left is None and right is None:
        chosen = (pair, pair)
    return chosen, (left is not None, right is not None)


def _frame_person(
    rng: np.random.Generator, joints: Vector, turn: Matrix, size: int, kept: NDArray[np.int64]
) -> tuple[Camera, Placement]:
    """A camera that holds the `kept` ones of the turned `joints` [133,3], with room for the hair."""
    low, high = joints[kept].min(axis=0), joints[kept].max(axis=0)
    low[1] -= 2
    high[1] = max(high[1] + 1, joints[23:91, 1].max() + 12)
    extent = max(high[0] - low[0] + 6, high[1] - low[1] + 4)
    distance = float(rng.uniform(180, 320))
    focal = size * float(rng.uniform(0.88, 0.97)) / extent * (distance - 18)
    return Camera(focal, size / 2, size / 2), Placement(turn, -(low + high) / 2 + vector(0.0, 0.0, -distance))


def _sample(
    picture: Picture,
    truth: tuple[NDArray[np.float32], NDArray[np.float32]],
    caption: str,
    attributes: dict[str, str],
    seed: int,
) -> Sample:
    keypoints, point_depths = truth
    return Sample(
        rgb=picture.rgb,
        person_mask=picture.person,
        hands=picture.hands,
        depth=picture.depth,
        keypoints=keypoints,
        point_depths=point_depths,
        caption=caption,
        attributes=attributes,
        seed=seed,
    )


SAMPLERS: dict[str, Callable[..., Sample]] = {"hand": sample_hand, "person": sample_person}
