"""Ctrl-C, in a process of its own, while a server closes: no worker is inside a library when the interpreter ends."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support import gated_model
from support.arithmetic_model import request
from support.gated_model import PATIENCE, GatedModel

from handfirst.runtime.serve.server import Server

PROGRAM = """
import atexit, os, signal, threading, time
from support.arithmetic_model import request
from support.gated_model import made
from handfirst.runtime.serve.server import Server
from handfirst.runtime.system import Progress

inside, begun = [], threading.Event()

class Library:
    def steps(self, request):
        return self._steps(request)
    def _steps(self, request):
        for step in range(1, 40):
            inside.append(step)
            begun.set()
            time.sleep(0.7)  # native code, as far as the interpreter knows
            inside.remove(step)
            yield Progress("body", step, 40, lambda: None)
        yield Progress("body", 40, 40, lambda: None, made(request))

def interrupt():
    begun.wait(10)
    for _ in range(TIMES):
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's job in the background would ignore it
atexit.register(lambda: print("inside", len(inside), "job", job.state, flush=True))  # after the server's own
threading.Thread(target=interrupt, daemon=True).start()
with Server(Library()) as server:
    job = server.submit(request())
"""


@pytest.mark.parametrize("times", [1, 3])
def test_no_worker_is_left_in_a_library(times):
    """Once while `close` waits; three times, while the interpreter waits for the step as well."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("TIMES", str(times))],
        env={**os.environ, "PYTHONPATH": str(Path(gated_model.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "inside 0 job cancelled\n", done.stderr
    assert done.returncode == -signal.SIGINT
    assert done.stderr.rstrip().endswith("KeyboardInterrupt")


def test_a_cancelled_task_does_not_wait_for_what_the_server_had_accepted():
    model = GatedModel(total=50)
    jobs = []

    async def serve():
        async with Server(model, waiting=3) as server:
            jobs.extend(server.submit(request(seed=seed)) for seed in range(3))

    async def give_up():
        serving = asyncio.create_task(serve())
        while not model.begun:
            await asyncio.sleep(0.001)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        states = [job.state for job in jobs]
        model.free()  # the step under way: asyncio.run waits for the thread that closes
        return states

    assert asyncio.run(asyncio.wait_for(give_up(), PATIENCE)) == ["cancelled"] * 3
    assert model.begun == [0]
