"""The procedural renderer: determinism, exact truth, captions and shards."""

import dataclasses
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from handfirst.runtime.pose.crop import boxes_meet, hand_box
from handfirst.runtime.pose.view import View, hand_view
from handfirst.training.data.cli import app
from handfirst.training.data.procedural.background import draw_background
from handfirst.training.data.procedural.caption import gesture_words
from handfirst.training.data.procedural.geometry import frame_along, rotation, two_bone_ik
from handfirst.training.data.procedural.gestures import GESTURES
from handfirst.training.data.procedural.pairs import PAIRS
from handfirst.training.data.procedural.palette import (
    COLOURS,
    HAIR_COLOURS,
    SKIN_WORDS,
    clearly,
    colour_name,
    random_colour,
)
from handfirst.training.data.procedural.sample import (
    LEFT_HAND,
    RIGHT_HAND,
    SIDES,
    Sample,
    sample_hand,
    sample_person,
    single_words,
)
from handfirst.training.data.procedural.writer import read_dataset, render_dataset

SIZE = 64
HAND_SLOTS = {"left": LEFT_HAND, "right": RIGHT_HAND}


@pytest.fixture(scope="module")
def hands() -> list[Sample]:
    """One hand a gesture, sides and views mixed."""
    return [sample_hand(seed, SIZE, gesture=gesture) for seed, gesture in enumerate(GESTURES)]


@pytest.fixture(scope="module")
def people() -> list[Sample]:
    return [sample_person(seed, SIZE, frame=("bust", "half", "full")[seed % 3]) for seed in range(9)]


def points_of(sample: Sample, side: str) -> np.ndarray:
    """The 21 labelled points [n,2] of one hand."""
    rows = sample.keypoints[HAND_SLOTS[side]]
    return rows[rows[:, 2] > 0, :2]


def view_of(sample: Sample, side: str) -> View:
    """Which face of a hand the runtime sees, which knows the points alone."""
    return hand_view(points_of(sample, side).astype(float), "left" if side == "left" else "right")


