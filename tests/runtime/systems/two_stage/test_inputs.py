"""What the networks are told: poses, prompts, masks and crops on their way into the engines."""

import numpy as np
from support.arithmetic_model import (
    FUNCTIONS,
    SETTINGS,
    WORDS,
    changed,
    hand_unet,
    ids_of,
    model,
    person,
    request,
    spec,
    tokenizer,
)
from support.arithmetic_reference import context_of, reference
from support.cut_crops import cut as cut_out
from support.fake_engine import FakeEngine

from handfirst.runtime.diffusion.noise import part_seed, randn
from handfirst.runtime.diffusion.table import Schedule
from handfirst.runtime.pose.crop import hand_crops
from handfirst.runtime.pose.person import Person, Pose
from handfirst.runtime.pose.skeleton import hint
from handfirst.runtime.systems.two_stage.canvas import Canvas
from handfirst.runtime.systems.two_stage.condition import condition
from handfirst.runtime.systems.two_stage.request import Request
from handfirst.runtime.systems.two_stage.system import TwoStage


def test_what_the_hand_unet_is_told():
    system, tapes = model()
    result = system.render(request(negative_prompt="blue", hand_prompt="left hand"))
    first, *_, last = tapes["hand_unet"].inputs
    assert len(tapes["hand_unet"].inputs) == 6
    assert first["sample"].shape == (4, 48, 4, 4)
    np.testing.assert_array_equal(first["sample"][:2], first["sample"][2:])
    np.testing.assert_array_equal(first["sample"][:, 4:], last["sample"][:, 4:])
    for i, made in enumerate(result.hands):
        np.testing.assert_array_equal(first["sample"][i, :4], randn(part_seed(5, made.name), (4, 4, 4)))
        points = made.crop.similarity.apply(person().hand(made.crop.sides[0]))
        sides = (points, None) if made.crop.sides == ("left",) else (None, points)
        c_p = condition(*sides, None, 32, SETTINGS.hand.condition, 8)
        np.testing.assert_array_equal(first["sample"][i, 4:], c_p)
    np.testing.assert_allclose(first["context"][:2], context_of("blue").repeat(2, 0), atol=1e-6)
    np.testing.assert_allclose(first["context"][2:], context_of("left", "hand").repeat(2, 0), atol=1e-6)
    steps = [t for t, _ in Schedule(SETTINGS.schedule).timesteps(6)]
    assert [set(t["timestep"].tolist()) for t in tapes["hand_unet"].inputs] == [{t} for t in steps]


def test_the_mask_head_sees_the_prompted_feature_of_the_last_step_once():
    system, tapes = model()
    system.render(request())
    (seen,) = tapes["mask_head"].inputs
    last = tapes["hand_unet"].inputs[-1]
    wanted = hand_unet({name: array[2:] for name, array in last.items()})["feature"]
    np.testing.assert_array_equal(seen["feature"], wanted)


def test_the_feature_is_asked_for_at_the_last_step_alone():
    engines = {role: FakeEngine(spec(role), role, function) for role, function in FUNCTIONS.items()}
    TwoStage(SETTINGS, engines, tokenizer()).render(request(steps=4))
    assert engines["hand_unet"].wanted == [("prediction",)] * 3 + [("prediction", "feature")]


def test_what_the_body_is_told():
    system, tapes = model()
    result = system.render(request())
    (hinted,) = tapes["hint_encoder"].inputs
    np.testing.assert_array_equal(hinted["hint"], hint(request().pose, result.mask, 64, 64)[None])
    np.testing.assert_array_equal(hinted["hint"][0, 3], ~result.mask)
    first = tapes["body_unet"].inputs[0]
    np.testing.assert_array_equal(first["sample"], randn(5, (1, 4, 8, 8)).repeat(2, 0))
    np.testing.assert_allclose(
        first["context"], np.concatenate([context_of(), context_of("a", "red", "man")]), atol=1e-6
    )
    (encoded,) = tapes["vae_encoder"].inputs
    np.testing.assert_allclose(encoded["image"], result.canvas.transpose(2, 0, 1)[None] / 127.5 - 1, atol=1e-6)
    assert len(tapes["controlnet"].inputs) == len(tapes["body_unet"].inputs) == 6


