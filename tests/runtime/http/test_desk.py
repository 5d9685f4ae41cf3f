"""Jobs that are taken, wait, and are remembered for a while."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import pytest

from handfirst.runtime.http import desk as module
from handfirst.runtime.http import job as job_module
from handfirst.runtime.http.asking import Asked
from handfirst.runtime.http.desk import Desk
from handfirst.runtime.http.job import EVENTS, Outcome, Picture
from handfirst.runtime.http.limits import Limits
from handfirst.runtime.http.refused import RefusedError
from handfirst.runtime.http.service import Service

ASKED = Asked({"seed": 1}, {})
LIMITS = Limits(waiting=3, per_client=10, seconds=60, keep_seconds=100, keep_bytes=1000)


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only when a test says so."""
    now = [1000.0]
    for each in (module, job_module):
        monkeypatch.setattr(each, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def desk(clock):
    return Desk(LIMITS, places=1)


def take(desk, client="me", **more):
    return desk.accept("b", 0, [ASKED], client, **more)[0]


def outcome(size):
    return Outcome({"seed": 0}, {"result": Picture("result", 1, 1, bytes(size))})


def refused(status, function, *arguments, **more):
    with pytest.raises(RefusedError) as caught:
        function(*arguments, **more)
    assert caught.value.status == status
    return caught.value


class TestBounds:
    def test_as_many_wait_as_may(self, desk):
        first = take(desk)
        assert desk.next() is first
        jobs = [take(desk) for _ in range(3)]
        assert refused(429, take, desk).retry >= 1
        assert [job.position for job in jobs] == [0, 1, 2]
        desk.cancel(jobs[0])
        assert [job.position for job in jobs[1:]] == [0, 1] and desk.waiting == 2
        assert take(desk).position == 2

    def test_all_or_none(self, desk):
        refused(429, desk.accept, "b", 0, [ASKED] * 5, "me")
        assert desk.waiting == 0
        assert len(desk.accept("b", 0, [ASKED] * 4, "me")) == 4

    def test_one_client_does_not_take_all(self, clock):
        desk = Desk(replace(LIMITS, per_client=2), places=1)
        mine = [take(desk), take(desk)]
        refused(429, take, desk)
        assert take(desk, "you").position == 2
        desk.cancel(mine[0])
        take(desk)

    def test_nothing_more_once_it_ends(self, desk):
        desk.ending = True
        assert refused(503, take, desk).code == "ending"


class TestEnds:
    def test_the_first_counts(self, desk):
        job, let_go = take(desk), []
        desk.on_let_go = let_go.append
        desk.next()
        desk.cancel(job)
        desk.end(job, "succeeded", outcome(5))
        assert job.state == "cancelled" and job.outcome is None and let_go == [job] and desk.kept == 0
        assert job.asked is None

    def test_late_jobs(self, desk, clock):
        running, waiting = take(desk, seconds=5), take(desk, seconds=10)
        desk.next()
        clock[0] += 4.9
        desk.look()
        assert running.going and waiting.going
        clock[0] += 0.1
        desk.look()
        assert running.state == "timed-out" and waiting.going
        clock[0] += 5
        desk.look()
        assert waiting.state == "timed-out" and desk.waiting == desk.running == 0

    def test_jobs_that_come_back_are_the_next_ones(self, desk):
        jobs = [take(desk) for _ in range(3)]
        desk.next(), desk.next()
        jobs[0].begin()
        jobs[0].advance("tiles", 1, 4)
        desk.cancel(jobs[1])
        desk.give_back(jobs[:2])
        assert jobs[0].state == "waiting" and jobs[0].step is None
        assert [desk.next(), desk.next(), desk.next()] == [jobs[0], jobs[2], None]


class TestMemory:
    def ended(self, desk, size=0):
        job = take(desk)
        desk.next()
        desk.end(job, "succeeded", outcome(size))
        return job

    def test_by_time(self, desk, clock):
        job = self.ended(desk)
        clock[0] += 99
        assert desk.find(job.id, "me") is job
        clock[0] += 1
        desk.look()
        assert refused(410, desk.find, job.id, "me").code == "gone"

    def test_by_bytes_the_oldest_first(self, desk):
        jobs = [self.ended(desk, 400) for _ in range(3)]
        assert desk.kept == 800
        refused(410, desk.find, jobs[0].id, "me")
        assert desk.find(jobs[1].id, "me") and desk.find(jobs[2].id, "me")

    def test_the_newest_is_kept_however_large(self, desk):
        old, new = self.ended(desk, 10), self.ended(desk, 5000)
        refused(410, desk.find, old.id, "me")
        assert desk.find(new.id, "me") is new

    def test_by_number(self, desk, monkeypatch):
        monkeypatch.setattr(module, "ENDED", 2)
        monkeypatch.setattr(module, "GONE", 1)
        jobs = [self.ended(desk) for _ in range(4)]
        refused(404, desk.find, jobs[0].id, "me")  # not even that it was here
        refused(410, desk.find, jobs[1].id, "me")
        assert desk.find(jobs[2].id, "me")

    def test_others_see_nothing(self, desk):
        job = take(desk)
        refused(404, desk.find, job.id, "you")

    def test_an_earlier_server(self, desk, clock):
        other = Desk(LIMITS, 1)
        assert refused(410, desk.find, take(other).id, "me").code == "gone"
        refused(404, desk.find, "nothing", "me")

    def test_keys_live_as_long_as_their_job(self, desk, clock):
        job = self.ended(desk)
        desk.remember(("me", "k"), "digest", [job])
        assert desk.again(("me", "k"), "digest") == [job]
        assert desk.again(("you", "k"), "digest") is None
        refused(422, desk.again, ("me", "k"), "other")
        clock[0] += 100
        desk.look()
        assert desk.again(("me", "k"), "other") is None


class TestEvents:
    def test_old_ones_are_dropped_and_numbers_stay(self, desk):
        job = take(desk)
        job.begin()
        for step in range(1, EVENTS + 11):
            job.advance("tiles", step, 1000)
        numbers = [event.number for event in job.after(0)]
        assert numbers == list(range(13, EVENTS + 13)) and job.after(EVENTS + 11) == job.after(0)[-1:]

    def test_a_reader_is_woken(self, desk):
        async def read():
            job = take(desk)
            reading = asyncio.create_task(job.news(1))
            await asyncio.sleep(0)
            assert not reading.done()
            job.begin()
            assert [event.data["state"] for event in await reading] == ["running"]
            over = asyncio.create_task(job.over())
            await asyncio.sleep(0)
            desk.cancel(job)
            await over
            assert await job.news(100) == []  # nothing will come any more

        asyncio.run(read())


def test_nothing_is_taken_before_the_models_are_open(desk):
    service = Service([SimpleNamespace(name="b")], LIMITS, desk, SimpleNamespace(facts=None), None)
    assert refused(503, service.accept, 0, [ASKED], "me").code == "not-ready"
    service.crew.facts = [{}]
    assert service.accept(0, [ASKED], "me")[0].bundle == "b"


class TestDraining:
    def test_until_all_have_ended_and_were_fetched(self):
        async def drain():
            desk = Desk(LIMITS, 1)
            old, job = take(desk), take(desk)
            desk.next()
            desk.end(old, "succeeded", outcome(1))
            draining = asyncio.create_task(desk.drain(60, 60))
            await asyncio.sleep(0.05)
            assert desk.ending and not draining.done()
            desk.next()
            desk.end(job, "succeeded", outcome(1))
            await asyncio.sleep(0.05)
            assert not draining.done()
            job.fetched = True
            await asyncio.wait_for(draining, 30)

        asyncio.run(drain())

    def test_what_takes_longer_is_ended(self):
        async def drain():
            desk = Desk(LIMITS, 1)
            jobs = [take(desk), take(desk)]
            desk.next()
            await asyncio.wait_for(desk.drain(0.05, 0), 30)
            assert [job.error["code"] for job in jobs] == ["ending", "ending"]

        asyncio.run(drain())
