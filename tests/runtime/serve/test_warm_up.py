"""A picture before the first: what is painted, when, and what cannot be."""

import threading
from types import SimpleNamespace

import pytest
from support.arithmetic_model import model, request
from support.gated_model import PATIENCE, GatedModel, made

import handfirst
from handfirst.engines.errors import EngineError
from handfirst.runtime.errors import RequestError
from handfirst.runtime.serve.server import Server
from handfirst.runtime.system import Progress
from handfirst.runtime.systems.two_stage.job import PROMPT, demo_pose


class Asked:
    """A model of a two-stage bundle that remembers who asked for what, and what was carried out to the end."""

    bundle = SimpleNamespace(manifest=SimpleNamespace(system="two-stage", name="pretend"))

    def __init__(self):
        self.requests, self.threads, self.finished = [], [], 0

    def steps(self, request):
        self.requests.append(request)
        return self._steps(request)

    def _steps(self, request):
        self.threads.append(threading.current_thread())
        yield Progress("body", 1, 1, lambda: None, made(request))
        self.finished += 1


def test_the_systems_own_example_in_three_steps():
    asked = Asked()
    assert handfirst.warm_up(asked) >= 0
    (painted,) = asked.requests
    assert (painted.prompt, painted.steps) == (PROMPT, 3)
    assert (painted.pose.people[0].points.shape, len(painted.pose.people)) == ((133, 2), len(demo_pose().people))
    assert asked.finished == 1


def test_a_request_of_the_callers():
    asked, wanted = Asked(), request(seed=3)
    handfirst.warm_up(asked, wanted)
    assert asked.requests == [wanted]


def test_a_server_is_warm_before_it_has_threads():
    asked, first = Asked(), request(seed=1)
    before = threading.active_count()
    with Server(asked, warm_up=first) as server:
        assert asked.requests == [first]
        assert asked.threads == [threading.current_thread()]
        assert server.submit(request(seed=2)).result(PATIENCE).seed == 2
    with Server(asked, warm_up=True):
        assert asked.requests[-1].prompt == PROMPT
    with Server(asked):
        assert len(asked.requests) == 3
    assert threading.active_count() == before


def test_every_network_has_run():
    opened, tapes = model()
    handfirst.warm_up(opened, request(steps=1))
    assert all(tape.inputs for tape in tapes.values())


def test_what_goes_wrong_is_said_where_the_server_is_opened():
    before = threading.active_count()
    broken = GatedModel(fails={1: EngineError("no device")}, total=1)
    broken.free()
    with pytest.raises(EngineError, match="no device"):
        Server(broken, warm_up=request(seed=1))
    with pytest.raises(RequestError, match="at most 100"):
        Server(model()[0], warm_up=request(steps=101))
    with pytest.raises(RequestError, match="warm_up: expected one of the model's requests, got int"):
        Server(model()[0], warm_up=5)
    for bare in (GatedModel(), model()[0]):
        with pytest.raises(RequestError, match="from no bundle and has no example; give a request"):
            Server(bare, warm_up=True)
    assert threading.active_count() == before
