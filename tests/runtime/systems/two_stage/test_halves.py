"""Stage 1 and stage 2 apart: the same pictures as in one piece, whichever thread does what."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from support.arithmetic_model import model, person, request

from handfirst.runtime.errors import RequestError

REQUESTS = [request(seed=1), request(person(left=None), seed=2), request(person(None, None), seed=3)]


def test_both_halves_make_what_one_piece_makes():
    system, _ = model()
    alone = [model()[0].render(each) for each in REQUESTS]
    made = system.second_half(system.first_half(REQUESTS))
    for got, wanted in zip(made, alone, strict=True):
        np.testing.assert_array_equal(got.image, wanted.image)
        np.testing.assert_array_equal(got.canvas, wanted.canvas)
        assert [hand.name for hand in got.hands] == [hand.name for hand in wanted.hands]
        assert got.warnings == wanted.warnings
        assert got.seed == wanted.seed


def test_stage_1_runs_no_engine_of_stage_2_and_the_other_way_round():
    system, tapes = model()
    drawn = system.first_half(REQUESTS)
    assert {role for role, tape in tapes.items() if tape.inputs} == {
        "text_encoder", "hand_unet", "mask_head", "vae_decoder",
    }  # fmt: skip
    before = {role: len(tapes[role].inputs) for role in ("text_encoder", "hand_unet", "mask_head")}
    system.second_half(drawn)
    assert {role: len(tapes[role].inputs) for role in before} == before


def test_the_halves_of_two_groups_overlap_in_two_threads():
    system, _ = model()
    groups = [[request(seed=10 * g + i) for i in range(2)] for g in range(4)]
    images = []
    with ThreadPoolExecutor(1) as ahead:
        pending = ahead.submit(system.first_half, groups[0])
        for following in [*groups[1:], None]:
            drawn = pending.result()
            if following is not None:
                pending = ahead.submit(system.first_half, following)
            images += [result.image for result in system.second_half(drawn)]
    wanted = [model()[0].render(each).image for group in groups for each in group]
    np.testing.assert_array_equal(images, wanted)


def test_seconds_are_those_of_both_halves():
    system, _ = model()
    (result,) = system.second_half(system.first_half([request()]))
    stages = ("text", "hands", "hands_decode", "canvas", "body", "body_decode")
    assert tuple(result.seconds) == (*stages, "total")
    assert min(result.seconds[stage] for stage in stages) > 0
    assert result.seconds["total"] == pytest.approx(sum(result.seconds[stage] for stage in stages))


@pytest.mark.parametrize(
    "change",
    [{"steps": 1}, {"hand_steps": 1}, {"guidance": 1}, {"hand_guidance": 1}, {"eta": 1}, {"solver": "dpm++"},
     {"hand_solver": "unipc"}, {"speed": "fast"}],
    ids=str,
)  # fmt: skip
def test_only_equal_loops_are_drawn_together(change):
    system, _ = model()
    with pytest.raises(ValueError, match="equal loops"):
        system.first_half([request(), request(**change)])
    with pytest.raises(ValueError, match="one or more"):
        system.first_half([])


def test_a_default_that_is_written_out_is_the_same_loop():
    system, _ = model()
    assert len(system.second_half(system.first_half([request(), request(steps=6)]))) == 2


def test_a_request_that_the_model_cannot_do_is_refused_before_any_work():
    system, tapes = model()
    with pytest.raises(RequestError, match="at most 100"):
        system.first_half([request(steps=101)])
    assert not any(tape.inputs for tape in tapes.values())
