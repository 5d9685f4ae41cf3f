"""The whole story over arithmetic engines, against a plain loop written from the specification's numbered steps."""

import numpy as np
import pytest
from support.arithmetic_model import BLENDS, SETTINGS, model, person, request
from support.arithmetic_reference import reference

from handfirst.runtime.systems.two_stage.canvas import Canvas
from handfirst.runtime.systems.two_stage.request import Request


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
