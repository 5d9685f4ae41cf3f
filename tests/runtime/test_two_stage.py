"""The whole story over arithmetic engines, against a plain loop written from the specification's numbered steps.

The model: 64 x 64 canvas, 32 x 32 hands, 4 latent channels, 8 pixels to a cell. Every engine treats its rows one by
one, so that what a picture looks like can be worked out by hand.
"""

import threading
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from handfirst.engines.errors import BundleError
from handfirst.engines.fake import FakeEngine
from handfirst.engines.spec import EngineSpec, TensorSpec
from handfirst.runtime import rows
from handfirst.runtime.canvas import Canvas
from handfirst.runtime.errors import RequestError
from handfirst.runtime.masks import mask_table
from handfirst.runtime.noise import part_seed, randn
from handfirst.runtime.pose.crop import hand_crops
from handfirst.runtime.pose.heatmaps import condition
from handfirst.runtime.pose.person import Person, Pose
from handfirst.runtime.pose.skeleton import draw_skeleton, hint
from handfirst.runtime.request import Request
from handfirst.runtime.schedule import Schedule
from handfirst.runtime.settings import TwoStageSettings
from handfirst.runtime.sheet import GAP, LABEL, contact_sheet, tile
from handfirst.runtime.systems.two_stage import TwoStage, read_settings
from handfirst.runtime.systems.two_stage_roles import ROLES, check_roles

BLENDS = ("expansion", "naive", "bounding-box")
SETTINGS = TwoStageSettings.model_validate(
    {
        "schedule": {"train_steps": 100},
        "latent": {"channels": 4, "factor": 8, "mean": (0.1, 0.0, -0.1, 0.0), "std": (0.5, 0.6, 0.7, 0.8)},
        "text": {"length": 8, "width": 2, "begin": 0, "end": 1, "pad": 1},
        "hand": {"size": 32, "condition": {"grid": 8, "fold": 2, "sigma": 0.1}},
        "body": {"height": 64, "width": 64},
        "defaults": {"steps": 6, "guidance": 2.0, "hand_guidance": 1.5},
    }
)

_SAMPLE = ("sample", ("batch", 4, 8, 8))
_SHARED = (("timestep", ("batch",)), ("context", ("batch", 8, 2)))
_RESIDUALS = (("residual_00", ("batch", 4, 8, 8)), ("residual_mid", ("batch", 4, 4, 4)))
_HINT_FEATURE = ("hint_feature", ("batch", 4, 8, 8))
_PICTURE = ("image", ("batch", 3, "height", "width"))
_LATENT = ("latent", ("batch", 4, "rows", "cols"))

SHAPES = {
    "text_encoder": ((("ids", ("batch", 8)),), (("context", ("batch", 8, 2)),)),
    "hand_unet": (
        (("sample", ("batch", 48, 4, 4)), *_SHARED),
        (("prediction", ("batch", 4, 4, 4)), ("feature", ("batch", 2, 4, 4))),
    ),
    "mask_head": ((("feature", ("batch", 2, 4, 4)),), (("mask", ("batch", 1, 32, 32)),)),
    "hint_encoder": ((("hint", ("batch", 4, 64, 64)),), (_HINT_FEATURE,)),
    "controlnet": ((_SAMPLE, *_SHARED, _HINT_FEATURE), _RESIDUALS),
    "body_unet": ((_SAMPLE, *_SHARED, *_RESIDUALS), (("prediction", ("batch", 4, 8, 8)),)),
    "vae_encoder": ((_PICTURE,), (_LATENT,)),
    "vae_decoder": ((_LATENT,), (_PICTURE,)),
}


def spec(role):
    def tensors(named):
        whole = ("ids", "timestep")
        return tuple(TensorSpec(name=n, dtype="int64" if n in whole else "float32", shape=s) for n, s in named)

    inputs, outputs = SHAPES[role]
    return EngineSpec(inputs=tensors(inputs), outputs=tensors(outputs))


