"""A photo is repaired, and nothing else of it changes: through the model, in batches, on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from typer.testing import CliRunner

import handfirst
from handfirst.runtime.cli.main import app
from handfirst.runtime.errors import RequestError
from handfirst.runtime.pose.person import Person, Pose
from handfirst.runtime.pose.topology import HANDS, POINTS
from handfirst.runtime.systems.part_refiner.crops import Crop, fade_in, paste
from handfirst.runtime.systems.part_refiner.job import example, example_hand
from handfirst.runtime.systems.part_refiner.masks import with_refined
from handfirst.runtime.systems.part_refiner.request import RepairRequest

pytestmark = pytest.mark.long

STEPS = {"steps": 3, "inpaint_steps": 3}


@pytest.fixture(scope="module")
def bundle(tiny_refiner: tuple[Path, Path]) -> Path:
    return tiny_refiner[1]


@pytest.fixture(scope="module")
def model(bundle: Path):
    opened = handfirst.open(bundle, engine="cpu", threads=1)
    yield opened
    opened.close()


def test_what_may_not_change_does_not(model) -> None:
    request = example(seed=3, **STEPS)
    before = request.image.copy()
    result = model.render(request)
    assert [part.name for part in result.parts] == ["hand-0-right"]
    assert result.mask.any() and not result.mask.all()
    assert np.array_equal(result.image[~result.mask], before[~result.mask])
    assert np.array_equal(request.image, before)  # the caller's own is left alone
    assert (result.image != before).any()
    x, y = example_hand(256).mean(0).astype(int)
    assert result.mask[y, x]


def test_alone_step_by_step_and_together_it_is_the_same(model) -> None:
    first, second = example(seed=1, **STEPS), example(seed=2, **STEPS)
    alone = [model.render(each).image for each in (first, second)]
    together = [result.image for result in model.render_batch([first, second])]
    steps = list(model.steps(first))
    assert np.array_equal(steps[-1].result.image, alone[0])
    assert [s.stage for s in steps if s.step == 1 and s.stage in ("refine", "inpaint")] == ["refine", "inpaint"]
    assert steps[1].preview().shape == first.image.shape
    for one, other in zip(alone, together, strict=True):
        assert np.abs(one.astype(int) - other).max() <= 1  # up to the rounding of the engines
    assert not np.array_equal(*alone)


def test_a_hand_that_is_not_there_is_named(model) -> None:
    other = model.render(example(hand="left", **STEPS))
    assert np.array_equal(other.image, other.request.image) and not other.mask.any() and not other.parts
    assert other.warnings[:2] == (
        "1 hand found, 0 repaired; the picture is unchanged",
        "not repaired: hand-0-right: it was not asked for",
    )
    with pytest.raises(RequestError, match="2"):
        model.render(example(hand=2, **STEPS))


def test_a_hand_that_the_detector_sees_worse_stays_as_it_was(model, monkeypatch) -> None:
    request = example(check=True, **STEPS)
    for scores, kept in (((0.9, 0.2), True), ((0.5, 0.5), False), ((0.0, 0.4), False)):
        seen = iter(scores)
        monkeypatch.setattr(model, "_likeness", lambda *_, seen=seen: next(seen))
        result = model.render(request)
        assert [part.kept for part in result.parts] == [kept]
        assert np.array_equal(result.image, request.image) == kept and result.mask.any() != kept
        assert result.asked["parts"] == ([] if kept else ["hand-0-right"])
        if kept:
            assert result.warnings == (
                "1 hand found, 1 repaired; 1 of them left as it was",
                "hand-0-right: left as it was; to the detector it is 0.90 like the wanted hand, repaired 0.20",
            )
        else:
            assert result.warnings == ("1 hand found, 1 repaired",)


def test_steps_are_those_of_either_stage_where_nothing_else_is_said(model) -> None:
    assert [example(**said).resolve(model.settings).inpaint_steps for said in ({}, {"steps": 3}, STEPS)] == [4, 3, 3]
    assert example(steps=3, inpaint_steps=7).resolve(model.settings).inpaint_steps == 7


def test_each_photo_of_a_batch_says_for_itself_whether_it_is_checked(model, monkeypatch) -> None:
    scores = iter((0.9, 0.2))
    monkeypatch.setattr(model, "_likeness", lambda *_: next(scores))
    results = model.render_batch([example(check=check, **STEPS) for check in (False, True)])
    assert [part.kept for result in results for part in result.parts] == [False, True]


@given(
    st.tuples(st.integers(1, 70), st.integers(1, 70)), hnp.arrays(bool, (16, 16)), st.floats(-60, 80),
    st.floats(-60, 80), st.floats(2, 90), st.integers(0, 6),
)  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_a_paste_changes_what_it_may_and_nothing_else(size, dilated, x, y, side, fade) -> None:
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    picture = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    out, changed = paste(photo, Crop(x, y, side, 16), picture, dilated, fade)
    assert np.array_equal(out[~changed], photo[~changed])
    down, across = np.indices(size) + 0.5
    inside = (down > y - 1) & (down < y + side + 1) & (across > x - 1) & (across < x + side + 1)
    assert not changed[~inside].any()


@given(x=st.integers(-30, 50), y=st.integers(-30, 50), side=st.integers(4, 60))
def test_beyond_the_photo_a_crop_shows_its_edge_or_black(x: int, y: int, side: int) -> None:
    """A crop of the photo's own scale is a window: NumPy's own padding says what is in it."""
    photo = np.random.default_rng(0).integers(1, 256, (32, 40, 3), dtype=np.uint8)
    crop = Crop(float(x), float(y), float(side), side)
    rows, columns = crop.window(32, 40)
    for beyond, mode in (("edge", "edge"), ("black", "constant")):
        padded = np.pad(photo, ((100, 100), (100, 100), (0, 0)), mode=mode)  # type: ignore[call-overload]
        wanted = padded[100 + y : 100 + y + side, 100 + x : 100 + x + side]
        seen = photo[rows, columns].size > 0
        np.testing.assert_array_equal(crop.cut(photo, beyond), wanted if seen else np.zeros_like(wanted))  # type: ignore[arg-type]


def test_a_crop_far_larger_than_its_photo_is_cut_in_little_memory() -> None:
    seen = Crop(-5e8, -5e8, 1e9, 64).cut(np.full((8, 8, 3), 7, np.uint8))
    assert seen.shape == (64, 64, 3)


def test_the_refined_part_has_its_own_pixels_but_for_its_rim() -> None:
    """A square: two pixels within it they are the first stage's, three beyond those the second's, in between both."""
    painted, refined = np.full((64, 64, 3), 40, np.uint8), np.full((64, 64, 3), 200, np.uint8)
    part = np.zeros((64, 64), bool)
    part[20:40, 20:40] = True
    refined[~part] = 0
    refined[20:40, 20] = 0  # black that reaches into the part
    shown = with_refined(painted, refined, part, 2 / 64)
    assert (shown[22:38, 22:38] == 200).all()
    outside = np.ones((64, 64), bool)
    outside[19:41, 19:41] = False
    assert (shown[outside] == 40).all()
    np.testing.assert_array_equal(shown[30, 18:23, 0], [40, 40, 93, 147, 200])  # thirds


def test_a_fade_is_a_distance() -> None:
    dilated = np.zeros((21, 21), bool)
    dilated[5:16, 5:16] = True
    faded = fade_in(dilated, 4)
    assert faded[10, 10] == 1 and faded[0, 0] == 0
    np.testing.assert_allclose(faded[10, 4:10], [0, 1 / 4, 2 / 4, 3 / 4, 1, 1])


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A photo of an odd size with alpha, and the pose of its hand."""
    request = example()
    rgba = np.dstack([request.image, np.full((256, 256), 200, np.uint8)])[:255, :253]
    photo, pose = tmp_path / "photo.png", tmp_path / "pose.json"
    Image.fromarray(rgba).save(photo)
    hand = [value for x, y in example_hand(256).tolist() for value in (x, y, 1.0)]
    people = [{"pose_keypoints_2d": [], "hand_right_keypoints_2d": hand}]
    pose.write_text(json.dumps({"canvas_width": 253, "canvas_height": 255, "people": people}))
    return photo, pose


