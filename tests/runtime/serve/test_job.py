"""One job: its states, its progress, its ends; worked off by hand or in a thread of the test's own."""

import gc
import threading
import weakref

import numpy as np
import pytest
from support.arithmetic_model import request
from support.gated_model import PATIENCE, GatedModel, picture

from handfirst.runtime.errors import DeadlineError, JobCancelledError, RequestError
from handfirst.runtime.serve.job import Job


def job_of(model, seed=1, timeout=None):
    asked = request(seed=seed)
    return Job(asked, model.steps(asked), timeout)


def started(job):
    thread = threading.Thread(target=job.run, daemon=True)
    thread.start()
    return thread


def test_a_job_that_succeeds():
    model = GatedModel()
    job = job_of(model, seed=7)
    assert (job.state, job.done, job.latest, job.remaining) == ("waiting", False, None, None)
    thread = started(job)
    model.until(lambda: model.begun)
    assert job.state == "running"
    model.free(3)
    np.testing.assert_array_equal(job.result(PATIENCE).image, picture(7))
    thread.join(PATIENCE)
    assert (job.state, job.done) == ("succeeded", True)
    assert (job.latest.step, job.latest.result) == (3, job.result())
    assert job.cancel() is False
    assert job.result().seed == 7


def test_waiting_for_a_result_has_a_limit_of_its_own():
    job = job_of(GatedModel())
    with pytest.raises(TimeoutError, match="waiting after 0 s; it goes on") as caught:
        job.result(0)
    assert not isinstance(caught.value, DeadlineError)
    assert job.state == "waiting"


def test_steps_are_told_as_they_come():
    model = GatedModel()
    job = job_of(model)
    thread = started(job)
    seen = []
    model.free()
    for progress in job:
        seen.append(progress.step)
        model.free()
    assert seen == [1, 2, 3]
    assert progress.result is job.result()
    np.testing.assert_array_equal(progress.preview(), picture(1))
    thread.join(PATIENCE)
    assert [p.step for p in job] == [3]  # who comes late sees how it ended


def test_a_reader_that_comes_late_gets_the_newest_piece_only():
    model = GatedModel(total=50)
    job = job_of(model)
    thread = started(job)
    model.free(20)
    model.until(lambda: len(model.told) == 20)
    model.free()
    model.until(lambda: len(model.told) == 21)  # so the 20th has been taken
    pieces = iter(job)
    assert next(pieces).step >= 20
    model.free(29)
    thread.join(PATIENCE)
    assert [p.step for p in pieces][-1] == 50


def test_old_pieces_are_not_kept():
    model = GatedModel()
    job = job_of(model)
    thread = started(job)
    model.free()
    first = weakref.ref(next(iter(job)))
    model.free(2)
    thread.join(PATIENCE)
    gc.collect()
    assert first() is None


def test_an_error_is_the_jobs_own_and_says_where_it_happened():
    model = GatedModel(fails={1: ValueError("it broke")})
    model.free(3)
    job = job_of(model)
    job.run()
    assert (job.state, job.latest) == ("failed", None)
    depths = []
    for _ in range(3):
        with pytest.raises(ValueError, match="it broke") as caught:
            job.result()
        assert "_steps" in [entry.name for entry in caught.traceback]
        depths.append(len(caught.traceback))
    assert len(set(depths)) == 1
    with pytest.raises(ValueError, match="it broke"):
        list(job)


def test_even_what_is_no_exception_stays_inside():
    model = GatedModel(fails={1: SystemExit(3)})
    model.free(3)
    job = job_of(model)
    job.run()
    with pytest.raises(SystemExit):
        job.result()


def test_a_model_that_ends_without_a_result_is_an_error():
    asked = request()
    job = Job(asked, (piece for piece in ()))
    job.run()
    with pytest.raises(RuntimeError, match="without a result"):
        job.result()


def test_a_failed_job_leaves_nothing_behind():
    """No cycle through the traceback, which would hold the tensors of the step until the collector comes by."""
    gc.collect()
    gc.disable()
    try:
        model = GatedModel(fails={1: ValueError("it broke")})
        model.free(3)
        job = job_of(model)
        job.run()
        ended = weakref.ref(job)
        del job
        assert ended() is None
    finally:
        gc.enable()


def test_a_waiting_job_is_cancelled_at_once_and_never_begun():
    model = GatedModel()
    job = job_of(model)
    assert job.cancel() is True
    assert job.cancel() is False
    job.run()
    assert (job.state, model.begun) == ("cancelled", [])
    with pytest.raises(JobCancelledError, match="cancelled by its caller"):
        job.result()


def test_a_running_job_lets_go_after_the_step_under_way():
    model = GatedModel(total=50)
    job = job_of(model)
    thread = started(job)
    model.free(2)
    model.until(lambda: len(model.told) == 2)
    assert job.cancel() is True
    with pytest.raises(JobCancelledError):
        job.result(0)
    model.free(48)
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert len(model.told) <= 3
    assert model.closed == [1]


def test_cancelling_wins_over_a_result_that_comes_after():
    model = GatedModel(total=1)
    job = job_of(model)
    thread = started(job)
    model.until(lambda: model.begun)
    assert job.cancel() is True
    model.free()
    thread.join(PATIENCE)
    assert (job.state, job.latest) == ("cancelled", None)


@pytest.mark.parametrize("run", [False, True], ids=["while waiting", "while running"])
def test_a_deadline_ends_it(run):
    model = GatedModel()
    job = job_of(model, timeout=0.05)
    thread = started(job) if run else None
    with pytest.raises(DeadlineError, match=r"still (running|waiting) after its 0\.05 s") as caught:
        job.result(PATIENCE)
    assert isinstance(caught.value, TimeoutError)
    assert (job.state, job.remaining) == ("timed-out", 0)
    model.free(3)
    if thread is None:
        job.run()
        assert model.begun == []
    else:
        thread.join(PATIENCE)
        assert len(model.told) == 1


def test_a_deadline_in_time_changes_nothing():
    model = GatedModel()
    model.free(3)
    job = job_of(model, timeout=1000)
    job.run()
    assert 900 < job.remaining <= 1000
    assert job.result().seed == 1


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), 2e6])
def test_a_timeout_that_cannot_be_kept(timeout):
    with pytest.raises(RequestError, match="timeout: expected seconds above 0"):
        job_of(GatedModel(), timeout=timeout)


def test_leaving_the_block_cancels_what_is_not_done():
    with pytest.raises(KeyError), job_of(GatedModel()) as job:
        raise KeyError
    assert job.state == "cancelled"


def test_watchers_hear_of_every_change_until_they_stop():
    model = GatedModel()
    model.free(3)
    job = job_of(model)
    heard, less = [], []
    job.watch(lambda: heard.append(job.state))
    stop = job.watch(lambda: less.append(1))
    stop()
    stop()
    job.run()
    assert heard == ["running", "running", "running", "succeeded"]
    assert less == []


def test_it_is_run_once():
    model = GatedModel()
    model.free(6)
    job = job_of(model)
    job.run()
    job.run()
    assert len(model.told) == 3
