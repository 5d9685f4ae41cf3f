"""Metrics read back with prometheus_client's own parser, from the text and over HTTP."""

import sys
import threading
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.arithmetic_model import model, person, request
from support.gated_model import GatedModel
from support.spans import spans

from handfirst.engines.errors import UserError
from handfirst.runtime.serve.server import Server
from handfirst.runtime.timing.prometheus import BUCKETS, MOST_WAITING, Metrics
from handfirst.runtime.timing.spans import Recording, recording
from handfirst.runtime.timing.totals import parts


def samples(text):
    """(name, labels) -> value."""
    return {
        (sample.name, tuple(sample.labels.get(key, "") for key in ("stage", "part", "le"))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_counts_by_hand():
    metrics = Metrics()
    for span in spans():
        metrics.add(span)
    found = samples(metrics.text())
    assert found["handfirst_part_seconds_count", ("body", "net", "")] == 2
    assert found["handfirst_part_seconds_sum", ("body", "net", "")] == pytest.approx(0.005)
    assert found["handfirst_part_seconds_sum", ("body", "host", "")] == pytest.approx(0.0035)
    assert found["handfirst_part_bytes_total", ("body", "net", "")] == 200
    assert found["handfirst_part_seconds_bucket", ("body", "net", "0.003")] == 2  # calls of 2 and 3 ms
    assert found["handfirst_part_seconds_bucket", ("body", "net", "0.001")] == 0
    assert found["handfirst_part_seconds_bucket", ("body", "net", "+Inf")] == 2
    assert len([1 for name, labels in found if name.endswith("bucket") and labels[1] == "step"]) == len(BUCKETS) + 1


def test_a_stage_is_counted_when_it_ends():
    metrics = Metrics()
    metrics.add(spans()[0])
    assert samples(metrics.text()) == {}


def test_calls_outside_of_stages_do_not_pile_up():
    metrics = Metrics()
    for _ in range(MOST_WAITING + 1):
        metrics.add(spans()[0])
    assert samples(metrics.text())["handfirst_part_seconds_count", ("", "net", "")] == MOST_WAITING


def test_a_picture_counts_as_its_recording_says():
    system, _ = model()
    metrics = Metrics()
    with recording(metrics), recording(Recording()) as heard:
        system.render(request(person(), steps=3))
    found = samples(metrics.text())
    for part in parts(heard.spans):
        key = (part.stage, part.name, "")
        assert found["handfirst_part_seconds_count", key] == len(part.own)
        assert found["handfirst_part_seconds_sum", key] == pytest.approx(part.seconds)
        assert found["handfirst_part_bytes_total", key] == part.bytes


def test_many_threads_count_into_the_same():
    metrics = Metrics()

    def work(thread):
        for span in spans():
            metrics.add(span._replace(thread=thread))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert samples(metrics.text())["handfirst_part_seconds_count", ("body", "net", "")] == 16


def test_a_servers_workers_are_heard():
    """By whoever listens where it is opened; as many calls as its pictures have steps, whichever worker took them."""
    metrics = Metrics()
    with recording(metrics), recording(Recording()) as heard, Server(model()[0], workers=2) as server:
        jobs = [server.submit(request(person(), steps=3, seed=seed)) for seed in range(4)]
        for job in jobs:
            job.result(10)
    found = samples(metrics.text())
    for stage, role in (("hands", "hand_unet"), ("body", "body_unet")):
        assert found["handfirst_part_seconds_count", (stage, role, "")] == 12
    for part in parts(heard.spans):
        assert found["handfirst_part_seconds_count", (part.stage, part.name, "")] == len(part.own)
        assert found["handfirst_part_bytes_total", (part.stage, part.name, "")] == part.bytes
    assert threading.get_ident() not in {span.thread for span in heard.spans}


def test_a_server_that_was_opened_before_is_not_heard():
    with Server(model()[0]) as server, recording(Recording()) as heard:
        server.submit(request(steps=1)).result(10)
    assert heard.spans == ()


def test_a_queue_beside_the_parts():
    """As docs/embedding.md shows it."""
    from prometheus_client import Gauge

    metrics, painter = Metrics(), GatedModel()
    with Server(painter) as server:
        gauge = Gauge("handfirst_waiting", "Requests that nobody has begun.", registry=metrics.registry)
        gauge.set_function(lambda: server.waiting)
        for seed in range(3):
            server.submit(request(seed=seed))
        painter.until(lambda: painter.begun)
        assert samples(metrics.text())["handfirst_waiting", ("", "", "")] == 2
        painter.free(9)


def test_it_is_served_here_and_nowhere_else():
    metrics = Metrics()
    for span in spans():
        metrics.add(span)
    with metrics.served(0) as port:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            assert answer.headers["Content-Type"].startswith("text/plain")
            assert samples(answer.read().decode()) == samples(metrics.text())
        with pytest.raises(UserError, match="choose another port"), metrics.served(port):
            pass
    with pytest.raises(OSError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10)


def test_without_the_library_the_remedy_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(UserError, match=r"pip install 'handfirst\[prometheus\]'"):
        Metrics()
