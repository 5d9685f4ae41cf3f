"""Embedding: steps, previews, stopping, threads, seeds, warnings, the sheet."""

import threading

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st
from support.arithmetic_model import (
    BLENDS,
    SETTINGS,
    hand,
    model,
    person,
    request,
)

from handfirst.runtime import running
from handfirst.runtime.diffusion.noise import randn
from handfirst.runtime.diffusion.table import Schedule
from handfirst.runtime.errors import RequestError
from handfirst.runtime.pose.person import Person, Pose
from handfirst.runtime.pose.skeleton import draw_skeleton
from handfirst.runtime.systems.two_stage.pictures import GAP, LABEL, sheet, tile
from handfirst.runtime.systems.two_stage.request import Request


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


def test_steps_tell_what_else_is_known():
    """Hands, canvas and mask once they are drawn; then what is kept after each step, beside SciPy's dilation."""
    system, _ = model()
    seen = list(system.steps(request(steps=6)))
    result = seen[-1].result
    assert [set(p.known) for p in seen[:7]] == [set()] * 7
    for progress in seen[7:-1]:
        np.testing.assert_array_equal(progress.known["canvas"](), result.canvas)
        np.testing.assert_array_equal(progress.known["mask"](), result.mask)
        for drawn in result.hands:
            np.testing.assert_array_equal(progress.known[drawn.name](), drawn.image)
    body = [progress for progress in seen if progress.stage == "body"]
    for s, progress in enumerate(body, 1):
        radius = int(50 / 512 * 64 * (6 - s) / 5 + 0.5)
        grown = scipy.ndimage.maximum_filter(result.mask, 2 * radius + 1, mode="constant")
        cells = grown.reshape(8, 8, 8, 8).mean((1, 3)) > 0.5
        expected = (
            np.kron(cells, np.ones((8, 8), bool)) if s <= 6 - SETTINGS.body.unblended else np.zeros((64, 64), bool)
        )
        np.testing.assert_array_equal(progress.known["region"](), expected)
    assert body[0].known["region"]().any() and not body[-1].known["region"]().any()


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
    assert max(len(t["sample"]) for t in tapes["hand_unet"].inputs) == running.MOST_ROWS
    assert max(len(t["latent"]) for t in tapes["vae_decoder"].inputs) <= 4
    monkeypatch.setattr(running.run_rows, "__defaults__", (1000, None))
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
    drawn = sheet(result)
    assert drawn.shape == (64 + LABEL + GAP, 4 * 64 + 5 * GAP, 3)
    panels = [drawn[LABEL : LABEL + 64, GAP + i * (64 + GAP) :][:, :64] for i in range(4)]
    np.testing.assert_array_equal(panels[0], draw_skeleton(result.request.pose, 64, 64))
    np.testing.assert_array_equal(panels[1][:32, :32], result.hands[0].image)
    np.testing.assert_array_equal(panels[2], result.canvas)
    np.testing.assert_array_equal(panels[3], result.image)
    assert (drawn[:LABEL, GAP : GAP + 64] < 128).any()
    assert (tile([], 10, 20) == 255).all()
