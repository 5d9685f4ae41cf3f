"""Spans and jobs with round numbers, for tests of what is made of them."""

from handfirst.runtime.profile.measure import Job
from handfirst.runtime.timing.spans import Span

THREAD = 7
MS = 1_000_000


def span(name, kind, start, end, **more):
    """Times in milliseconds."""
    return Span(name, kind, round(start * MS), round(end * MS), more.pop("thread", THREAD), **more)


def spans(shift=0.0):
    """A stage of two steps with an engine and host work inside, then a stage without either; 16 of 17 ms.

    body: 0-6 [net 1-3 of 2 ms, step 4-5], 7-11 [net 7-10, step 10-10.5]; decode: 11-17.
    """
    listed = [
        span("net", "engine", 1, 3, bytes=100, shapes=((2, 3),)),
        span("step", "host", 4, 5),
        span("body", "stage", 0, 6),
        span("net", "engine", 7, 10, bytes=100, shapes=((2, 3),)),
        span("step", "host", 10, 10.5),
        span("body", "stage", 7, 11),
        span("decode", "stage", 11, 17),
    ]
    move = round(shift * MS)
    return tuple(each._replace(start=each.start + move, end=each.end + move) for each in listed)


def job(shift=0.0, wall=20.0):
    return Job(1, round((shift - 1) * MS), round(wall * MS), spans(shift))
