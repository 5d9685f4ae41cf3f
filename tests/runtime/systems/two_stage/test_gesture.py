"""A gesture in the hands' prompts: what the hand generator is told, by formula; what stays as it was without one."""

from importlib.resources import as_file, files
from typing import Any

import numpy as np
import pytest
from pydantic import create_model
from support.arithmetic_model import SETTINGS, ids_of, model, person, request, text_encoder

from handfirst.engines.bundle import Bundle, demo_bundle_path
from handfirst.runtime.batch.job import content_key, job_fields
from handfirst.runtime.diffusion.gesture import Gesture, LowRank
from handfirst.runtime.errors import RequestError
from handfirst.runtime.systems.two_stage import seam
from handfirst.runtime.systems.two_stage.settings import HandGesture, TwoStageSettings, read_settings

N, R = 16, 3
TOLD = SETTINGS.model_copy(
    update={
        "gestures": (
            HandGesture(name="ok", words="and palm", rank=R, mu=0.25),
            HandGesture(name="fist", words="and back", rank=R),
        )
    }
)


def known():
    """Random features and fusions."""
    made = {}
    for name in ("ok", "fist"):
        random = np.random.default_rng(len(name))
        g, V, U = (random.normal(size=shape).astype(np.float32) for shape in (63, (R, N + 63), (N, R)))
        made[name] = Gesture(g, LowRank(V, U), np.zeros(0, np.float32))
    return made


def embedding(*words):
    return text_encoder({"ids": np.array([ids_of(*words)])})["context"][0].astype(np.float64)


def fused(name, mu, *words):
    """E'' = mu E + (1 - mu) (E + U V [vec(E); g]), in double precision."""
    gesture, E = known()[name], embedding(*words)
    U, V = gesture.fuse.U.astype(np.float64), gesture.fuse.V.astype(np.float64)
    F = E + (U @ (V @ np.concatenate([E.ravel(), gesture.feature.astype(np.float64)]))).reshape(E.shape)
    return mu * E + (1 - mu) * F


WORDS = ("a", "red", "man", "<unknown>")
"""The comma before the gesture's words is no word of the small vocabulary."""


@pytest.mark.parametrize(("mu", "share"), [(None, 0.25), (0.6, 0.6), (0.0, 0.0)])
def test_hands_are_told_the_gesture_and_the_body_is_not(mu, share):
    system, tapes = model(TOLD, known())
    result = system.render(request(gesture="ok", mu=mu, negative_prompt="blue"))
    assert len(result.hands) == 2
    expected = fused("ok", share, *WORDS, "and", "palm")
    for told in tapes["hand_unet"].inputs:
        np.testing.assert_allclose(told["context"][:2], [embedding("blue")] * 2, atol=1e-6)
        np.testing.assert_allclose(told["context"][2:], [expected] * 2, rtol=1e-5, atol=1e-5)
    for told in (*tapes["body_unet"].inputs, *tapes["controlnet"].inputs):
        np.testing.assert_allclose(told["context"], [embedding("blue"), embedding("a", "red", "man")], atol=1e-6)
    assert result.asked["gesture"] == "ok" and result.asked["mu"] == share
    assert result.asked["prompt"] == result.asked["hand_prompt"] == "a red man"


def test_without_guidance_there_is_the_gesture_alone():
    system, tapes = model(TOLD, known())
    system.render(request(person(left=None), gesture="fist", hand_guidance=1.0, hand_prompt="red palm, "))
    expected = fused("fist", 0.7, "red", "palm", "<unknown>", "and", "back")
    assert all(told["context"].shape[0] == 1 for told in tapes["hand_unet"].inputs)
    np.testing.assert_allclose(tapes["hand_unet"].inputs[0]["context"][0], expected, rtol=1e-5, atol=1e-5)


