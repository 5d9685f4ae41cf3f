"""The queue and its workers: bounds, fairness, ends; and the same picture whatever else is painted."""

import gc
import threading
import weakref

import numpy as np
import pytest
from support.arithmetic_model import model as arithmetic
from support.arithmetic_model import request
from support.gated_model import PATIENCE, GatedModel, picture

from handfirst.engines.errors import EngineError
from handfirst.runtime.errors import BusyError, JobCancelledError, RequestError
from handfirst.runtime.serve.server import Server


def names():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("handfirst-")]


def test_first_come_first_served():
    model = GatedModel()
    with Server(model) as server:
        jobs = [server.submit(request(seed=seed)) for seed in range(5)]
        model.free(15)
        for seed, job in enumerate(jobs):
            np.testing.assert_array_equal(job.result(PATIENCE).image, picture(seed))
    assert model.begun == [0, 1, 2, 3, 4]
    assert (server.waiting, server.running) == (0, 0)


@pytest.mark.parametrize(("workers", "waiting"), [(1, 0), (1, 2), (3, 0), (2, 3)])
def test_no_more_wait_than_was_said(workers, waiting):
    model = GatedModel()
    with Server(model, workers=workers, waiting=waiting) as server:
        jobs = [server.submit(request(seed=seed)) for seed in range(workers + waiting)]
        with pytest.raises(BusyError, match=rf"busy: {waiting} requests wait, the most that it keeps; try again later"):
            server.submit(request(seed=99))
        model.until(lambda: len(model.begun) == workers)
        assert (server.running, server.waiting) == (workers, waiting)
        with pytest.raises(BusyError):
            server.submit(request(seed=99))
        model.free(3 * len(jobs))
        assert [job.result(PATIENCE).seed for job in jobs] == list(range(len(jobs)))
    assert 99 not in model.begun


def test_a_waiting_job_that_ends_gives_its_place_back():
    model = GatedModel()
    with Server(model, waiting=2) as server:
        server.submit(request(seed=0))
        cancelled, late = server.submit(request(seed=1)), server.submit(request(seed=2), timeout=0.02)
        with pytest.raises(BusyError):
            server.submit(request(seed=9))
        cancelled.cancel()
        with pytest.raises(TimeoutError):
            late.result()
        assert server.waiting == 0
        others = [server.submit(request(seed=3)), server.submit(request(seed=4))]
        model.free(9)
        assert [job.result(PATIENCE).seed for job in others] == [3, 4]
    assert model.begun == [0, 3, 4]


def test_a_cancelled_job_makes_room_for_the_next_after_one_step():
    model = GatedModel(total=50)
    with Server(model) as server:
        first, second = server.submit(request(seed=1)), server.submit(request(seed=2))
        model.free(2)
        model.until(lambda: len(model.told) == 2)
        first.cancel()
        model.free()
        model.until(lambda: 2 in model.begun)
        assert len([seed for seed, _ in model.told if seed == 1]) <= 3
        model.free(60)
        assert second.result(PATIENCE).seed == 2


def test_a_worker_outlives_its_jobs_errors():
    model = GatedModel(fails={1: EngineError("out of memory"), 2: MemoryError(), 3: KeyboardInterrupt()})
    model.free(100)
    with Server(model) as server:
        jobs = [server.submit(request(seed=seed)) for seed in range(5)]
        for job, error in zip(jobs, [None, EngineError, MemoryError, KeyboardInterrupt, None], strict=True):
            if error is None:
                job.result(PATIENCE)
            else:
                with pytest.raises(error):
                    job.result(PATIENCE)


def test_what_does_not_fit_the_model_is_said_at_the_door():
    model, tapes = arithmetic()
    with Server(model) as server:
        with pytest.raises(RequestError, match="at most 100"):
            server.submit(request(steps=101))
        with pytest.raises(RequestError, match="timeout"):
            server.submit(request(), timeout=0)
    assert not tapes["body_unet"].inputs


def test_closing_finishes_what_was_accepted():
    model = GatedModel()
    server = Server(model)
    jobs = [server.submit(request(seed=seed)) for seed in range(3)]
    closing = threading.Thread(target=server.close)
    closing.start()
    model.until(lambda: model.begun)
    model.free(9)
    closing.join(PATIENCE)
    assert [job.state for job in jobs] == ["succeeded"] * 3
    with pytest.raises(BusyError, match="closed"):
        server.submit(request())
    server.close()
    assert not names()


def test_an_error_in_the_block_cancels_everything():
    model = GatedModel(total=50)
    with pytest.raises(KeyError), Server(model) as server:
        jobs = [server.submit(request(seed=seed)) for seed in range(3)]
        model.until(lambda: model.begun)
        threading.Timer(0.05, model.free).start()  # the step under way, while the server stops
        raise KeyError
    assert [job.state for job in jobs] == ["cancelled"] * 3
    with pytest.raises(JobCancelledError, match="as the server stopped"):
        jobs[2].result()
    assert (model.begun, model.closed) == ([0], [0])
    assert not names()


@pytest.mark.parametrize("sizes", [{"workers": 0}, {"workers": 1.5}, {"workers": True}, {"waiting": -1}])
def test_sizes_that_make_no_sense(sizes):
    with pytest.raises(RequestError, match=f"{next(iter(sizes))}: expected a whole number from"):
        Server(GatedModel(), **sizes)
    assert not names()


def test_sizes_may_be_numpys():
    with Server(GatedModel(), workers=np.int64(2), waiting=np.uint8(0)):
        assert len(names()) == 2


@pytest.mark.parametrize("model", [None, "model", object()])
def test_a_model_that_is_none(model):
    with pytest.raises(RequestError, match=r"model: expected an opened one, as handfirst\.open gives, got"):
        Server(model)


def test_more_workers_than_the_system_has_threads(monkeypatch):
    started, start = [], threading.Thread.start

    def limited(thread):
        if len(started) == 2:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    with pytest.raises(RequestError, match="workers: the system starts 2 threads here, got 5"):
        Server(GatedModel(), workers=5)
    assert not names()


def test_an_idle_server_holds_no_picture():
    model = GatedModel()
    model.free(3)
    with Server(model) as server:
        job = server.submit(request())
        result, ended = weakref.ref(job.result(PATIENCE)), weakref.ref(job)
        del job
        model.until(lambda: model.closed)
        second = server.submit(request(seed=2))  # the worker has come back for it once it has begun
        model.until(lambda: 2 in model.begun)
        gc.collect()
        assert (result(), ended()) == (None, None)
        second.cancel()
        model.free()


def test_the_same_picture_alone_and_among_others():
    """Bit by bit: engines that treat rows alike and nothing shared between jobs."""
    asked = [request(seed=seed, eta=0.5 * (seed % 2), steps=3 + seed % 3) for seed in range(12)]
    alone = [arithmetic()[0].render(each) for each in asked]
    with Server(arithmetic()[0], workers=4, waiting=16) as server:
        jobs = [server.submit(each) for each in asked]
        for job, wanted in zip(jobs, alone, strict=True):
            result = job.result(PATIENCE)
            np.testing.assert_array_equal(result.latents, wanted.latents)
            np.testing.assert_array_equal(result.image, wanted.image)
