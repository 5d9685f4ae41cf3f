"""Seconds by stage, with a clock that the test winds itself."""

import pytest

from handfirst.runtime.timing import spans as module
from handfirst.runtime.timing.spans import Clock


class Time:
    now = 0.0

    def __call__(self):
        return round(self.now * 1e9)


@pytest.fixture
def time(monkeypatch):
    made = Time()
    monkeypatch.setattr(module, "perf_counter_ns", made)
    return made


def test_blocks_add_up(time):
    clock = Clock("a", "b", "c")
    for seconds in (1, 2):
        with clock("a"):
            time.now += seconds
    with clock("b"):
        time.now += 4
    assert clock.seconds == {"a": 3, "b": 4, "c": 0, "total": 7}


def test_only_making_the_items_counts(time):
    def work():
        for item in "xyz":
            time.now += 1
            yield item
        time.now += 0.5

    clock = Clock("a")
    seen = []
    for item in clock.steps("a", work()):
        seen.append(item)
        time.now += 100
    assert seen == ["x", "y", "z"]
    assert clock.seconds == {"a": 3.5, "total": 3.5}


def test_an_error_is_timed_and_passed_on(time):
    clock = Clock("a")
    with pytest.raises(KeyError), clock("a"):
        time.now += 2
        raise KeyError
    assert clock.seconds["a"] == 2