def test_a_share_of_one_is_the_prompt_with_the_words():
    system = model(TOLD, known())[0]
    one = system.render(request(gesture="ok", mu=1.0))
    other = system.render(request(hand_prompt="a red man, and palm"))
    np.testing.assert_array_equal(one.image, other.image)
    np.testing.assert_array_equal(one.latents, other.latents)


def test_gestures_of_one_batch_are_what_they_are_alone():
    system = model(TOLD, known())[0]
    asked = [request(gesture="ok"), request(), request(gesture="fist", seed=3), request(gesture="fist", mu=0.1)]
    assert len({seam.together(each, TOLD) for each in asked}) == 1
    alone = [system.render(each) for each in asked]
    for one, result in zip(alone, system.render_batch(asked), strict=True):
        np.testing.assert_allclose(result.latents, one.latents, atol=1e-4)
        assert result.request.gesture == one.request.gesture
    plain = model()[0].render(request())
    np.testing.assert_array_equal(alone[1].latents, plain.latents)
    assert "gesture" not in plain.asked and "mu" not in plain.asked
    assert all(np.abs(each.latents - plain.latents).max() > 1e-3 for each in (alone[0], alone[3]))


def test_what_a_request_may_not_say():
    with pytest.raises(RequestError, match="gesture: expected one of ok, fist, got 'like'"):
        request(gesture="like").resolve(TOLD)
    with pytest.raises(RequestError, match="gesture: expected none, as this model has no gestures, got 'ok'"):
        request(gesture="ok").resolve(SETTINGS)
    with pytest.raises(RequestError, match=r"mu: expected it beside a gesture, got 0\.5 without one"):
        request(mu=0.5)
    with pytest.raises(RequestError, match="mu: expected a number from 0 to 1"):
        request(gesture="ok", mu=2)
    with pytest.raises(RequestError, match="gesture: expected text"):
        request(gesture=3)


def test_a_job_says_a_gesture_and_one_without_is_the_job_it_was():
    fields = job_fields(seam.JOBS, {"prompt": "a man", "gesture": "ok", "mu": "0.25"})
    with as_file(files("handfirst.runtime.systems.two_stage") / "demo_pose.json") as pose:
        asked = seam.JOBS.request(fields, {"pose": pose})
    assert (asked.gesture, asked.mu) == ("ok", 0.25)
    numbers = dict.fromkeys(("steps", "guidance", "hand_guidance", "eta"))
    said = {"prompt": "a man", "negative_prompt": "", "hand_prompt": None, "seed": 0, **numbers}
    said |= {"blend": None, "feather": None, "size": None}  # what a job said before there were gestures
    before = create_model("Before", **{name: (Any, value) for name, value in said.items()})()
    assert content_key({}, job_fields(seam.JOBS, {"prompt": "a man"})) == content_key({}, before)
    assert content_key({}, fields) != content_key({}, before)


def test_settings_without_gestures_are_written_as_they_were():
    manifest = Bundle.open(demo_bundle_path()).manifest
    assert "gestures" not in manifest.settings and read_settings(manifest).gestures == ()
    assert list(SETTINGS.model_dump()) == ["schedule", "latent", "text", "hand", "body", "defaults"]
    assert TwoStageSettings.model_validate_json(TOLD.model_dump_json(), strict=True) == TOLD
    told = manifest.model_copy(update={"settings": TOLD.model_dump(mode="json")})
    assert read_settings(told).gesture("ok").mu == 0.25 and read_settings(told).gesture_names == ("ok", "fist")


@pytest.mark.parametrize(
    "gestures",
    [[TOLD.gestures[0]] * 2, [{"name": "../ok", "words": "ok"}], [{"name": "ok", "words": ""}],
     [{"name": "ok", "words": "ok", "mu": 2}]],
)  # fmt: skip
def test_settings_that_make_no_sense(gestures):
    with pytest.raises(ValueError):
        TwoStageSettings.model_validate({**SETTINGS.model_dump(), "gestures": gestures})
