"""Watchers: called when all locks are free, at their own risk, and at nobody else's."""

import logging
import threading
import time
from contextlib import suppress

import pytest
from support.arithmetic_model import request
from support.gated_model import PATIENCE, GatedModel

from handfirst.runtime.errors import DeadlineError, JobCancelledError, RequestError
from handfirst.runtime.serve.job import Job
from handfirst.runtime.serve.server import Server


def asked_elsewhere(question):
    """The answer of another thread, which gets none while this one holds the lock."""
    answers = []
    thread = threading.Thread(target=lambda: answers.append(question()), daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return answers[0] if answers else "no answer: the lock is held"


def over(job):
    """Once its deadline has passed, which nobody has looked at."""
    while job.remaining > 0:
        time.sleep(0.001)
    return job


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_one_that_raises_costs_itself_alone(error, caplog):
    model = GatedModel()
    calls, heard = [], []

    def broken():
        calls.append(1)
        raise error

    with Server(model) as server, caplog.at_level(logging.WARNING, "handfirst"):
        jobs = [server.submit(request(seed=seed)) for seed in range(3)]
        for job in jobs:
            job.watch(broken)
            job.watch(lambda job=job: heard.append(job))
        model.free(9)
        assert [job.result(PATIENCE).seed for job in jobs] == [0, 1, 2]
    assert len(calls) == 3  # each of them once
    assert [record.name for record in caplog.records] == ["handfirst.runtime.serve.job"] * 3
    assert all(record.exc_info[1] is error for record in caplog.records)
    assert heard.count(jobs[2]) == 4  # begun, two steps, the result


def test_one_that_raises_does_not_reach_who_cancels(caplog):
    job = Job(request(), GatedModel().steps(request()))
    job.watch(lambda: 1 / 0)
    assert job.cancel() is True
    assert job.state == "cancelled"
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    "find_out",
    [lambda j: j.state, lambda j: j.done, lambda j: j.result(), lambda j: next(iter(j)), lambda j: j.news(0), Job.run],
    ids=["state", "done", "result", "iterate", "news", "run"],
)
def test_the_lock_is_free_when_a_deadline_is_found_over(find_out):
    job = over(Job(request(), GatedModel().steps(request()), timeout=0.001))
    seen = []
    job.watch(lambda: seen.append(asked_elsewhere(lambda: job.state)))
    with suppress(DeadlineError):
        find_out(job)
    assert seen == ["timed-out"]


def test_the_lock_is_free_at_every_other_change():
    model = GatedModel()
    model.free(3)
    for end in ("succeeded", "cancelled"):
        job = Job(request(), model.steps(request()))
        seen = []
        job.watch(lambda job=job, seen=seen: seen.append(asked_elsewhere(lambda: job.state)))
        if end == "succeeded":
            job.run()
            assert seen == ["running", "running", "running", "succeeded"]
        else:
            job.cancel()
            assert seen == ["cancelled"]


@pytest.mark.parametrize("find_out", ["submit", "waiting"])
def test_they_may_ask_the_server_and_it_is_free(find_out):
    """Jobs found late while the queue is looked through, whose watchers look through the queue."""
    model = GatedModel()
    with Server(model, waiting=9) as server:
        server.submit(request(seed=0))
        model.until(lambda: model.begun)
        late = [server.submit(request(seed=seed), timeout=0.05) for seed in range(1, 6)]
        seen = []
        for job in late:
            job.watch(lambda: seen.append(server.waiting))
            job.watch(lambda: seen.append(asked_elsewhere(lambda: server.running)))
        for job in late:
            over(job)
        if find_out == "submit":
            last = server.submit(request(seed=9))
        else:
            assert server.waiting == 0
            last = server.submit(request(seed=9))
        assert seen.count(1) >= 5  # every watcher of the second kind was answered
        assert all(isinstance(answer, int) for answer in seen)
        assert [job.state for job in late] == ["timed-out"] * 5
        model.free(6)
        assert last.result(PATIENCE).seed == 9
    assert model.begun == [0, 9]


def test_each_watches_for_itself():
    """The same function, given twice, is called twice; who stops twice stops nobody else."""
    heard = []
    job = Job(request(), GatedModel().steps(request()))

    def hear():
        heard.append(1)

    stop, _ = job.watch(hear), job.watch(hear)
    stop()
    stop()
    job.cancel()
    assert heard == [1]


def test_a_server_is_not_closed_by_its_own_threads(caplog):
    model = GatedModel()
    server = Server(model)
    jobs = [server.submit(request(seed=seed)) for seed in range(2)]
    for end in (server.close, server.stop):
        jobs[0].watch(end)
    model.free(6)
    assert [job.result(PATIENCE).seed for job in jobs] == [0, 1]
    server.close()
    assert [type(record.exc_info[1]) for record in caplog.records] == [RequestError] * 2
    assert "from another one" in str(caplog.records[0].exc_info[1])


def test_a_model_that_does_not_let_go_costs_no_worker():
    class Clinging(GatedModel):
        def _steps(self, request):
            try:
                yield from super()._steps(request)
            finally:
                if request.seed == 1:
                    raise OSError("cannot clean up")

    model = Clinging()
    with Server(model) as server:
        first, second = server.submit(request(seed=1)), server.submit(request(seed=2))
        model.free()
        model.until(lambda: (1, 1) in model.told)
        first.cancel()
        model.free(5)
        assert second.result(PATIENCE).seed == 2
        with pytest.raises(JobCancelledError):
            first.result()


@pytest.mark.parametrize("timeout", ["1", True, None.__class__, [1], 1j])
def test_timeouts_that_are_no_numbers(timeout):
    with Server(GatedModel()) as server, pytest.raises(RequestError, match="timeout: expected seconds above 0"):
        server.submit(request(), timeout=timeout)


@pytest.mark.parametrize("timeout", ["1", True, -1, float("nan"), [1]])
def test_waits_that_are_no_numbers(timeout):
    job = Job(request(), GatedModel().steps(request()))
    job.cancel()  # so that nobody waits where the number is taken after all
    with pytest.raises(RequestError, match="timeout: expected seconds to wait, 0 or more"):
        job.result(timeout)


@pytest.mark.parametrize("callback", [None, 5, "print"])
def test_a_watcher_that_cannot_be_called(callback):
    with pytest.raises(RequestError, match="callback: expected a function"):
        Job(request(), GatedModel().steps(request())).watch(callback)


@pytest.mark.parametrize("asked", [None, "a person", {"prompt": "a person"}])
def test_a_request_that_is_none(asked):
    with Server(GatedModel()) as server, pytest.raises(RequestError, match="request: expected one of the model's, got"):
        server.submit(asked)
