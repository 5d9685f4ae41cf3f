"""The procedural renderer: determinism, exact truth, captions and shards."""

import dataclasses
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from handfirst.training.data.cli import app
from handfirst.training.data.procedural.caption import gesture_words
from handfirst.training.data.procedural.geometry import frame_along, rotation, two_bone_ik
from handfirst.training.data.procedural.gestures import GESTURES
from handfirst.training.data.procedural.palette import COLOURS, HAIR_COLOURS, SKIN_WORDS, colour_name
from handfirst.training.data.procedural.sample import (
    LEFT_HAND,
    RIGHT_HAND,
    Sample,
    sample_hand,
    sample_person,
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
    return [sample_person(seed, SIZE, frame="half" if seed % 2 else "full") for seed in range(8)]


def points_of(sample: Sample, side: str) -> np.ndarray:
    """The 21 labelled points [n,2] of one hand."""
    rows = sample.keypoints[HAND_SLOTS[side]]
    return rows[rows[:, 2] > 0, :2]


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


@pytest.mark.parametrize("gesture", ["open_palm", "peace_sign", "fist", "call_me"])
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
        sample = sample_hand(seed, SIZE)
        points = points_of(sample, sample.attributes["side"])
        low, high = points.min(axis=0), points.max(axis=0)
        assert 0.9 <= SIZE / (1.5 * (high - low).max()) <= 1.12 + 1e-6
        assert np.abs((low + high) / 2 - SIZE / 2).max() <= 0.04 * SIZE + 1e-3


@pytest.mark.parametrize(("side", "sign"), [("right", 1.0), ("left", -1.0)])
def test_sides_by_geometry(side: str, sign: float) -> None:
    """With the palm to the viewer, going from the little finger to the index turns clockwise on a left hand."""
    for seed in range(5):
        sample = sample_hand(seed, SIZE, view="palm", gesture="open_palm", side=side)
        points = points_of(sample, side)
        up, across = points[9] - points[0], points[5] - points[17]
        assert np.sign(up[0] * across[1] - up[1] * across[0]) == sign


def test_sides_of_a_person() -> None:
    """Facing the viewer, the person's left is on the right of the picture; the hands follow their wrists."""
    for seed in range(6):
        sample = sample_person(seed, SIZE)
        body = sample.keypoints
        assert body[5, 0] > body[6, 0] and body[11, 0] > body[12, 0]
        for wrist, side in ((9, "left"), (10, "right")):
            assert np.linalg.norm(points_of(sample, side)[0] - body[wrist, :2]) < 0.05 * SIZE


def test_limbs_and_points_are_inside_or_absent(people: list[Sample]) -> None:
    for sample in people:
        labelled = sample.keypoints[:, 2] > 0
        assert ((sample.keypoints[labelled, :2] >= 0) & (sample.keypoints[labelled, :2] < SIZE)).all()
        assert (sample.keypoints[~labelled] == 0).all()
        assert labelled[23:133].all(), "face and hands are always in the picture"
        assert labelled[:17].all() or sample.attributes["frame"] == "half"


def test_requested_values_are_kept() -> None:
    sample = sample_hand(1, SIZE, view="back", gesture="ok_sign", side="left")
    assert (sample.attributes["view"], sample.attributes["gesture"], sample.attributes["side"]) == (
        "back",
        "ok_sign",
        "left",
    )
    person = sample_person(1, SIZE, gestures=("fist", None))
    assert person.attributes["left_hand"] == "fist"
    with pytest.raises(ValueError, match="view must be one of"):
        sample_hand(1, SIZE, view="front")
    with pytest.raises(ValueError, match="frame must be one of"):
        sample_person(1, SIZE, frame="quarter")


def test_captions_use_the_vocabulary(hands: list[Sample], people: list[Sample]) -> None:
    words = {"a", "an", "hand", "skin", "sleeve", "background", "left", "right", "person", "with", "and", "wearing"}
    words |= {"top", "trousers", "hair", "bald", "short", "long", "curly", "tied-back", "striped", "checked"}
    words |= {"long-sleeve", "short-sleeve", "plain", "gradient", "blurry", "room"} | set(COLOURS) | set(SKIN_WORDS)
    words |= {w for name in HAIR_COLOURS for w in name.split()} | {
        w for g in GESTURES for w in gesture_words(g).split()
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
    [["render", "dog", "out"], ["render", "hand", "out", "--count", "0"], ["sheet", "out.png", "--kind", "cat"]],
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
