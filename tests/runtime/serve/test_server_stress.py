"""Random crowds: whatever is cancelled, late, broken or refused, the others' pictures are right and all threads end."""

import random
import threading
import time

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from support.arithmetic_model import model, request
from support.gated_model import PATIENCE

from handfirst.engines.errors import EngineError
from handfirst.runtime.errors import BusyError, DeadlineError, JobCancelledError, RequestError
from handfirst.runtime.serve.server import Server

SEEDS = 5
ALONE = {seed: model()[0].render(request(seed=seed, steps=2)) for seed in range(SEEDS)}

FATES = ("finish", "cancel at once", "cancel midway", "late", "too many steps", "read slowly", "forgotten")


def submitted(server, fate, seed):
    """The job, or None where it was refused as it must be; where the queue is full it is tried again."""
    steps = 101 if fate == "too many steps" else 2
    timeout = 1e-6 if fate == "late" else None
    while True:
        try:
            return server.submit(request(seed=seed, steps=steps), timeout)
        except RequestError:
            assert fate == "too many steps"
            return None
        except BusyError:
            time.sleep(0.001)


def lived(server, fate, seed, faults):
    """One client's life with one job; what goes wrong is written down."""
    job = submitted(server, fate, seed)
    if job is None or fate == "forgotten":
        return
    try:
        if fate == "cancel at once":
            job.cancel()
        elif fate in ("cancel midway", "read slowly"):
            for progress in job:
                assert progress.preview().shape == (64, 64, 3)
                if fate == "cancel midway" and progress.stage == "body":
                    job.cancel()
        result = job.result(PATIENCE)
        if not np.array_equal(result.latents, ALONE[seed].latents):
            faults.append((fate, seed, "a wrong picture"))
        if fate in ("cancel at once", "late"):
            faults.append((fate, seed, "was finished"))
    except JobCancelledError:
        if not fate.startswith("cancel"):
            faults.append((fate, seed, "was cancelled"))
    except DeadlineError:
        if fate != "late":
            faults.append((fate, seed, "was late"))
    except Exception as error:
        faults.append((fate, seed, repr(error)))


@settings(max_examples=25, deadline=None)
@given(
    clients=st.lists(
        st.lists(st.tuples(st.sampled_from(FATES), st.integers(0, SEEDS - 1)), max_size=4), min_size=1, max_size=4
    ),
    workers=st.integers(1, 3),
    waiting=st.integers(0, 4),
)
def test_any_crowd(clients, workers, waiting):
    faults = []

    def client(lives):
        for fate, seed in lives:
            lived(server, fate, seed, faults)

    before = threading.active_count()
    with Server(model()[0], workers, waiting) as server:
        threads = [threading.Thread(target=client, args=(lives,)) for lives in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()
    assert faults == []
    assert (server.waiting, server.running, threading.active_count()) == (0, 0, before)


def test_engines_that_fail_now_and_then_spoil_no_other_picture():
    dice, lock = random.Random(3), threading.Lock()
    good = model()[0]

    def fragile(inputs):
        with lock:
            broken = dice.random() < 0.1
        if broken:
            raise EngineError("body_unet: the device was lost")
        return good._engines["body_unet"].run(inputs)

    with Server(model(body_unet=fragile)[0], workers=3, waiting=60) as server:
        jobs = [(seed, server.submit(request(seed=seed, steps=2))) for seed in [*range(SEEDS)] * 12]
        ends = []
        for seed, job in jobs:
            try:
                np.testing.assert_array_equal(job.result(PATIENCE).latents, ALONE[seed].latents)
                ends.append("made")
            except EngineError:
                ends.append("failed")
    assert set(ends) == {"made", "failed"}


def test_stopping_in_the_midst_ends_every_job():
    server = Server(model()[0], workers=3, waiting=50)
    jobs = [server.submit(request(seed=seed % SEEDS, steps=50)) for seed in range(40)]
    jobs[0].result(PATIENCE)
    server.stop()
    assert {job.state for job in jobs} <= {"succeeded", "cancelled"}
    assert jobs[-1].state == "cancelled"