def run(*arguments: object):
    return CliRunner().invoke(app, [str(each) for each in arguments])


def test_the_command_keeps_the_photo_around_the_hand(bundle: Path, files: tuple[Path, Path], tmp_path: Path) -> None:
    photo, pose = files
    out = tmp_path / "out.png"
    steps = ("--steps", 2, "--set", "inpaint_steps=2", "--engine", "cpu", "--threads", 1, "--json", "--sheet")
    done = run("repair", photo, "-o", out, "--bundle", bundle, "--pose", pose, *steps)
    assert done.exit_code == 0, done.output
    made, given_ = (np.asarray(Image.open(file)) for file in (out, photo))
    assert made.shape == given_.shape and np.array_equal(made[..., 3], given_[..., 3])
    differs = (made != given_).any(2)
    assert differs.any() and not differs[:8].any() and not differs[:, :8].any()
    assert (tmp_path / "out-sheet.png").exists()


def photo_files(folder: Path) -> dict[str, Path]:
    """The example's photo as files of many kinds, each 256 pixels wide and high once it is upright."""
    upright = Image.fromarray(example().image)
    clear, exif = upright.copy(), Image.Exif()
    clear.putalpha(Image.linear_gradient("L"))
    exif[274] = 6  # to be turned by 90 degrees
    sixteen = Image.fromarray(np.asarray(upright.convert("L")).astype(np.uint16) * 257 + 3)
    pictures: dict[str, tuple[Image.Image, dict[str, object]]] = {
        "turned.jpg": (upright.transpose(Image.Transpose.ROTATE_90), {"exif": exif}),
        "clear.png": (clear, {}),
        "clear.webp": (clear, {"lossless": True, "exact": True}),
        "grey.png": (upright.convert("L"), {}),
        "sixteen.png": (sixteen, {}),
        "palette.png": (upright.quantize(), {}),
        "cmyk.jpg": (upright.convert("CMYK"), {}),
    }
    for name, (picture, how) in pictures.items():
        picture.save(folder / name, **how)
    return {name: folder / name for name in pictures}


