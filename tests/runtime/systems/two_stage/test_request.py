"""What the door lets in, and in which words it refuses."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from handfirst.engines.spec import AxisLimits
from handfirst.runtime.diffusion.settings import ScheduleSettings
from handfirst.runtime.errors import RequestError
from handfirst.runtime.geometry import Similarity
from handfirst.runtime.pose.crop import HandCrop
from handfirst.runtime.pose.person import Person, Pose
from handfirst.runtime.systems.two_stage.request import HandResult, Request
from handfirst.runtime.systems.two_stage.settings import BodySettings, Defaults, TwoStageSettings

SETTINGS = TwoStageSettings(
    defaults=Defaults(steps=7, guidance=2.5, hand_guidance=3.5, eta=0.25), schedule=ScheduleSettings(train_steps=500)
)


def person(visible=True):
    points = np.full((133, 2), 20.0 if visible else np.nan)
    return Person(points, np.full(133, float(visible)))


POSE = Pose((person(),), 64, 48)


def request(**fields):
    return Request(**{"pose": POSE, "prompt": "a woman waving", **fields})


def test_the_least_request():
    least = request()
    assert least.seed == 0
    assert least.negative_prompt == ""
    assert least.blend is None
    assert least.steps is least.guidance is least.hand_prompt is least.hand_mask is None


def test_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        request().seed = 3


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"pose": None}, "pose: expected a Pose"),
        ({"pose": Pose((), 64, 64)}, "at least one person"),
        ({"pose": Pose((person(visible=False),), 64, 64)}, "at least one person"),
        ({"size": 64}, "size of the picture: expected width and height, got 64"),
        ({"size": (64,)}, "size of the picture: expected width and height"),
        ({"size": (64, 64.5)}, "size of the picture: expected a whole number"),
        ({"size": (0, 64)}, "size of the picture: expected a whole number from 1 to 16384, got 0"),
        ({"size": (64, 1 << 40)}, "size of the picture: expected a whole number from 1 to 16384"),
        ({"prompt": ""}, "prompt: expected some words"),
        ({"prompt": " \n\t"}, "prompt: expected some words"),
        ({"prompt": None}, "prompt: expected text, got NoneType"),
        ({"prompt": b"a"}, "prompt: expected text, got bytes"),
        ({"prompt": "a\0b"}, "U\\+0000"),
        ({"prompt": "a\x1bb"}, "U\\+001B"),
        ({"prompt": "a\ud800"}, "U\\+D800"),
        ({"prompt": "a" * 10_001}, "at most 10000 characters, got 10001"),
        ({"negative_prompt": "\x07"}, "negative_prompt: .*U\\+0007"),
        ({"negative_prompt": None}, "negative_prompt: expected text"),
        ({"hand_prompt": " "}, "hand_prompt: expected some words"),
        ({"hand_mask": np.zeros((64, 48), bool)}, r"hand_mask: expected bool \[48, 64\].*bool \[64, 48\]"),
        ({"hand_mask": np.zeros((48, 64))}, "hand_mask: .*got float64"),
        ({"hand_mask": "mask.png"}, "hand_mask: .*got str"),
        ({"seed": -1}, "seed: .*got -1"),
        ({"seed": 2**63}, "seed: "),
        ({"seed": 1.5}, "seed: expected a whole number .*got 1.5"),
        ({"seed": True}, "seed: .*got True"),
        ({"steps": 0}, "steps: expected a whole number from 1 to 1000, got 0"),
        ({"steps": 1001}, "steps: "),
        ({"steps": "20"}, "steps: .*got '20'"),
        ({"guidance": -0.1}, "guidance: expected a number from 0 to 100, got -0.1"),
        ({"guidance": float("nan")}, "guidance: .*got nan"),
        ({"guidance": float("inf")}, "guidance: .*got inf"),
        ({"guidance": "7"}, "guidance: .*got '7'"),
        ({"hand_guidance": 101}, "hand_guidance: "),
        ({"hand_guidance": True}, "hand_guidance: "),
        ({"hand_steps": 0}, "hand_steps: expected a whole number from 1 to 1000, got 0"),
        ({"solver": "euler"}, "solver: expected one of ddim, ddim-trailing, dpm\\+\\+, unipc, lcm, got 'euler'"),
        ({"hand_solver": 3}, "hand_solver: expected one of ddim.*got 3"),
        ({"speed": None}, "speed: expected one of exact, fast, fastest, got None"),
        ({"eta": 1.1}, "eta: expected a number from 0 to 1, got 1.1"),
        ({"blend": "sequential"}, "blend: expected one of expansion, naive, bounding-box, got 'sequential'"),
        ({"blend": []}, "blend: "),
        ({"feather": -1}, "feather: "),
        ({"feather": "soft"}, "feather: "),
    ],
)
def test_refused_in_one_line(fields, said):
    with pytest.raises(RequestError, match=said) as caught:
        request(**fields)
    assert "\n" not in str(caught.value)


@given(
    prompt=st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1).filter(str.strip),
    seed=st.integers(0, 2**63 - 1),
    steps=st.integers(1, 1000),
    guidance=st.floats(0, 100),
    eta=st.floats(0, 1),
)
def test_everything_sensible_is_let_in(prompt, seed, steps, guidance, eta):
    made = request(prompt=prompt, seed=seed, steps=steps, guidance=guidance, eta=eta)
    assert (made.prompt, made.seed, made.steps, made.guidance, made.eta) == (prompt, seed, steps, guidance, eta)


def test_numpys_numbers_become_pythons():
    made = request(seed=np.int64(5), steps=np.uint8(9), guidance=np.float32(2), feather=3)
    assert type(made.seed) is type(made.steps) is int
    assert type(made.guidance) is type(made.feather) is float
    assert (made.seed, made.steps, made.guidance, made.feather) == (5, 9, 2.0, 3.0)


def test_line_ends_and_tabs_are_words_apart():
    assert request(prompt="a woman,\n\twaving").prompt == "a woman,\n\twaving"


def test_resolve_fills_in_the_models_defaults():
    full = request().resolve(SETTINGS)
    assert (full.steps, full.guidance, full.hand_guidance, full.eta) == (7, 2.5, 3.5, 0.25)
    assert full.hand_prompt == "a woman waving"


def test_resolve_keeps_what_was_asked():
    asked = request(steps=3, guidance=0, hand_guidance=1, eta=0, hand_prompt="old hands")
    full = asked.resolve(SETTINGS)
    assert (full.steps, full.guidance, full.hand_guidance, full.eta) == (3, 0, 1, 0)
    assert full.hand_prompt == "old hands"


def test_resolve_refuses_more_steps_than_the_model_was_trained_with():
    assert request(steps=499).resolve(SETTINGS).steps == 499
    with pytest.raises(RequestError, match="500 steps reach beyond the schedule's 500"):  # SD's times begin at 1
        request(steps=500).resolve(SETTINGS)
    with pytest.raises(RequestError, match=r"steps: expected at most 500.*got 501"):
        request(steps=501).resolve(SETTINGS)


def test_the_hands_have_the_bodys_steps_and_solver_unless_somebody_says_otherwise():
    full = request(steps=9, solver="unipc").resolve(SETTINGS)
    assert (full.hand_steps, full.hand_solver) == (9, "unipc")
    full = request(steps=9, hand_steps=3, solver="unipc", hand_solver="lcm").resolve(SETTINGS)
    assert (full.steps, full.hand_steps, full.solver, full.hand_solver) == (9, 3, "unipc", "lcm")
    own = SETTINGS.model_copy(update={"defaults": Defaults(steps=4, solver="lcm", hand_steps=40, hand_solver="ddim")})
    full = request().resolve(own)
    assert (full.steps, full.hand_steps, full.solver, full.hand_solver) == (4, 40, "lcm", "ddim")
    assert request(hand_steps=5, hand_solver="dpm++").resolve(own).hand_steps == 5
    assert full.resolve(own).loop == full.loop


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"solver": "lcm", "steps": 51}, "steps: expected 1 to 50 with the solver lcm, got 51"),
        ({"hand_solver": "lcm", "hand_steps": 60}, "1 to 50 with the solver lcm, got 60"),
        ({"hand_steps": 501}, r"hand_steps: expected at most 500.*got 501"),
        ({"solver": "dpm++", "steps": 500}, "500 steps are too many for this solver"),
        ({"solver": "dpm++", "eta": 0.5}, r"eta: expected none with the solver dpm\+\+, got 0.5; DDIM alone has one"),
    ],
)
def test_what_a_solver_cannot_do_is_refused_at_the_door(fields, said):
    with pytest.raises(RequestError, match=said):
        request(**fields).resolve(SETTINGS)


def test_eta_is_that_of_the_stage_that_has_one():
    assert request(solver="dpm++").resolve(SETTINGS).eta == 0
    assert request(solver="dpm++", hand_solver="ddim").resolve(SETTINGS).eta == 0.25
    assert request(solver="lcm", hand_solver="ddim-trailing", eta=0.5).resolve(SETTINGS).eta == 0.5


@pytest.mark.parametrize(
    ("sides", "name"), [(("left",), "hand-2-left"), (("right",), "hand-2-right"), (("left", "right"), "hand-2-both")]
)
def test_names_of_hands(sides, name):
    crop = HandCrop(sides, Similarity(1.0, 0.0, 0.0), 8, 8.0)
    assert HandResult(2, crop, np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), bool)).name == name


def free_settings():
    widths = AxisLimits(least=256, usual=512, most=1024, multiple=64)
    return TwoStageSettings(
        body=BodySettings(widths=widths, heights=AxisLimits(least=512, usual=512, most=512, multiple=8))
    )


@given(st.integers(1, 1100), st.integers(510, 514))
def test_a_size_is_the_model_s_own_or_within_its_limits(width, height):
    asked = request(size=(width, height))
    if (width, height) == (512, 512):
        assert asked.resolve(SETTINGS).pose.width == 512
    else:
        with pytest.raises(RequestError, match=f"paints 512x512 alone, got {width}x{height}; .*--sizes"):
            asked.resolve(SETTINGS)
    if width in range(256, 1025, 64) and height == 512:
        resolved = asked.resolve(free_settings())
        assert (resolved.size, resolved.pose.width, resolved.pose.height) == ((width, 512), width, 512)
        assert resolved.resolve(free_settings()).size == (width, 512)
    else:
        said = "expected a width of 256 to 1024 in steps of 64 and a height of 512 to 512 in steps of 8"
        with pytest.raises(RequestError, match=f"{said}, got {width}x{height}"):
            asked.resolve(free_settings())


WIDE = Pose((person(),), 768, 512)


def test_a_pose_of_another_shape_is_said_with_the_remedy():
    """768 x 512 on 512 x 512: 2/3 as large, 1/3 of the picture is above and below it."""
    (line,) = request(pose=WIDE).resolve(SETTINGS).pose.warnings
    assert line.startswith("the pose's canvas is 768x512, the picture 512x512:") and "33% of the picture" in line
    assert "--canvas" not in line and line.endswith("crop the pose's canvas to the picture's shape")
    (line,) = request(pose=WIDE).resolve(free_settings()).pose.warnings
    assert "ask for a picture of the pose's shape (--canvas, such as 768x512)" in line
    again = request(pose=WIDE).resolve(SETTINGS).resolve(SETTINGS)
    assert len(again.pose.warnings) == 1


@pytest.mark.parametrize("size", [(512, 512), (300, 300), (512, 500)])
def test_a_pose_of_the_same_shape_is_not_talked_about(size):
    assert request(pose=Pose((person(),), *size)).resolve(SETTINGS).pose.warnings == ()


def test_nobody_is_refused_with_the_reason():
    with pytest.raises(RequestError, match=r"got none \(frame 1 of 2 has nobody"):
        request(pose=Pose((), 64, 64, ("frame 1 of 2 has nobody: --frame chooses another",)))


def test_a_mask_goes_with_its_pose_to_another_canvas():
    """A 64 x 48 pose on 256 x 512: four times as large, 160 rows from the top."""
    mask = np.zeros((48, 64), bool)
    mask[10:20, 5:15] = True
    resolved = request(hand_mask=mask, size=(256, 512)).resolve(free_settings())
    expected = np.zeros((512, 256), bool)
    expected[160 + 40 : 160 + 80, 20:60] = True
    assert (resolved.hand_mask != expected).sum() <= 4, "more than the corners, which interpolation rounds"
    np.testing.assert_allclose(resolved.pose.people[0].points[0], [80, 240])


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"widths": AxisLimits(least=64, usual=128, most=512)}, "widths.usual must be 512"),
        ({"heights": AxisLimits(least=500, usual=512, most=513)}, "body.heights: expected multiples of 8 up to 16384"),
        (
            {"widths": AxisLimits(usual=512, least=512, most=32768, multiple=8)},
            "multiples of 8 up to 16384, got 512 to 32768",
        ),
    ],
)
def test_free_sizes_that_make_no_sense(fields, said):
    with pytest.raises(ValidationError, match=said):
        TwoStageSettings.model_validate({"body": {name: limits.model_dump() for name, limits in fields.items()}})
