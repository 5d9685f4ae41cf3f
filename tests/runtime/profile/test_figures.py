"""Figures of jobs whose times were made up, worked out by hand."""

import json

import numpy as np
import pytest
from support.spans import MS, job, span

from handfirst.runtime.profile.figures import BETWEEN, figures, short
from handfirst.runtime.profile.measure import Job
from handfirst.runtime.profile.profile import chrome_trace

PEAK = 4e6


def flops(role, shapes):
    assert (role, shapes) == ("net", ((2, 3),))
    return 1000


def test_every_figure_of_a_part():
    net = figures(job(0, 40), [job(100), job(200)], flops, PEAK)[0]
    assert (net.stage, net.part, net.label) == ("body", "net", "net")
    assert (net.calls, net.bytes, net.flops) == (2, 200, 2000)
    assert net.p50_ms == np.percentile([2, 3, 2, 3], 50) == 2.5
    assert net.p95_ms == pytest.approx(np.percentile([2, 3, 2, 3], 95))
    assert (net.job_ms, net.first_ms) == (5, 5)
    assert net.share == pytest.approx(5 / 20)
    assert net.images_per_second == pytest.approx(1 / 0.005)
    assert net.flops_per_second == pytest.approx(2000 / 0.005)
    assert net.of_peak == pytest.approx(2000 / 0.005 / PEAK)
    assert net.device_ms is None
    assert net.sizes == ((2, 3),)


def test_lines_add_up_to_the_wall_time():
    made = figures(job(0, 40), [job(100, 20), job(200, 24)], flops, PEAK)
    assert sum(line.job_ms for line in made) == pytest.approx(22)
    assert sum(line.share for line in made) == pytest.approx(1)
    assert made[-1].part == BETWEEN
    assert made[-1].job_ms == pytest.approx(((20 - 16) + (24 - 16)) / 2)
    assert made[-1].first_ms == pytest.approx(40 - 16)
    assert [line.flops for line in made[1:]] == [None] * (len(made) - 1)


def test_a_count_that_lacks_a_call_is_none():
    listed = [span("a", "engine", 0, 1, shapes=((1,),)), span("a", "engine", 2, 3, shapes=((2,),))]
    one = Job(1, 0, 3 * MS, tuple(listed))
    line = figures(one, [one], lambda role, shapes: 5 if shapes == ((1,),) else None, PEAK)[0]
    assert (line.flops, line.flops_per_second, line.of_peak) == (None, None, None)


def test_the_gpus_own_time_stands_beside_the_hosts():
    one = Job(1, 0, 3 * MS, tuple(span("a", "engine", i, i + 1, device=MS // 4) for i in range(3)))
    line = figures(one, [one], lambda *_: 10, PEAK)[0]
    assert (line.job_ms, line.device_ms) == (3, 0.75)
    assert line.flops_per_second == pytest.approx(3 * 10 / 0.00075)


def test_a_line_is_json():
    line = figures(job(), [job(wall=30)], flops, PEAK)[0].describe()
    assert json.loads(json.dumps(line, allow_nan=False)) == line
    assert line["share"] == short(5 / 30) == 0.16667


def test_the_trace_is_one_of_complete_events():
    """https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU: ph X has ts and dur in us."""
    made = json.loads(json.dumps(chrome_trace([job(100), job(130)], {"what": "a test"})))
    assert made["otherData"] == {"what": "a test"}
    named, *events = made["traceEvents"]
    assert (named["ph"], named["args"]) == ("M", {"name": "handfirst"})
    assert len(events) == 2 * (1 + 7)
    for event in events:
        assert event["ph"] == "X" and event["dur"] >= 0 and event["pid"] == named["pid"]
    assert [event["ts"] for event in events] == sorted(event["ts"] for event in events)
    first, second = (event for event in events if event["cat"] == "job")
    assert (first["ts"], first["dur"], second["ts"]) == (0, 20_000, 30_000)
    (net, *_) = (event for event in events if event["name"] == "net")
    assert (net["ts"], net["dur"]) == (2000, 2000)
    assert net["args"] == {"bytes": 100, "shapes": [[2, 3]]}
    for event in events:  # what a viewer needs to draw them inside of their job
        outer = first if event["ts"] < second["ts"] else second
        assert outer["ts"] <= event["ts"] and event["ts"] + event["dur"] <= outer["ts"] + outer["dur"]
