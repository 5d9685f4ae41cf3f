"""Jobs of a model made of arithmetic, and batches of one that takes as long as the test says."""

import numpy as np
import pytest
from support.arithmetic_model import model, person, request

from handfirst.engines.errors import EngineError
from handfirst.runtime.profile import measure
from handfirst.runtime.profile.measure import grow_batches, numbered, recorder_share, run_job, run_jobs, span_cost


def test_every_picture_has_words_and_a_seed_of_its_own():
    asked = numbered(request(person(), prompt="a man"), 3, 2)
    assert [(each.seed, each.prompt) for each in asked] == [(3, "a man 3"), (4, "a man 4")]


def test_parts_lie_within_the_job_and_cover_it():
    system, tapes = model()
    first, *rest = run_jobs(system, request(person(), steps=2), 3)
    assert len(rest) == 2
    for job in (first, *rest):
        assert 0 <= job.between < job.wall
        assert sum(sum(part.own) for part in job.parts) + job.between == job.wall
        assert all(job.start <= each.start <= each.end <= job.start + job.wall for each in job.spans)
    encoded = [sum(each.name == "text_encoder" for each in job.spans) for job in (first, *rest)]
    assert encoded == [2, 1, 1]  # the empty negative prompt is heard once and kept
    assert len(tapes["text_encoder"].inputs) == 4


class Paced:
    """Takes `seconds[n]` of a clock of its own for n pictures; refuses where there is no entry."""

    def __init__(self, seconds, monkeypatch):
        self.seconds, self.now, self.asked = seconds, 0, []
        monkeypatch.setattr(measure.time, "perf_counter_ns", lambda: self.now)

    def render_batch(self, requests):
        count = len(requests)
        self.asked.append(count)
        if count not in self.seconds:
            raise EngineError("CUDA: the GPU's memory\nis full")
        self.now += round(self.seconds[count] * 1e9)
        return []


def batches(seconds, monkeypatch, limit=64):
    system = Paced(seconds, monkeypatch)
    return list(grow_batches(system, request(person()), limit, "cpu", lambda: False)), system


def test_batches_grow_until_nothing_is_gained(monkeypatch):
    made, system = batches({1: 1, 2: 1.5, 4: 2.5, 8: 4.9, 16: 5}, monkeypatch)
    assert [(each.images, each.seconds) for each in made] == [(1, 1), (2, 1.5), (4, 2.5), (8, 4.9)]
    np.testing.assert_allclose([each.images_per_second for each in made], [1, 4 / 3, 1.6, 8 / 4.9])
    assert system.asked == [n for n in (1, 2, 4, 8) for _ in range(4)]
    assert {each.memory_bytes for each in made} == {None}  # the system cannot count anew


def test_batches_stop_at_the_limit(monkeypatch):
    made, _ = batches({n: 1 for n in (1, 2, 4, 8)}, monkeypatch, limit=7)
    assert [each.images for each in made] == [1, 2, 4]


def test_a_batch_that_does_not_fit_ends_the_curve(monkeypatch):
    made, _ = batches({1: 1, 2: 1}, monkeypatch)
    assert [each.images for each in made] == [1, 2, 4]
    assert (made[-1].seconds, made[-1].images_per_second) == (None, 0)
    assert made[-1].refused == "CUDA: the GPU's memory is full"


def test_a_model_that_cannot_paint_at_all_is_an_error(monkeypatch):
    with pytest.raises(EngineError):
        batches({}, monkeypatch)


def test_what_a_span_costs_is_found():
    cost = span_cost()
    assert set(cost) == {"engine", "host", "stage"}
    assert all(0 < nanoseconds < 1e6 for nanoseconds in cost.values())


def test_the_recorders_share_is_of_the_wall_time(monkeypatch):
    job = run_job(model()[0], [request(person(), steps=2)])
    monkeypatch.setattr("handfirst.runtime.profile.measure.span_cost", lambda tensors: dict.fromkeys(_KINDS, 10.0))
    assert recorder_share([job, job]) == pytest.approx(len(job.spans) * 10 / job.wall)


_KINDS = ("engine", "host", "stage")