def same(a: Sample, b: Sample) -> bool:
    """Byte equality of every field."""
    pairs = [(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(Sample)]
    return all(np.array_equal(x, y) if isinstance(x, np.ndarray) else x == y for x, y in pairs)


def test_same_seed_same_sample() -> None:
    assert same(sample_hand(3, SIZE), sample_hand(3, SIZE))
    assert same(sample_person(3, SIZE), sample_person(3, SIZE))
    assert not np.array_equal(sample_hand(3, SIZE).rgb, sample_hand(4, SIZE).rgb)


def test_hands_and_people_of_one_seed_are_unrelated() -> None:
    hand, person = sample_hand(5, SIZE), sample_person(5, SIZE)
    assert not np.array_equal(hand.rgb[0], person.rgb[0])


def test_two_hands_in_one_crop() -> None:
    """Both are labelled and seen, the crop holds the box over both, and the runtime would crop them together."""
    for seed, pair in enumerate(PAIRS):
        sample = sample_hand(seed, SIZE, gesture=pair)
        assert (sample.attributes["side"], sample.attributes["gesture"]) == ("both", pair)
        assert sample.caption.startswith(f"two hands, {gesture_words(pair)}, ")
        assert {1, 2} <= set(np.unique(sample.hands)), pair
        left, right = points_of(sample, "left"), points_of(sample, "right")
        assert len(left) == len(right) == 21
        assert boxes_meet(hand_box(left.astype(float)), hand_box(right.astype(float))), pair
        points = np.concatenate([left, right])
        assert 0.9 <= SIZE / (1.5 * np.ptp(points, axis=0).max()) <= 1.12 + 1e-6
        person = sample_person(seed, SIZE, frame="bust", gestures=(pair, pair))
        assert f"both hands {gesture_words(pair)}" in person.caption
        ours = (points_of(person, side).astype(float) for side in SIDES)
        assert boxes_meet(*(hand_box(points) for points in ours)), pair
    with pytest.raises(ValueError, match="side both goes with"):
        sample_hand(0, SIZE, gesture="fist", side="both")


def test_how_often_two_hands_and_which_sides() -> None:
    """Drawn without rendering: the stream's first choices of 400 samples."""
    words = [_words_of(seed) for seed in range(400)]
    sides = [w["side"] for w in words]
    assert abs(sides.count("left") - sides.count("right")) < 3 * np.sqrt(400)
    assert len({w["gesture"] for w in words}) == len(GESTURES)


def _words_of(seed: int) -> dict[str, str]:
    return single_words(np.random.default_rng(seed), None, None, None)


@pytest.mark.parametrize(("gesture", "view"), [("stop", "palm"), ("stop_inverted", "back"), ("peace_inverted", "back")])
def test_a_gesture_shows_its_face(gesture: str, view: View) -> None:
    """The runtime, which knows the points alone, sees the face that the gesture names, or an edge."""
    seen = []
    for seed in range(8):
        sample = sample_hand(seed, 32, gesture=gesture, supersample=1)
        seen.append(view_of(sample, sample.attributes["side"]))
    assert set(seen) <= {view, "side"} and seen.count(view) >= 5
    person = sample_person(1, 32, frame="bust", gestures=(gesture, gesture))
    for side in SIDES:
        assert view_of(person, side) in (view, "side")


@pytest.mark.parametrize(("gesture", "sign"), [("like", -1.0), ("dislike", 1.0)])
def test_thumbs_point_up_and_down(gesture: str, sign: float) -> None:
    """Image y of the thumb's tip against its root, in crops and in people."""
    for seed in range(6):
        sample = sample_hand(seed, 32, gesture=gesture, supersample=1)
        points = [points_of(sample, sample.attributes["side"])]
        person = sample_person(seed, 64, frame="bust", gestures=(gesture, gesture), supersample=1)
        points += [points_of(person, side) for side in SIDES]
        for hand in points:
            assert np.sign(hand[4, 1] - hand[2, 1]) == sign


def test_busts_hold_big_hands_and_faces() -> None:
    hands, faces, missing, covered = [], [], 0, []
    for seed in range(40):
        sample = sample_person(seed, SIZE, frame="bust", supersample=1)
        for side in SIDES:
            points = points_of(sample, side)
            word = sample.attributes[f"{side}_hand"]
            assert len(points) == (0 if word == "none" else 21)
            assert (f"{side} hand" in sample.caption) == (word != "none" and word not in PAIRS)
            missing += word == "none"
            if len(points):
                hands.append(np.ptp(points, axis=0).max() / SIZE)
        face = sample.keypoints[23:91, :2]
        faces.append(np.ptp(face, axis=0).max() / SIZE)
        x, y = face.astype(int).T
        covered.append((sample.hands[y, x] > 0).mean())
        assert "trousers" not in sample.caption
    assert np.median(hands) > 36 / 192 and np.median(faces) > 38 / 192
    assert 0 < missing < 16
    assert np.mean(np.array(covered) > 0.3) < 0.15, "hands seldom hide the face"


def test_the_backgrounds_word_is_true_of_most_of_it() -> None:
    for seed in range(60):
        background = draw_background(np.random.default_rng(seed), 48)
        words = [colour_name(pixel) for pixel in background.image[::4, ::4].reshape(-1, 3)]
        assert words.count(background.colour) / len(words) > (0.5 if background.kind == "room" else 0.95), seed
        assert background.colour in background.phrase


def test_colours_are_clearly_named() -> None:
    rng = np.random.default_rng(0)
    for name in COLOURS:
        colour = random_colour(rng, (name,))
        assert colour_name(colour) == name and clearly(colour, 5.0), name


def test_fields_have_the_promised_types(hands: list[Sample], people: list[Sample]) -> None:
    for sample in [*hands, *people]:
        assert sample.rgb.shape == (SIZE, SIZE, 3) and sample.rgb.dtype == np.uint8
        assert sample.person_mask.shape == (SIZE, SIZE) and sample.person_mask.dtype == np.bool_
        assert sample.hands.shape == (SIZE, SIZE) and sample.hands.dtype == np.uint8
        assert sample.depth.shape == (SIZE, SIZE) and sample.depth.dtype == np.float32
        assert sample.keypoints.shape == (133, 3) and sample.keypoints.dtype == np.float32
        assert set(np.unique(sample.keypoints[:, 2])) <= {0.0, 2.0}


def test_masks_agree(hands: list[Sample], people: list[Sample]) -> None:
    for sample in [*hands, *people]:
        assert set(np.unique(sample.hands)) <= {0, 1, 2}
        assert sample.person_mask[sample.hands > 0].all(), "hand pixels are person pixels"
        assert np.array_equal(sample.depth > 0, sample.person_mask), "depth is where the person is"
    for sample in hands:
        wanted = 1 if sample.attributes["side"] == "left" else 2
        assert set(np.unique(sample.hands)) == {0, wanted}


def test_only_the_shown_hand_is_labelled(hands: list[Sample]) -> None:
    for sample in hands:
        labelled = np.nonzero(sample.keypoints[:, 2])[0]
        slot = HAND_SLOTS[sample.attributes["side"]]
        assert list(labelled) == list(range(slot.start, slot.stop))


@pytest.mark.parametrize("gesture", ["palm", "peace", "fist", "call"])
def test_points_lie_on_the_hand(gesture: str) -> None:
    inside = []
    for seed in range(6):
        sample = sample_hand(seed, SIZE, gesture=gesture)
        grown = cv2.dilate((sample.hands > 0).astype(np.uint8), np.ones((7, 7), np.uint8))
        x, y = np.clip(points_of(sample, sample.attributes["side"]).astype(int), 0, SIZE - 1).T
        inside.append(grown[y, x].mean())
    assert np.mean(inside) >= 0.9


def test_the_forearm_is_person_but_not_hand() -> None:
    beyond = [
        s.person_mask.sum() - (s.hands > 0).sum() for s in (sample_hand(i, SIZE, gesture="fist") for i in range(8))
    ]
    assert np.mean(np.array(beyond) > 10) > 0.7


def test_a_hand_is_framed_as_a_crop() -> None:
    """The box of the 21 points fills 1 / 1.5 of the picture, within the jitter, about its middle."""
    for seed in range(12):
        sample = sample_hand(seed, SIZE, side=SIDES[seed % 2])
        points = points_of(sample, sample.attributes["side"])
        low, high = points.min(axis=0), points.max(axis=0)
        assert 0.9 <= SIZE / (1.5 * (high - low).max()) <= 1.12 + 1e-6
        assert np.abs((low + high) / 2 - SIZE / 2).max() <= 0.04 * SIZE + 1e-3


@pytest.mark.parametrize(("side", "sign"), [("right", 1.0), ("left", -1.0)])
def test_sides_by_geometry(side: str, sign: float) -> None:
    """With the palm to the viewer, going from the little finger to the index turns clockwise on a left hand."""
    for seed in range(5):
        sample = sample_hand(seed, SIZE, view="palm", gesture="palm", side=side)
        points = points_of(sample, side)
        up, across = points[9] - points[0], points[5] - points[17]
        assert np.sign(up[0] * across[1] - up[1] * across[0]) == sign


def test_sides_of_a_person() -> None:
    """Facing the viewer, the person's left is on the right of the picture; the hands follow their wrists."""
    for seed in range(6):
        sample = sample_person(seed, SIZE, frame="half")
        body = sample.keypoints
        assert body[5, 0] > body[6, 0] and body[11, 0] > body[12, 0]
        for wrist, side in ((9, "left"), (10, "right")):
            assert np.linalg.norm(points_of(sample, side)[0] - body[wrist, :2]) < 0.05 * SIZE


def test_limbs_and_points_are_inside_or_absent(people: list[Sample]) -> None:
    for sample in people:
        labelled = sample.keypoints[:, 2] > 0
        assert ((sample.keypoints[labelled, :2] >= 0) & (sample.keypoints[labelled, :2] < SIZE)).all()
        assert (sample.keypoints[~labelled] == 0).all()
        assert labelled[23:91].all() and labelled[:7].all(), "face and shoulders are always in the picture"
        for side, slot in HAND_SLOTS.items():
            assert labelled[slot].all() or (sample.attributes[f"{side}_hand"] == "none" and not labelled[slot].any())
        assert labelled.all() or sample.attributes["frame"] != "full"


def test_requested_values_are_kept() -> None:
    sample = sample_hand(1, SIZE, view="back", gesture="ok", side="left")
    assert (sample.attributes["view"], sample.attributes["gesture"], sample.attributes["side"]) == (
        "back",
        "ok",
        "left",
    )
    person = sample_person(1, SIZE, gestures=("fist", None))
    assert person.attributes["left_hand"] == "fist"
    with pytest.raises(ValueError, match="view must be one of"):
        sample_hand(1, SIZE, view="front")
    with pytest.raises(ValueError, match="frame must be one of"):
        sample_person(1, SIZE, frame="quarter")


def test_captions_use_the_vocabulary(hands: list[Sample], people: list[Sample]) -> None:
    words = {"a", "an", "hand", "skin", "sleeve", "background", "left", "right", "person", "of", "two", "hands", "both"}
    words |= {"top", "trousers", "hair", "bald", "short", "long", "curly", "tied-back", "striped", "checked"}
    words |= {"long-sleeve", "short-sleeve", "plain", "gradient", "blurred", "room"} | set(COLOURS) | set(SKIN_WORDS)
    words |= {"portrait", "half-length", "full-length"}
    words |= {w for name in HAIR_COLOURS for w in name.split()} | {
        w for g in [*GESTURES, *PAIRS] for w in gesture_words(g).split()
    }
    for sample in [*hands, *people]:
        assert set(sample.caption.replace(",", "").split()) <= words, sample.caption
        assert "back" not in sample.caption.replace("tied-back", "").replace("background", "")
    for sample in hands:
        assert sample.caption.startswith(f"a {sample.attributes['side']} hand, ")
        assert gesture_words(sample.attributes["gesture"]) in sample.caption


def test_colour_names_are_their_own_nearest() -> None:
    assert [colour_name(colour) for colour in COLOURS.values()] == list(COLOURS)


def test_rotations_and_chains() -> None:
    turn = rotation((1, 2, 3), 40.0)
    assert np.allclose(turn @ turn.T, np.eye(3)) and np.isclose(np.linalg.det(turn), 1)
    frame = frame_along(np.array([0.0, 2.0, 1.0]), np.array([0.0, 0.0, 1.0]))
    assert np.allclose(frame.T @ frame, np.eye(3)) and np.isclose(np.linalg.det(frame), 1)
    root, target = np.zeros(3), np.array([20.0, -10.0, 15.0])
    elbow, end = two_bone_ik(root, target, 28.0, 25.0, np.array([0.0, -1.0, 0.0]))
    assert np.allclose(end, target)
    lengths = [np.linalg.norm(b - a) for a, b in pairwise((root, elbow, end))]
    assert np.allclose(lengths, (28.0, 25.0))


def test_shards_are_the_same_for_any_worker_count(tmp_path: Path) -> None:
    one = render_dataset("hand", tmp_path / "one", 6, 32, first_seed=9, workers=1, shard_size=4, progress=False)
    two = render_dataset("hand", tmp_path / "two", 6, 32, first_seed=9, workers=2, shard_size=4, progress=False)
    assert [p.name for p in one] == ["hand-000000.tar", "hand-000001.tar"]
    assert [p.read_bytes() for p in one] == [p.read_bytes() for p in two]


def test_shards_round_trip(tmp_path: Path) -> None:
    render_dataset("person", tmp_path, 2, SIZE, first_seed=4, workers=1, progress=False)
    loaded = list(read_dataset(tmp_path))
    assert [s.seed for s in loaded] == [4, 5]
    for sample in loaded:
        truth = sample_person(sample.seed, SIZE)
        assert np.abs(sample.rgb.astype(int) - truth.rgb.astype(int)).mean() < 3
        assert np.array_equal(sample.person_mask, truth.person_mask) and np.array_equal(sample.hands, truth.hands)
        assert np.abs(sample.depth - truth.depth).max() <= 0.01
        assert np.abs(sample.keypoints - truth.keypoints).max() <= 0.006
        assert (sample.caption, sample.attributes) == (truth.caption, truth.attributes)


def test_rendering_resumes(tmp_path: Path) -> None:
    def run(size: int = 32) -> list[Path]:
        return render_dataset("hand", tmp_path, 5, size, workers=1, shard_size=2, progress=False)

    shards = run()
    before = [p.read_bytes() for p in shards]
    shards[0].write_bytes(before[0][:2000])  # damaged
    shards[1].unlink()  # missing
    kept = shards[2].stat().st_mtime_ns
    assert [p.read_bytes() for p in run()] == before
    assert shards[2].stat().st_mtime_ns == kept, "a complete shard is not rendered again"
    assert [p.read_bytes() for p in run(size=48)] != before, "another size is another data set"
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["render", "dog", "out"],
        ["render", "hand", "out", "--count", "0"],
        ["sheet", "out.png", "--kind", "cat"],
        ["sheet", "out.gif"],
    ],
)
def test_bad_arguments_are_refused_in_one_line(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert len(result.output.strip().splitlines()) == 1


def test_a_contact_sheet(tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    result = CliRunner().invoke(app, ["sheet", str(out), "--count", "3", "--size", "32"])
    assert result.exit_code == 0
    image = cv2.imread(str(out))
    assert image is not None and image.shape == (32, 96, 3)