def blocks(array, size):
    """Block means [..., H, W] -> [..., H / size, W / size]."""
    *rest, h, w = array.shape
    return array.reshape(*rest, h // size, size, w // size, size).mean((-3, -1), dtype=np.float32)


def grown(array, size):
    return array.repeat(size, -2).repeat(size, -1)


def word(inputs):
    """One number per row out of its context and time, [B, 1, 1, 1]."""
    return (inputs["context"].mean((1, 2)) + inputs["timestep"] / 400).astype(np.float32)[:, None, None, None]


def text_encoder(inputs):
    ids = inputs["ids"].astype(np.float32)
    return {"context": np.stack([ids / 20, np.cos(ids)], -1)}


def hand_unet(inputs):
    x_t, c_p = inputs["sample"][:, :4], inputs["sample"][:, 4:]
    seen = c_p.max(1, keepdims=True)
    prediction = 0.6 * x_t + np.tanh(x_t[:, ::-1] + seen) * 0.2 + 0.3 * word(inputs)
    feature = np.concatenate([seen + 0.01 * word(inputs), x_t[:, :1]], 1)
    return {"prediction": prediction.astype(np.float32), "feature": feature.astype(np.float32)}


def mask_head(inputs):
    return {"mask": grown(inputs["feature"][:, :1], 8) * np.float32(2)}


def hint_encoder(inputs):
    return {"hint_feature": blocks(inputs["hint"], 8)}


def controlnet(inputs):
    residual = inputs["hint_feature"] * (1 + 0.1 * inputs["sample"]) + 0.1 * word(inputs)
    return {"residual_00": residual.astype(np.float32), "residual_mid": blocks(residual, 2)}


def body_unet(inputs):
    x_t, extra = inputs["sample"], inputs["residual_00"] + grown(inputs["residual_mid"], 2)
    return {"prediction": (0.7 * x_t + 0.2 * np.tanh(extra) + 0.2 * word(inputs)).astype(np.float32)}


def vae_encoder(inputs):
    cells = blocks(inputs["image"], 8)
    return {"latent": np.concatenate([cells, cells.mean(1, keepdims=True)], 1)}


def vae_decoder(inputs):
    image = grown(inputs["latent"][:, :3], 8)
    rows = np.linspace(-0.2, 0.2, image.shape[2], dtype=np.float32)[:, None]
    return {"image": np.tanh(image) + rows}


FUNCTIONS = {
    "text_encoder": text_encoder,
    "hand_unet": hand_unet,
    "mask_head": mask_head,
    "hint_encoder": hint_encoder,
    "controlnet": controlnet,
    "body_unet": body_unet,
    "vae_encoder": vae_encoder,
    "vae_decoder": vae_decoder,
}
VOCABULARY = "<begin> <end> <unknown> a left right hand palm back side of and red blue man"
WORDS = VOCABULARY.split()


def tokenizer():
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unknown>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return made.to_str().encode()


class Tape:
    """An engine's function that remembers what it was given."""

    def __init__(self, function):
        self.function = function
        self.inputs = []

    def __call__(self, inputs):
        self.inputs.append({name: array.copy() for name, array in inputs.items()})
        return self.function(inputs)


def model(settings=SETTINGS, **functions):
    """The system, and a tape per engine. `functions` replace engines by role."""
    tapes = {role: Tape(functions.get(role, FUNCTIONS[role])) for role in FUNCTIONS}
    engines = {role: FakeEngine(spec(role), role, tape) for role, tape in tapes.items()}
    return TwoStage(settings, engines, tokenizer()), tapes


def hand(x, y, side=16.0):
    """21 points in a square around (x, y)."""
    spread = np.random.default_rng(7).random((21, 2)) - 0.5
    spread[0], spread[1] = -0.5, 0.5
    return np.array([x, y]) + side * spread


def person(left=(16, 20), right=(48, 40)):
    points = np.full((133, 2), np.nan)
    points[[0, 5, 6, 7, 8, 11, 12]] = [(32, 8), (40, 20), (24, 20), (44, 30), (20, 30), (38, 45), (26, 45)]
    if left is not None:
        points[91:112] = hand(*left)
    if right is not None:
        points[112:133] = hand(*right)
    return Person(points, np.isfinite(points[:, 0]).astype(np.float64))


def request(*people, **fields):
    pose = Pose(people or (person(),), 64, 64)
    return Request(**{"pose": pose, "prompt": "a red man", "seed": 5, **fields})


def changed(**sections):
    """The tiny settings with some fields replaced: changed(hand={"view_words": True})."""
    fields = SETTINGS.model_dump()
    for section, values in sections.items():
        fields[section] |= values
    return TwoStageSettings.model_validate(fields)


def ids_of(*words):
    return [0, *(WORDS.index(word) for word in words), 1, *[1] * (6 - len(words))]


# The reference: steps 1 to 11 of the specification as one plain loop in double precision.


def ddim(predict, x, steps, guidance, after=None):
    """eps-prediction, eta 0; `after(s, x, alpha_bar)` may change x after step s = 1..steps."""
    alpha_bar = np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 100) ** 2)
    times = list(range(0, 100 - 100 % steps, 100 // steps))[:steps][::-1]
    for s, t in enumerate((time + 1 for time in times), 1):
        previous = t - 100 // steps
        a, b = alpha_bar[t], alpha_bar[previous] if previous >= 0 else alpha_bar[0]
        without, given = predict(x, t)
        eps = without + guidance * (given - without)
        x = np.sqrt(b) * (x - np.sqrt(1 - a) * eps) / np.sqrt(a) + np.sqrt(1 - b) * eps
        x = after(s, x, b) if after else x
    return x


def context_of(*words):
    return text_encoder({"ids": np.array([ids_of(*words)])})["context"]


def normalised(raw):
    return (raw - np.array(SETTINGS.latent.mean)[:, None, None]) / np.array(SETTINGS.latent.std)[:, None, None]


def pictures(latent):
    raw = latent * np.array(SETTINGS.latent.std)[:, None, None] + np.array(SETTINGS.latent.mean)[:, None, None]
    image = np.clip(vae_decoder({"latent": raw})["image"], -1, 1)
    return np.rint((image + 1) * 127.5).astype(np.uint8).transpose(0, 2, 3, 1)


def reference(asked, steps=6, guidance=2.0, hand_guidance=1.5):
    """(final latents [4, 8, 8], image [64, 64, 3]) of a request with the prompt "a red man" and one person."""
    (someone,) = asked.pose.people
    given, without = context_of("a", "red", "man"), context_of()
    canvas = Canvas.empty(SETTINGS.body)
    for crop in hand_crops(someone, SETTINGS.hand, 64, 64):
        points = {side: crop.similarity.apply(someone.hand(side)) for side in crop.sides}
        c_p = condition(points.get("left"), points.get("right"), None, 32, SETTINGS.hand.condition, 8)[None]

        def hands(x, t, c_p=c_p):
            sample = np.concatenate([x, c_p], 1)
            return [
                hand_unet({"sample": sample, "timestep": np.array([t]), "context": c})["prediction"]
                for c in (without, given)
            ]

        name = f"hand-0-{'both' if len(crop.sides) == 2 else crop.sides[0]}"
        x = ddim(hands, randn(part_seed(asked.seed, name), (1, 4, 4, 4)).astype(np.float64), steps, hand_guidance)
        seen = c_p.max(1, keepdims=True) + 0.01 * word({"context": given, "timestep": np.array([1])})
        canvas = canvas.place(pictures(x)[0], grown(seen[0, 0], 8) >= 0.25, crop.similarity)
    x_c = normalised(vae_encoder({"image": canvas.image.transpose(2, 0, 1)[None] / 127.5 - 1})["latent"])
    eps_0 = randn(asked.seed, (1, 4, 8, 8)).astype(np.float64)
    table = mask_table(canvas.parts, steps, asked.blend, SETTINGS.body, 8)
    hint_feature = blocks(hint(asked.pose, canvas.mask, 64, 64)[None], 8)

    def body(x, t):
        answers = []
        for c in (without, given):
            inputs = {"sample": x, "timestep": np.array([t]), "context": c}
            answers.append(body_unet({**inputs, **controlnet({**inputs, "hint_feature": hint_feature})})["prediction"])
        return answers

    def blend(s, x, a):
        known = np.sqrt(a) * x_c + np.sqrt(1 - a) * eps_0
        return np.where(table[s - 1], known, x) if s <= steps - 2 else x

    latents = ddim(body, eps_0, steps, guidance, blend)
    return latents[0], np.where(canvas.mask[..., None], canvas.image, pictures(latents)[0])


@pytest.mark.parametrize("blend", BLENDS)
@pytest.mark.parametrize("right", [(48, 40), (26, 24)], ids=["two crops", "a joint crop"])
def test_the_story_equals_the_plain_loop(blend, right):
    asked = request(person(right=right), blend=blend)
    latents, image = reference(asked)
    result = model()[0].render(asked)
    assert result.mask.any()
    assert not result.mask.all()
    np.testing.assert_allclose(result.latents, latents, atol=1e-4)
    assert np.abs(result.image.astype(int) - image.astype(int)).max() <= 1
    assert [h.name for h in result.hands] == (["hand-0-both"] if right == (26, 24) else ["hand-0-left", "hand-0-right"])


@pytest.mark.parametrize("steps", [1, 2, 3, 50])
def test_any_number_of_steps(steps):
    asked = request(steps=steps)
    result = model()[0].render(asked)
    np.testing.assert_allclose(result.latents, reference(asked, steps=steps)[0], atol=2e-4)


@pytest.mark.parametrize("blend", BLENDS)
@pytest.mark.parametrize("feather", [0, 3.5])
@pytest.mark.parametrize("eta", [0, 1])
def test_kept_pixels_stay_to_the_last_bit(blend, feather, eta):
    result = model()[0].render(request(blend=blend, feather=feather, eta=eta))
    assert result.mask.any()
    np.testing.assert_array_equal(result.image[result.mask], result.canvas[result.mask])
    rebuilt = Canvas.build(result.hands, SETTINGS.body)
    np.testing.assert_array_equal(rebuilt.image, result.canvas)
    np.testing.assert_array_equal(rebuilt.mask, result.mask)
    assert (result.canvas[~result.mask] == 128).all()


def test_what_a_result_holds():
    result = model()[0].render(request())
    assert (result.image.shape, result.image.dtype) == ((64, 64, 3), np.uint8)
    assert (result.canvas.shape, result.canvas.dtype) == ((64, 64, 3), np.uint8)
    assert (result.mask.shape, result.mask.dtype) == ((64, 64), np.bool_)
    assert (result.latents.shape, result.latents.dtype) == ((4, 8, 8), np.float32)
    assert result.seed == 5
    for made in result.hands:
        assert (made.image.shape, made.image.dtype) == ((32, 32, 3), np.uint8)
        assert (made.mask.shape, made.mask.dtype) == ((32, 32), np.bool_)
    assert list(result.seconds) == ["text", "hands", "hands_decode", "canvas", "body", "body_decode", "total"]
    assert all(value > 0 for value in result.seconds.values())
    assert result.request.steps == 6
    assert result.request.hand_prompt == "a red man"


def test_an_image_is_the_same_alone_and_in_a_batch():
    asked = [
        request(seed=1, negative_prompt="blue"),
        request(person(left=None), seed=2, blend="naive", prompt="a blue man"),
        request(person(), person(left=(50, 10), right=None), seed=3, blend="bounding-box", hand_prompt="red hand"),
        request(person(left=None, right=None), seed=4),
    ]
    for eta in (0.0, 0.7):
        each = [Request(**{**vars(r), "eta": eta}) for r in asked]
        together = model()[0].render_batch(each)
        for one, among in zip((model()[0].render(r) for r in each), together, strict=True):
            np.testing.assert_allclose(one.latents, among.latents, atol=1e-4)
            np.testing.assert_array_equal(one.mask, among.mask)
            np.testing.assert_array_equal(one.image, among.image)


def test_a_hand_does_not_depend_on_other_people():
    alone = model()[0].render(request(person()))
    crowd = model()[0].render(request(person(), person(left=(50, 10), right=None)))
    assert [h.name for h in crowd.hands] == ["hand-0-left", "hand-0-right", "hand-1-left"]
    for a, b in zip(alone.hands, crowd.hands, strict=False):
        np.testing.assert_array_equal(a.image, b.image)


def test_requests_that_differ_in_steps_are_painted_apart_and_returned_in_order():
    asked = [request(steps=4, seed=1), request(steps=2, seed=2), request(steps=4, seed=3), request(guidance=1, seed=4)]
    system, tapes = model()
    results = system.render_batch(asked)
    assert [r.seed for r in results] == [1, 2, 3, 4]
    assert [r.request.steps for r in results] == [4, 2, 4, 6]
    assert [len(t["sample"]) for t in tapes["body_unet"].inputs] == [4] * 4 + [2] * 2 + [1] * 6
    for one, result in zip(asked, results, strict=True):
        np.testing.assert_allclose(model()[0].render(one).latents, result.latents, atol=1e-4)
    assert system.render_batch([]) == []


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
        _, cut = Canvas(np.zeros((64, 64, 3), np.uint8), (mask,)).cut(crop.similarity, 32)
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


def test_steps_tell_what_is_done_and_end_with_the_result():
    system, _ = model()
    seen = list(system.steps(request(steps=3)))
    three = [(1, 3), (2, 3), (3, 3)]
    told = [("text", 1, 1), *(("hands", *s) for s in three), ("canvas", 1, 1), *(("body", *s) for s in three)]
    assert [(p.stage, p.step, p.total) for p in seen] == [*told, ("decode", 1, 1)]
    assert [p.result is None for p in seen] == [True] * 8 + [False]
    np.testing.assert_array_equal(seen[-1].result.image, system.render(request(steps=3)).image)
    for progress in seen:
        picture = progress.preview()
        assert (picture.shape, picture.dtype) == ((64, 64, 3), np.uint8)
    np.testing.assert_array_equal(seen[-1].preview(), seen[-1].result.image)
    np.testing.assert_array_equal(seen[4].preview(), seen[-1].result.canvas)
    assert (seen[0].preview() == 128).all()
    assert (seen[1].preview() != 128).any()


def test_previews_cost_nothing_unless_called():
    system, tapes = model()
    list(system.steps(request()))
    assert len(tapes["vae_decoder"].inputs) == 2


def test_closing_the_steps_stops_the_work():
    system, tapes = model()
    running = system.steps(request(steps=50))
    for progress in running:
        if (progress.stage, progress.step) == ("body", 3):
            break
    running.close()
    assert len(tapes["body_unet"].inputs) == 3
    assert len(tapes["vae_decoder"].inputs) == 1


def test_one_model_serves_many_threads():
    system, _ = model()
    wanted = [model()[0].render(request(seed=i)).image for i in range(6)]
    made = {}

    def paint(seed):
        made[seed] = system.render(request(seed=seed)).image

    threads = [threading.Thread(target=paint, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(6):
        np.testing.assert_array_equal(made[i], wanted[i])


def test_equal_seeds_give_equal_pictures_and_others_do_not():
    system, _ = model()
    for eta in (0, 1):
        a, b, c = (system.render(request(seed=s, eta=eta)) for s in (8, 8, 9))
        np.testing.assert_array_equal(a.image, b.image)
        assert (a.image != c.image).any()
        assert (a.hands[0].image != c.hands[0].image).any()


def test_eta_is_the_stream_that_one_generator_would_draw():
    """A step with eta adds sigma z to the step without; z is the next draw of the body's generator."""
    quiet, noisy = (model()[0].render(request(person(left=None, right=None), steps=1, eta=e)) for e in (0, 1))
    a, b = Schedule(SETTINGS.schedule).alpha_bar[[1, 0]]
    sigma = np.sqrt((1 - b) / (1 - a) * (1 - a / b))
    z = randn(5, (2, 4, 8, 8))[1]
    x_T = randn(5, (4, 8, 8))
    eps = (quiet.latents - np.sqrt(b / a) * x_T) / (np.sqrt(1 - b) - np.sqrt(b / a) * np.sqrt(1 - a))
    wanted = quiet.latents + (np.sqrt(1 - b - sigma**2) - np.sqrt(1 - b)) * eps + sigma * z
    np.testing.assert_allclose(noisy.latents, wanted, atol=1e-3)


def test_many_people_are_run_in_pieces_that_change_nothing(monkeypatch):
    crowd = [person(left=(8 + 12 * i, 16), right=(8 + 12 * i, 48)) for i in range(5)]
    system, tapes = model()
    pieces = system.render(request(*crowd))
    assert len(pieces.hands) == 10
    assert max(len(t["sample"]) for t in tapes["hand_unet"].inputs) == rows.MOST_ROWS
    assert max(len(t["latent"]) for t in tapes["vae_decoder"].inputs) <= 4
    monkeypatch.setattr(rows.run_rows, "__defaults__", (1000,))
    system, tapes = model()
    whole = system.render(request(*crowd))
    assert max(len(t["sample"]) for t in tapes["hand_unet"].inputs) == 20
    np.testing.assert_allclose(pieces.latents, whole.latents, atol=1e-5)
    np.testing.assert_array_equal(pieces.mask, whole.mask)


def test_warnings_say_what_was_lost():
    pose = Pose((person(),), 64, 64, ("a point was odd",))
    empty = model(mask_head=lambda inputs: {"mask": np.zeros((len(inputs["feature"]), 1, 32, 32), np.float32)})[0]
    result = empty.render(Request(pose=pose, prompt="a red man " * 4))
    assert result.warnings[0] == "a point was odd"
    assert any("12 tokens" in line for line in result.warnings)
    assert sum("nothing of it is kept" in line for line in result.warnings) == 2
    assert not result.mask.any()
    tiny_hand = np.full((133, 2), np.nan)
    tiny_hand[91:112] = hand(30, 30, 3)
    small = model()[0].render(request(Person(tiny_hand, np.ones(133))))
    assert any("hand-0-left is small" in line for line in small.warnings)
    assert model()[0].render(request()).warnings == ()


def test_more_steps_than_the_model_has_is_a_request_error():
    with pytest.raises(RequestError, match="at most 100"):
        model()[0].steps(request(steps=101))


@settings(max_examples=40, deadline=None)
@given(
    points=st.lists(st.tuples(st.floats(-300, 400), st.floats(-300, 400)), min_size=42, max_size=42),
    missing=st.sets(st.integers(0, 41), max_size=41),
    blend=st.sampled_from(BLENDS),
    seed=st.integers(0, 2**63 - 1),
)
def test_no_pose_breaks_it_and_kept_pixels_are_kept(points, missing, blend, seed):
    everything = np.full((133, 2), np.nan)
    everything[91:] = points
    everything[[91 + i for i in missing]] = np.nan
    someone = Person(everything, np.isfinite(everything[:, 0]).astype(np.float64))
    result = model()[0].render(request(someone, blend=blend, seed=seed, steps=3))
    np.testing.assert_array_equal(result.image[result.mask], result.canvas[result.mask])
    assert np.isfinite(result.latents).all()


def test_the_sheet_shows_four_panels():
    result = model()[0].render(request())
    sheet = contact_sheet(result)
    assert sheet.shape == (64 + LABEL + GAP, 4 * 64 + 5 * GAP, 3)
    panels = [sheet[LABEL : LABEL + 64, GAP + i * (64 + GAP) :][:, :64] for i in range(4)]
    np.testing.assert_array_equal(panels[0], draw_skeleton(result.request.pose, 64, 64))
    np.testing.assert_array_equal(panels[1][:32, :32], result.hands[0].image)
    np.testing.assert_array_equal(panels[2], result.canvas)
    np.testing.assert_array_equal(panels[3], result.image)
    assert (sheet[:LABEL, GAP : GAP + 64] < 128).any()
    assert (tile([], 10, 20) == 255).all()


# What a model is made of.


def test_every_role_is_needed():
    specs = {role: spec(role) for role in ROLES}
    check_roles(SETTINGS, specs)
    for role in ROLES:
        with pytest.raises(BundleError, match=f"{role} missing"):
            check_roles(SETTINGS, {name: s for name, s in specs.items() if name != role})


def altered(role, kind, tensor, **fields):
    """The tiny specs with one tensor altered."""
    specs = {each: spec(each) for each in ROLES}
    tensors = tuple(
        TensorSpec(**{**t.model_dump(), **fields}) if t.name == tensor else t for t in getattr(specs[role], kind)
    )
    specs[role] = specs[role].model_copy(update={kind: tensors})
    return specs


@pytest.mark.parametrize(
    ("role", "kind", "name", "fields", "said"),
    [
        (
            "hand_unet",
            "inputs",
            "sample",
            {"shape": ("b", 15, 4, 4)},
            r"'sample': expected float32 \[\*,48,4,4\].*\[b,15,4,4\]",
        ),
        ("hand_unet", "inputs", "timestep", {"dtype": "float32"}, r"'timestep': expected int64"),
        ("hand_unet", "outputs", "prediction", {"shape": ("b", 4, 8, 8)}, r"hand_unet: output 'prediction'"),
        ("hand_unet", "outputs", "feature", {"shape": ("b", 7, 4, 4)}, r"hand_unet's output and mask_head's input"),
        ("mask_head", "outputs", "mask", {"shape": ("b", 1, 64, 64)}, r"expected float32 \[\*,1,32,32\]"),
        ("text_encoder", "inputs", "ids", {"shape": ("b", 77)}, r"'ids': expected int64 \[\*,8\]"),
        ("text_encoder", "outputs", "context", {"shape": ("b", 8)}, r"'context'"),
        ("hint_encoder", "inputs", "hint", {"shape": ("b", 3, 64, 64)}, r"'hint': expected float32 \[\*,4,64,64\]"),
        ("controlnet", "inputs", "hint_feature", {"shape": ("b", 9, 8, 8)}, r"hint_encoder's output and controlnet's"),
        ("controlnet", "outputs", "residual_mid", {"name": "middle"}, r"body_unet: inputs: expected .*middle.*got"),
        ("body_unet", "inputs", "residual_00", {"shape": ("b", 5, 8, 8)}, r"controlnet's output and body_unet's"),
        ("vae_decoder", "inputs", "latent", {"shape": ("b", 8, "r", "c")}, r"vae_decoder: input 'latent'"),
        ("vae_encoder", "inputs", "image", {"dtype": "float16"}, r"got float16"),
    ],
)
def test_engines_that_do_not_fit_are_named_in_one_line(role, kind, name, fields, said):
    specs = altered(role, kind, name, **fields)
    with pytest.raises(BundleError, match=said) as caught:
        check_roles(SETTINGS, specs)
    assert "\n" not in str(caught.value)
    assert "export the bundle again" in str(caught.value) or "expected" in str(caught.value)


def test_free_axes_fit_any_size():
    specs = altered("body_unet", "inputs", "sample", shape=("batch", 4, "height", "width"))
    check_roles(SETTINGS, specs)
    check_roles(SETTINGS, altered("vae_decoder", "outputs", "image", shape=("batch", 3, "h", "w")))


def manifest(**fields):
    return SimpleNamespace(**{"name": "tiny", "system": "two-stage", "settings": SETTINGS.model_dump(), **fields})


def test_settings_are_read_from_the_manifest():
    assert read_settings(manifest()) == SETTINGS


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"system": "part-refiner"}, "expected the system two-stage, got part-refiner"),
        ({"settings": {"hand": {"sise": 32}}}, r"settings\.hand\.sise"),
        ({"settings": {"latent": {"factor": "many"}}}, r"settings\.latent\.factor.*'many'"),
        ({"settings": {"hand": {"size": 100}}}, r"settings: .*multiple of 8"),
    ],
)
def test_settings_that_make_no_sense_are_one_line(fields, said):
    with pytest.raises(BundleError, match=said) as caught:
        read_settings(manifest(**fields))
    assert "\n" not in str(caught.value)


