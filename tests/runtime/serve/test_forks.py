"""Real forks: what was opened before one says so in the child, at once; what is opened after one works."""

import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from support import arithmetic_model
from support.arithmetic_model import model, request
from support.fake_engine import FakeEngine
from support.forked import in_child
from support.gated_model import PATIENCE, GatedModel

from handfirst.engines.errors import UserError
from handfirst.runtime.errors import ForkError
from handfirst.runtime.residency import lazy_engines
from handfirst.runtime.serve.job import Job
from handfirst.runtime.serve.server import Server
from handfirst.runtime.systems.two_stage.roles import ROLES, STAGES
from handfirst.runtime.systems.two_stage.system import TwoStage

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


@contextmanager
def held(lock):
    """Another thread holds the lock, for good as far as a child can tell."""
    taken, over = threading.Event(), threading.Event()

    def hold():
        with lock:
            taken.set()
            over.wait(PATIENCE)

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    assert taken.wait(PATIENCE)
    yield
    over.set()
    thread.join(PATIENCE)


def test_a_server_of_the_parent_is_refused_at_once():
    with Server(model()[0]) as server:
        with pytest.raises(ForkError, match=rf"server was opened in process {os.getpid()}.*after the fork") as caught:
            in_child(lambda: server.submit(request()).result(5).seed)
        assert isinstance(caught.value, UserError)
        assert "\n" not in str(caught.value)
        assert server.submit(request(seed=4)).result(PATIENCE).seed == 4  # the parent's goes on


@pytest.mark.parametrize("ask", [lambda s: s.waiting, lambda s: s.running, lambda s: s.submit(request())])
def test_nothing_is_asked_of_it_even_while_its_lock_was_held(ask):
    with Server(model()[0]) as server, held(server._changed), pytest.raises(ForkError, match="server was opened"):
        in_child(lambda: ask(server))


@pytest.mark.parametrize("end", [Server.close, Server.stop, lambda s: s.__exit__(KeyError), Server._at_exit])
def test_a_child_ends_without_it(end):
    painter = GatedModel()
    with Server(painter) as server:
        job = server.submit(request(seed=2))
        painter.until(lambda: painter.begun)
        with held(server._changed):
            assert in_child(lambda: end(server) or "ended") == "ended"
        painter.free(3)
        assert job.result(PATIENCE).seed == 2


@pytest.mark.parametrize(
    "ask", [lambda j: j.result(), lambda j: j.state, lambda j: next(iter(j)), lambda j: j.cancel(), lambda j: j.latest]
)
def test_a_job_of_the_parent_is_refused(ask):
    asked = request()
    job = Job(asked, GatedModel().steps(asked), timeout=1000)
    with held(job._changed), pytest.raises(ForkError, match="job was submitted in process"):
        in_child(lambda: ask(job))


@pytest.mark.parametrize("way", ["render", "render_batch", "steps", "through a server of its own"])
def test_a_model_of_the_parent_is_refused(way):
    opened = model()[0]
    opened.render(request())  # contexts of prompts are kept, and need no engine

    def paint():
        if way == "render":
            return opened.render(request()).seed
        if way == "render_batch":
            return [each.seed for each in opened.render_batch([request(), request(seed=2)])]
        if way == "steps":
            return [progress.step for progress in opened.steps(request())]
        with Server(opened) as server:
            return server.submit(request()).result(5).seed

    with pytest.raises(ForkError, match="model was opened in process"):
        in_child(paint)
    assert opened.render(request()).seed == 5


def test_networks_that_take_turns_keep_no_child_waiting():
    """The parent's thread is at the hands when it forks, and in the child nobody ever leaves them."""
    inside, leave = threading.Event(), threading.Event()

    def hand_unet(inputs):
        inside.set()
        leave.wait(PATIENCE)
        return arithmetic_model.hand_unet(inputs)

    functions = {**arithmetic_model.FUNCTIONS, "hand_unet": hand_unet}
    specs = {role: arithmetic_model.spec(role) for role in ROLES}
    engines = lazy_engines(
        specs, STAGES, lambda roles: {role: FakeEngine(specs[role], role, functions[role]) for role in roles}
    )
    opened = TwoStage(arithmetic_model.SETTINGS, engines, arithmetic_model.tokenizer())
    painting = threading.Thread(target=opened.render, args=(request(),), daemon=True)
    painting.start()
    assert inside.wait(PATIENCE)
    no_hands = request(arithmetic_model.person(left=None, right=None))
    with pytest.raises(ForkError, match="model was opened"):
        in_child(lambda: opened.render(no_hands).seed)
    assert in_child(lambda: opened.close() or "closed") == "closed"
    leave.set()
    painting.join(PATIENCE)
    assert not painting.is_alive()


def test_what_is_opened_after_the_fork_works():
    wanted = model()[0].render(request(seed=7)).latents

    def paint():
        with Server(model()[0], workers=2) as server:
            return server.submit(request(seed=7)).result(PATIENCE).latents

    with Server(model()[0]):
        np.testing.assert_array_equal(in_child(paint), wanted)


FORKS_AND_ENDS = """
import os, sys, threading, time
from support.arithmetic_model import model, request
from handfirst.runtime.serve.server import Server

server = Server(model()[0])
server.submit(request()).result(10)
held = threading.Event()
def hold():
    with server._changed:
        held.set()
        time.sleep(60)
threading.Thread(target=hold, daemon=True).start()
held.wait(10)
child = os.fork()
if child == 0:
    sys.exit(7)  # as a worker of gunicorn ends: with all that is registered for it
ended, until = 0, time.monotonic() + 20
while not ended and time.monotonic() < until:
    time.sleep(0.02)
    ended, status = os.waitpid(child, os.WNOHANG)
if not ended:
    os.kill(child, 9)
    os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status) if ended else "hangs", flush=True)
os._exit(0)
"""


def test_a_child_that_ends_in_order_does_not_wait_for_the_parents_server():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKS_AND_ENDS],
        env={**os.environ, "PYTHONPATH": str(Path(arithmetic_model.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.strip() == "7", done.stderr
