"""Train equals serve: what a sample holds is what the runtime makes of the same picture; colours by formula."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from support.cut_crops import cut as cut_out
from support.finetuning import body_options, hand_options

from handfirst.runtime.diffusion.masks import mask_table
from handfirst.runtime.diffusion.text import token_ids
from handfirst.runtime.geometry import Similarity
from handfirst.runtime.pose.crop import hand_crops
from handfirst.runtime.pose.skeleton import hint as runtime_hint
from handfirst.runtime.systems.two_stage.canvas import Canvas
from handfirst.runtime.systems.two_stage.hands import find_hands
from handfirst.runtime.systems.two_stage.request import Request
from handfirst.runtime.systems.two_stage.settings import TwoStageSettings
from handfirst.training.data.augment import Colours, recolour
from handfirst.training.data.example import Example, fit
from handfirst.training.data.shards import open_shards
from handfirst.training.systems.two_stage.conditions import hand_prompt, kept_cells, to_pose
from handfirst.training.systems.two_stage.config import changed_settings
from handfirst.training.systems.two_stage.model_folder import ModelFolder
from handfirst.training.systems.two_stage.options import BodyOptions
from handfirst.training.systems.two_stage.samples import BodySamples, HandSamples
from handfirst.training.systems.two_stage.stages import hint as trained_hint


@pytest.fixture(scope="module")
def person(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Example:
    """With both hands in the picture."""
    shards = open_shards(people, tmp_path_factory.mktemp("index"))
    found = (shards.read(i) for i in range(len(shards)))
    return next(e for e in found if (e.keypoints[91:, 2] > 0).all() and len(np.unique(e.hands)) == 3)


def test_the_condition_of_a_crop_is_the_one_that_inference_draws(tiny: Path, person: Example) -> None:
    """A canvas with a person: the runtime finds its hands; training gets the same square as a picture of its own."""
    model = ModelFolder(tiny)
    settings = model.settings.model_copy(update={"hand": model.settings.hand.model_copy(update={"view_words": True})})
    pose = to_pose(person.keypoints, 64)
    mask = person.hands > 0
    request = Request(pose=pose, prompt=person.caption, hand_mask=mask).resolve(settings)
    make = HandSamples(settings, hand_options(mask_dropout=0, text_dropout=0), model.tokenizer)
    served = find_hands(request, settings)
    assert len(served) >= 1
    for hand, crop in zip(served, hand_crops(pose.people[0], settings.hand, 64, 64), strict=True):
        picture, cut = cut_out(Canvas(person.rgb, (mask,)), crop.similarity, crop.size)
        keypoints = np.zeros((133, 3), np.float32)
        for side in crop.sides:
            rows = slice(91, 112) if side == "left" else slice(112, 133)
            keypoints[rows, :2] = crop.similarity.apply(person.keypoints[rows, :2].astype(np.float64))
            keypoints[rows, 2] = 2
        label = 1 if crop.sides == ("left",) else 2
        example = Example("crop", picture, cut.astype(np.uint8) * label, keypoints, person.caption)
        sample = make.draw(example, np.random.default_rng(0))
        np.testing.assert_allclose(sample["c_p"], hand.c_p, atol=2e-6)
        assert hand_prompt(example.caption, keypoints, settings) == hand.prompt
        drawn = make.fix(example, np.random.default_rng(0), 5)
        assert not drawn["c_p"][10 * settings.hand.condition.fold**2 :].any() and drawn["t"] == 5


def test_hint_canvas_and_kept_cells_are_those_of_inference(tiny: Path, person: Example) -> None:
    model = ModelFolder(tiny)
    settings = model.settings
    mask = person.hands > 0
    sample = BodySamples(settings, body_options(text_dropout=0), model.tokenizer).draw(person, np.random.default_rng(1))
    batch = {name: torch.from_numpy(np.asarray(value))[None] for name, value in sample.items()}
    served = runtime_hint(to_pose(person.keypoints, 64), mask, 64, 64)
    np.testing.assert_array_equal(trained_hint(batch["skeleton"], batch["hands"])[0].numpy(), served)
    canvas = Canvas.empty(settings.body).place(person.rgb, mask, Similarity(1.0, 0.0, 0.0))
    np.testing.assert_array_equal(sample["canvas"], canvas.image)
    naive = mask_table([mask], 4, "naive", settings.body, settings.latent.factor)
    np.testing.assert_array_equal(sample["kept"][0], naive[0])
    np.testing.assert_array_equal(sample["ids"], token_ids(model.tokenizer, person.caption, settings.text)[0])


@pytest.mark.parametrize("change", [{"mask_radius": 0.5}, {"mask_schedule": "latent", "mask_count": 4}])
def test_an_expanded_mask_shrinks_as_the_samplers_does(tiny: Path, change: dict[str, Any]) -> None:
    settings = changed_settings(ModelFolder(tiny).settings, BodyOptions(settings={"body": change}))
    mask = np.zeros((64, 64), np.bool_)
    mask[24:40, 24:40] = True
    steps = settings.schedule.train_steps
    table = mask_table([mask], steps, "expansion", settings.body, settings.latent.factor)
    for t in (steps - 1, 700, 300, 1, 0):  # after step s of T, the sampler stands at time T - s
        np.testing.assert_array_equal(kept_cells(mask, settings, t), table[steps - 1 - t])
    assert kept_cells(mask, settings, steps - 1).sum() > 4 * kept_cells(mask, settings).sum()


def test_blend_source_is_one_switch(tiny: Path) -> None:
    before = ModelFolder(tiny).settings
    after = changed_settings(before, BodyOptions(settings={"body": {"blend_source": "clean"}}))
    assert isinstance(after, TwoStageSettings)
    assert before.body.blend_source == "noised" and after.body.blend_source == "clean"
    assert after.model_copy(update={"body": before.body}) == before


def test_another_size_keeps_points_on_their_pixels(person: Example) -> None:
    assert fit(person, 64) is person
    half = fit(person, 32)
    blocks = person.rgb.reshape(32, 2, 32, 2, 3).astype(np.float64).mean((1, 3))
    assert np.abs(half.rgb - blocks).max() <= 0.5 + 1e-6
    share = (person.hands == 2).reshape(32, 2, 32, 2).mean((1, 3))
    np.testing.assert_array_equal(half.hands == 2, share >= 0.5)
    np.testing.assert_allclose(half.keypoints[:, :2], person.keypoints[:, :2] / 2, atol=1e-5)
    double = fit(person, 128)
    np.testing.assert_allclose(double.rgb, cv2.resize(person.rgb, (128, 128), interpolation=cv2.INTER_LINEAR))


def reference(rgb: np.ndarray, colours: Colours, rng: np.random.Generator) -> np.ndarray:
    """The two operations in floating point: v + shift per channel, then v (1 + contrast) + 255 brightness."""
    out = rgb.astype(np.float64)
    now = rng.random(2) < (colours.shift_probability, colours.contrast_probability)
    shift = rng.uniform(-colours.shift, colours.shift, 3)
    contrast = rng.uniform(-colours.contrast, colours.contrast)
    brightness = rng.uniform(-colours.brightness, colours.brightness)
    if now[0]:
        out = np.clip(np.rint(out + shift), 0, 255)
    if now[1]:
        out = np.clip(out * (1 + contrast) + 255 * brightness, 0, 255)
    return out


@pytest.mark.parametrize("probability", [0.0, 0.5, 1.0])
def test_colours_change_by_the_formula(person: Example, probability: float) -> None:
    colours = Colours(shift_probability=probability, contrast_probability=probability)
    for seed in range(6):
        got = recolour(person.rgb, colours, np.random.default_rng(seed))
        wanted = reference(person.rgb, colours, np.random.default_rng(seed))
        assert got.dtype == np.uint8 and np.abs(got - wanted).max() <= 0.5001


def test_dropouts_happen_as_often_as_they_should(tiny: Path, person: Example) -> None:
    model = ModelFolder(tiny)
    make = HandSamples(model.settings, hand_options(mask_dropout=0.5, text_dropout=0.25), model.tokenizer)
    small = fit(person, 64)
    drawn = [make.draw(small, np.random.default_rng((7, i))) for i in range(300)]
    last = 10 * model.settings.hand.condition.fold**2
    without_mask = sum(not s["c_p"][last:].any() for s in drawn)
    without_text = sum((s["ids"] != s["plain"]).any() for s in drawn)
    assert 115 <= without_mask <= 185  # 150 +- 4 sigma
    assert 45 <= without_text <= 105
    assert abs(np.mean([s["t"] for s in drawn]) - 499.5) < 70
    assert abs(np.mean([s["eps"].std() for s in drawn]) - 1) < 0.02