def test_open_checks_before_it_loads(monkeypatch):
    opened = []

    class FakeBundle:
        def __init__(self, specs):
            entries = {role: SimpleNamespace(spec=s) for role, s in specs.items()}
            self.manifest = manifest(engines=entries, tokenizer="tokenizer.json")

        def engine(self, role, provider, threads):
            opened.append((role, provider, threads))
            return FakeEngine(spec(role), role, FUNCTIONS[role])

        def bytes(self, name):
            assert name == "tokenizer.json"
            return tokenizer()

    home = "handfirst.runtime.systems.two_stage.Bundle"
    good = FakeBundle({role: spec(role) for role in ROLES})
    monkeypatch.setattr(home, SimpleNamespace(open=lambda path: good))
    system = TwoStage.open("anywhere", threads=3)
    assert opened == [(role, "cpu", 3) for role in ROLES]
    assert system.bundle is good
    np.testing.assert_array_equal(system.render(request()).image, model()[0].render(request()).image)
    bad = FakeBundle(altered("hand_unet", "inputs", "sample", shape=("b", 15, 4, 4)))
    monkeypatch.setattr(home, SimpleNamespace(open=lambda path: bad))
    opened.clear()
    with pytest.raises(BundleError, match="hand_unet"):
        TwoStage.open("anywhere")
    assert opened == []


def test_a_model_put_together_by_hand_has_no_bundle_and_can_be_closed():
    system, _ = model()
    with pytest.raises(ValueError, match="not opened from a bundle"):
        _ = system.bundle
    system.close()
    with pytest.raises(Exception, match="closed"):
        system.render(request())
