"""Lazy engines: what is open when, for one thread and for many."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fake_engine import FakeEngine

from handfirst.engines.errors import BundleError, EngineError
from handfirst.engines.spec import EngineSpec, TensorSpec
from handfirst.runtime import residency
from handfirst.runtime.timing.spans import Recording, recorded, recording

SPEC = EngineSpec(
    inputs=(TensorSpec(name="x", dtype="float32", shape=("n",)),),
    outputs=(TensorSpec(name="y", dtype="float32", shape=("n",)),),
)
GROUPS = (("a", "A"), ("b", "B"))
ROLES = ("a", "A", "b", "B", "shared")
HANG = 20.0
"""Seconds after which a test that waits has failed."""


class Opened(FakeEngine):
    """Adds the length of its name; tells the world what becomes of it."""

    def __init__(self, role, world):
        super().__init__(SPEC, role, lambda inputs: world.called(role) or {"y": inputs["x"] + len(role)})
        self.world = world
        world.open.append(role)
        world.most.append(set(world.open))

    def close(self):
        super().close()
        self.world.open.remove(self.name)


class World:
    """Opens engines, and remembers all that was opened at a time."""

    def __init__(self):
        self.open, self.most, self.openings, self.broken = [], [], [], set()
        self.called = lambda role: None
        self.engines = residency.lazy_engines(dict.fromkeys(ROLES, SPEC), GROUPS, self.opens)

    def opens(self, roles):
        self.openings.append(tuple(roles))
        if self.broken & set(roles):
            raise BundleError(f"{roles}: altered")
        return {role: Opened(role, self) for role in roles}

    def run(self, *roles):
        for role in roles:
            y = self.engines[role].run({"x": np.ones(2, np.float32)})["y"]
            np.testing.assert_array_equal(y, 1 + len(role))


@pytest.fixture
def world():
    return World()


def patience(monkeypatch, seconds):
    monkeypatch.setattr(residency, "PATIENCE", seconds)


def waits(world, *roles):
    """How often the calling thread had to wait."""
    with recording(Recording()) as heard:
        world.run(*roles)
    return sum(span.name == "waiting" for span in heard.spans)


def test_a_group_is_opened_as_a_whole_and_stays_until_another_runs(world):
    assert world.open == []
    world.run("shared", "A", "a", "shared", "shared", "A", "b", "shared", "B", "a")
    assert world.openings == [("shared",), GROUPS[0], ("shared",), GROUPS[1], ("shared",), GROUPS[0]]
    assert world.open == ["a", "A"]
    assert max(map(len, world.most)) == 3


def test_it_can_be_opened_ahead(world):
    world.engines["a"].open()
    world.run("a", "A")
    assert world.openings == [GROUPS[0]]


def test_what_was_closed_stays_closed(world):
    world.run("a")
    world.engines["a"].close()
    assert world.open == ["A"]
    with pytest.raises(EngineError, match="a: the engine is closed"):
        world.run("a")
    world.run("b", "A")
    assert world.openings[-1] == ("A",)
    for engine in world.engines.values():
        engine.close()
    assert world.open == []
    for role in ROLES:
        with pytest.raises(EngineError, match="closed"):
            world.run(role)


def test_an_opening_that_fails_says_so_and_is_tried_again(world):
    world.run("a")
    world.broken = {"B"}
    for _ in range(2):
        with pytest.raises(BundleError, match="altered"):
            world.run("b")
    assert world.open == []
    world.broken = set()
    world.run("b", "a")


def test_one_thread_never_waits_for_itself(world, monkeypatch):
    patience(monkeypatch, HANG)
    assert waits(world, "a", "b", "shared", "a", "b") == 0
    assert len(world.openings) == 5


def test_threads_run_one_group_together(world):
    both = threading.Barrier(2, timeout=HANG)
    world.called = lambda role: both.wait() and None
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(world.run, ("a", "A"), timeout=HANG))
    assert world.openings == [GROUPS[0]]


def test_threads_do_not_send_each_others_groups_away(world, monkeypatch):
    patience(monkeypatch, HANG / 2)
    begun = threading.Barrier(2, timeout=HANG)

    def life():
        world.run("a")
        begun.wait()
        world.run("a", "shared", "A", "a", "b", "B", "b")

    with ThreadPoolExecutor(2) as pool:
        for each in [pool.submit(life) for _ in range(2)]:
            each.result(HANG)
    assert world.openings == [GROUPS[0], ("shared",), GROUPS[1]]


def test_nothing_is_closed_under_a_running_engine(world, monkeypatch):
    patience(monkeypatch, 0)
    inside, asked, seen = threading.Event(), threading.Event(), []

    def called(role):
        if role == "a":
            inside.set()
            assert asked.wait(HANG)
            threading.Event().wait(0.05)  # the other thread is at the door by now, or comes later: both are right
        seen.append((role, list(world.open)))

    world.called = called
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(world.run, "a")
        assert inside.wait(HANG)
        second = pool.submit(lambda: asked.set() or world.run("b"))
        first.result(HANG), second.result(HANG)
    assert seen == [("a", ["a", "A"]), ("b", ["b", "B"])]


def test_a_thread_that_stops_in_the_middle_keeps_nobody_waiting(world, monkeypatch):
    patience(monkeypatch, 0.05)
    over = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        stopped = pool.submit(lambda: world.run("a") or over.wait(HANG))
        while not world.open:
            over.wait(0.001)
        pool.submit(world.run, "b").result(HANG)
        over.set()
        assert stopped.result(HANG)


def test_a_preview_from_another_thread_keeps_no_group(world, monkeypatch):
    patience(monkeypatch, HANG)
    world.run("a")
    with ThreadPoolExecutor(1) as pool:
        pool.submit(world.run, "shared", "shared").result(HANG)
    assert waits(world, "b") == 0
    assert world.openings == [GROUPS[0], ("shared",), GROUPS[1]]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.sampled_from(ROLES), max_size=8), min_size=1, max_size=4), st.sampled_from([0.0, 0.001]))
def test_any_crowd_gets_its_answers_with_one_group_open(lives, seconds):
    world = World()
    with pytest.MonkeyPatch.context() as patched, ThreadPoolExecutor(len(lives)) as pool:
        patched.setattr(residency, "PATIENCE", seconds)
        patched.setattr(
            residency.gc, "collect", lambda: 0
        )  # of everything that all tests have loaded, it takes longest
        for each in [pool.submit(world.run, *life) for life in lives]:
            each.result(HANG)
    for opened in world.most:
        assert sum(bool(opened & set(group)) for group in GROUPS) <= 1
    assert len(set(world.open)) == len(world.open)


def test_what_is_opened_late_tells_its_device_s_time_where_it_has_one():
    """A profile of --low-memory hears of it as of any other."""

    class Timed(Opened):
        def run_timed(self, inputs, keep=(), wanted=None):
            return self.run(inputs, wanted), 0.25

    world = World()
    world.opens = lambda roles: {role: (Timed if role == "a" else Opened)(role, world) for role in roles}
    made = residency.lazy_engines(dict.fromkeys(ROLES, SPEC), GROUPS, world.opens)
    with recording(Recording()) as heard:
        for role in ("a", "A"):
            y = recorded(made[role]).run({"x": np.ones(2, np.float32)}, ("y",))["y"]
            np.testing.assert_array_equal(y, [2, 2])
    told = {span.name: span.device for span in heard.spans if span.kind == "engine"}
    assert told == {"a": 250_000_000, "A": None}