def test_guidance_one_asks_only_once_and_ignores_the_negative_prompt():
    system, tapes = model()
    a = system.render(request(guidance=1, hand_guidance=1, negative_prompt="blue"))
    assert tapes["hand_unet"].inputs[0]["sample"].shape[0] == 2
    assert tapes["body_unet"].inputs[0]["sample"].shape[0] == 1
    np.testing.assert_array_equal(a.image, system.render(request(guidance=1, hand_guidance=1)).image)
    np.testing.assert_allclose(a.latents, reference(request(), guidance=1, hand_guidance=1)[0], atol=1e-4)


def test_people_without_hands_are_painted_without_stage_one():
    system, tapes = model()
    result = system.render(request(person(left=None, right=None)))
    assert result.hands == ()
    assert not result.mask.any()
    assert (result.canvas == 128).all()
    assert not tapes["hand_unet"].inputs
    assert not tapes["mask_head"].inputs
    assert result.seconds["hands"] == 0
    assert any("no hand" in line for line in result.warnings)
    np.testing.assert_allclose(result.latents, reference(request(person(left=None, right=None)))[0], atol=1e-4)


def test_a_hand_outside_the_canvas_is_not_generated():
    result = model()[0].render(request(person(left=(-200, 20))))
    assert [h.name for h in result.hands] == ["hand-0-right"]


def test_a_hand_that_leaves_the_canvas_is_kept_where_it_can_be_seen():
    result = model()[0].render(request(person(left=(2, 20), right=None)))
    assert [h.name for h in result.hands] == ["hand-0-left"]
    assert result.mask[:, 0].any()


def test_view_words_begin_the_hands_prompt():
    system, tapes = model(changed(hand={"view_words": True}, text={"length": 8}))
    found = system.render(request())
    prompts = {tuple(t["ids"][0].tolist()) for t in tapes["text_encoder"].inputs}
    assert tuple(ids_of("a", "red", "man")) in prompts
    begun = [ids for ids in prompts if ids[2:4] == (WORDS.index("of"), WORDS.index("a"))]
    assert len(begun) == 2
    assert any("tokens" in line for line in found.warnings)


def test_a_known_hand_mask_fills_the_conditions_mask_channel():
    mask = np.zeros((64, 64), bool)
    mask[12:28, 8:24] = True
    system, tapes = model()
    system.render(request(hand_mask=mask))
    channel = tapes["hand_unet"].inputs[0]["sample"][:2, 4 + 40 :]
    crops = hand_crops(person(), SETTINGS.hand, 64, 64)
    for i, crop in enumerate(crops):
        _, cut = cut_out(Canvas(np.zeros((64, 64, 3), np.uint8), (mask,)), crop.similarity, 32)
        wanted = condition(None, None, cut.astype(np.float32), 32, SETTINGS.hand.condition, 8)[40:]
        np.testing.assert_array_equal(channel[i], wanted)
    assert channel[0].max() == 1
    assert channel[1].max() == 0


def test_poses_and_masks_of_another_size_are_fitted_alike():
    big = Person(person().points * 3 + np.array([0, 50]), person().scores)
    mask = np.zeros((292, 192), bool)
    mask[50 + 36 : 50 + 84, 24:72] = True
    asked = Request(pose=Pose((big,), 192, 292), prompt="a red man", seed=5, hand_mask=mask)
    full = asked.resolve(SETTINGS)
    assert (full.pose.width, full.pose.height) == (64, 64)
    scale = 64 / 292
    np.testing.assert_allclose(full.pose.people[0].points, big.points * scale + [(64 - 192 * scale) / 2, 0])
    inside = np.argwhere(full.hand_mask)[:, ::-1]
    low, high = (np.array([[24, 86], [72, 134]]) * scale + [(64 - 192 * scale) / 2, 0]).round()
    np.testing.assert_array_equal(inside.min(0), low)
    np.testing.assert_array_equal(inside.max(0) + 1, high)
    assert model()[0].render(asked).hands