def test_photos_of_any_kind_come_back_as_they_were_around_the_hand(bundle: Path, tmp_path: Path) -> None:
    """Through the file: against Pillow's own reading, turned upright, by pixels far from the hand."""
    hand = [value for x, y in example_hand(256).tolist() for value in (x, y, 1.0)]
    pose, out = tmp_path / "pose.json", tmp_path / "out.png"
    people = [{"pose_keypoints_2d": [], "hand_right_keypoints_2d": hand}]
    pose.write_text(json.dumps({"canvas_width": 256, "canvas_height": 256, "people": people}))
    for name, photo in photo_files(tmp_path).items():
        steps = ("--steps", 1, "--set", "inpaint_steps=1", "--engine", "cpu", "--threads", 1)
        done = run("repair", photo, "-o", out, "--bundle", bundle, "--pose", pose, *steps)
        assert done.exit_code == 0, f"{name}: {done.output}"
        shown = ImageOps.exif_transpose(Image.open(photo))
        shown = Image.fromarray((np.asarray(shown) // 257).astype(np.uint8)) if shown.mode == "I;16" else shown
        wanted, made = np.asarray(shown.convert("RGBA")), np.asarray(Image.open(out).convert("RGBA"))
        assert np.array_equal(made[..., 3], wanted[..., 3]), name
        assert np.array_equal(made[:8], wanted[:8]) and np.array_equal(made[:, :8], wanted[:, :8]), name
        assert (made != wanted).any(), name
        assert (Image.open(out).mode in ("L", "LA")) == (name in ("grey.png", "sixteen.png"))


@pytest.mark.parametrize("size", [(1, 4000), (4000, 1), (1, 1), (251, 7)])
def test_photos_of_any_size_are_kept_beyond_the_mask(model, size: tuple[int, int]) -> None:
    """A hand squeezed into them: a box of 400 square pixels is enough to be repaired, in whatever shape."""
    width, height = size
    rgb = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
    rows = np.zeros((POINTS, 3))
    rows[HANDS["right"]] = np.column_stack([example_hand(256) * (width / 256, height / 256), np.ones(21)])
    result = model.render(RepairRequest(rgb, Pose((Person.of(rows),), width, height), steps=1, inpaint_steps=1))
    assert result.image.shape == rgb.shape and np.array_equal(result.image[~result.mask], rgb[~result.mask])
    assert bool(result.parts) == (size != (1, 1))
    if not result.parts:
        assert "0 repaired; the picture is unchanged" in result.warnings[0] and not result.mask.any()


def test_a_photo_without_a_hand_stays_as_it_is(bundle: Path, files: tuple[Path, Path], tmp_path: Path) -> None:
    photo, pose = files
    body = [value for i in range(18) for value in (20.0 + i, 30.0 + 5 * i, 1.0)]
    pose.write_text(json.dumps({"canvas_width": 253, "canvas_height": 255, "people": [{"pose_keypoints_2d": body}]}))
    out = tmp_path / "out.png"
    done = run("repair", photo, "-o", out, "--bundle", bundle, "--pose", pose, "--engine", "cpu")
    assert done.exit_code == 0, done.output
    assert np.array_equal(np.asarray(Image.open(out)), np.asarray(Image.open(photo)))
    assert "no hand" in done.output.lower() or "0 hands" in done.output.lower()


def test_what_cannot_be_repaired_is_said_in_a_line(bundle: Path, files: tuple[Path, Path], tmp_path: Path) -> None:
    photo, pose = files
    for arguments, says in (
        ((photo, "-o", tmp_path / "o.png", "--pose", pose, "--bundle", "demo"), "expected a model that repairs photos"),
        ((photo, "-o", photo, "--pose", pose, "--bundle", bundle), "is the photo itself"),
        ((pose, "-o", tmp_path / "o.png", "--pose", pose, "--bundle", bundle), "expected"),
        ((photo, "-o", tmp_path / "o.png", "--pose", pose, "--bundle", bundle, "--hand", "middle"), "left, right or"),
    ):
        done = run("repair", *arguments)
        assert says in str(done.exception or done.output)
        assert not (tmp_path / "o.png").exists()
