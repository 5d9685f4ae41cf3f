"""A two-stage model made of arithmetic: 64 x 64 canvas, 32 x 32 hands, 4 latent channels, 8 pixels to a cell.

Every engine treats its rows one by one, so that what a picture looks like can be worked out by hand.
"""

from types import MappingProxyType

import numpy as np
from support.fake_engine import FakeEngine
from tokenizers import Tokenizer, models, pre_tokenizers

from handfirst.engines.spec import EngineSpec, TensorSpec
from handfirst.runtime.pose.person import Person, Pose
from handfirst.runtime.systems.two_stage.request import Request
from handfirst.runtime.systems.two_stage.settings import TwoStageSettings
from handfirst.runtime.systems.two_stage.system import TwoStage

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


def model(settings=SETTINGS, gestures=MappingProxyType({}), **functions):
    """The system, and a tape per engine. `functions` replace engines by role."""
    tapes = {role: Tape(functions.get(role, FUNCTIONS[role])) for role in FUNCTIONS}
    engines = {role: FakeEngine(spec(role), role, tape) for role, tape in tapes.items()}
    return TwoStage(settings, engines, tokenizer(), gestures=gestures), tapes


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
