"""How a server ends, and how it goes on when one of its processes does not: with signals, from outside."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from itertools import groupby
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from support import serving as program
from support.mosaic.registry import opened_here
from support.mosaic.runtime import Request
from support.served_mosaic import DEADLY, SLOW
from support.serving import PATIENCE, events, serving

import handfirst
from handfirst.runtime.cli.main import main
from handfirst.runtime.http.run import listen


def tiles(seed, steps=4):
    return {"request": {"colour": "blue", "seed": seed, "steps": steps}}


def gone(pid):
    """Once no such process is left."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":  # nobody has asked yet how it ended
            return True
        assert time.monotonic() < end
        time.sleep(0.01)


def equals_the_librarys(server, id, bundle, seed, steps):
    with opened_here():
        model = handfirst.open(bundle, engine="cpu", threads=1)
    expected = model.render(Request("blue", seed, steps)).image
    model.close()
    return (np.asarray(Image.open(io.BytesIO(server.picture(id)))) == expected).all()


class TestSigterm:
    def test_what_runs_is_finished_and_given(self, bundle):
        """New work is refused meanwhile; whoever follows a job hears its end, and gets the picture."""
        with serving(bundle) as server:
            running, waiting = (server.ask(**tiles(SLOW + i, steps=10))["id"] for i in range(2))
            server.until(running, ("running",))
            children = server.children()
            server.process.send_signal(signal.SIGTERM)
            server.until_ending()
            answer = server.http.post("/v1/jobs", json=tiles(0))
            server.error(answer, 503, "ending")
            assert int(answer.headers["retry-after"]) > 0
            server.error(server.http.get("/readyz"), 503, "ending")
            for id in (running, waiting):
                with server.http.stream("GET", f"/v1/jobs/{id}/events") as stream:
                    assert list(events(stream.iter_lines()))[-1][2]["state"] == "succeeded"
                assert server.picture(id).startswith(b"\x89PNG")
            assert server.process.wait(PATIENCE) == 0
            assert len(children) == 1 and gone(children[0])

    def test_what_takes_longer_is_given_up(self, bundle):
        with serving(bundle, "--grace", "0.2") as server:
            ids = [server.ask(**tiles(SLOW + i, steps=49))["id"] for i in range(2)]
            server.until(ids[0], ("running",))
            heard = {}

            def follow(id):
                with httpx.stream("GET", f"{server.url}/v1/jobs/{id}/events", timeout=PATIENCE) as stream:
                    heard[id] = list(events(stream.iter_lines()))[-1][2]

            threads = [threading.Thread(target=follow, args=(id,)) for id in ids]
            for thread in threads:
                thread.start()
            server.until_followed(2)
            assert server.end() == 0
            for thread in threads:
                thread.join()
            assert {job["state"] for job in heard.values()} == {"failed"}
            assert {job["error"]["code"] for job in heard.values()} == {"ending"}

    def test_a_second_signal_waits_for_nothing(self, bundle):
        with serving(bundle, "--grace", "3600") as server:
            server.until(server.ask(**tiles(SLOW, steps=49))["id"], ("running",))
            server.process.send_signal(signal.SIGINT)
            server.until_ending()
            assert server.end() == 0


class TestKills:
    def test_a_workers_jobs_are_begun_again(self, bundle):
        with serving(bundle, "--workers", "2") as server:
            ids = [server.ask(**tiles(SLOW + i, steps=12))["id"] for i in range(3)]
            for id in ids[:2]:
                server.until(id, ("running",))
            for pid in server.children():
                os.kill(pid, signal.SIGKILL)
            jobs = [server.until(id) for id in ids]
            assert [(job["state"], job["attempts"]) for job in jobs] == [("succeeded", 2)] * 2 + [("succeeded", 1)]
            assert equals_the_librarys(server, ids[0], bundle, SLOW, 12)
            with server.http.stream("GET", f"/v1/jobs/{ids[0]}/events") as stream:
                states = [data["state"] for _, name, data in events(stream.iter_lines()) if name == "state"]
            assert [state for state, _ in groupby(states)] == ["waiting", "running", "waiting", "running"]
            assert "handfirst_worker_deaths_total 2.0" in server.http.get("/metrics").text

    def test_a_job_that_kills_is_said_to_be_lost(self, bundle):
        with serving(bundle) as server:
            job = server.until(server.ask(**tiles(DEADLY))["id"])
            assert (job["state"], job["attempts"], job["error"]["code"]) == ("failed", 2, "lost")
            assert "SIGKILL" in job["error"]["message"]
            after = server.until(server.ask(**tiles(0))["id"])
            assert after["state"] == "succeeded"

    def test_no_process_outlives_the_one_that_answers(self, bundle):
        """And whoever asks the next one for a job hears that it is gone."""
        with serving(bundle, "--workers", "2") as server:
            id = server.ask(**tiles(SLOW, steps=49))["id"]
            server.until(id, ("running",))
            children = server.children()
            server.process.kill()
            assert len(children) == 2 and all(gone(pid) for pid in children)
        with serving(bundle) as server:
            server.error(server.http.get(f"/v1/jobs/{id}"), 410, "gone")


def refused(capsys, *arguments):
    """The one line of a server that does not begin."""
    with opened_here():
        assert main(["serve", *map(str, arguments)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1
    return said


def test_a_port_that_is_taken(bundle, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert "cannot listen on 127.0.0.1" in refused(capsys, bundle, "--port", taken.getsockname()[1])


def test_no_answer_waits_for_nagle():
    """asyncio switches his algorithm off only for sockets that name their protocol."""
    with listen("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP


def test_models_that_cannot_be_opened(bundle, tmp_path, capsys):
    """What a bundle says is looked at before anything starts; what only opening shows ends the server."""
    assert "no such bundle folder" in refused(capsys, tmp_path / "none")
    assert "two bundles have the name 'mosaic'" in refused(capsys, bundle, bundle)
    command = [sys.executable, program.__file__, "serve", bundle, "--engine", "tensorrt", "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 2 and done.stderr.startswith("error: denoiser: TensorRT needs"), done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--host", "0.0.0.0"), "--host 0.0.0.0: others reach it; give --tokens FILE, or say --without-tokens"),
        (("--limit", "speed=3"), "--limit 'speed': expected one of body, numbers,"),
        (("--limit", "text=0"), "--limit: expected NAME=N, a whole number from 1 on, got 'text=0'"),
        (("--cors", "example.org"), "--cors: expected an origin such as https://example.org"),
    ],
)
def test_options_that_make_no_sense(bundle, capsys, arguments, line):
    assert line in refused(capsys, bundle, *arguments)


def test_tokens(bundle, tmp_path):
    """One client sees nothing of another's; a page that may come from elsewhere is told so."""
    (tmp_path / "tokens").write_text("first-token-of-sixteen\n")
    arguments = (bundle, "--tokens", tmp_path / "tokens", "--cors", "https://app.example")
    second = {"Authorization": "Bearer second-token-0123456"}
    variables = {"HANDFIRST_TOKENS": "second-token-0123456"}
    with serving(
        *arguments, headers={"Authorization": "bearer first-token-of-sixteen"}, environment=variables
    ) as server:
        id = server.ask(**tiles(0))["id"]
        assert server.until(id)["state"] == "succeeded"
        for path in (f"/v1/jobs/{id}", f"/v1/jobs/{id}/events", f"/v1/jobs/{id}/pictures/result"):
            server.error(server.http.get(path, headers=second), 404, "not-found")
            for wrong in ("", "Bearer", "Bearer third-token-01234567", "Basic first-token-of-sixteen"):
                answer = server.http.get(path, headers={"Authorization": wrong})
                server.error(answer, 401, "unauthorized")
                assert answer.headers["www-authenticate"] == "Bearer"
        nobody = {"Authorization": ""}
        assert server.http.get("/metrics", headers=nobody).status_code == 401
        assert server.http.get("/healthz", headers=nobody).status_code == 200
        assert server.http.get("/", headers=nobody).status_code == 200
        answer = server.http.options(
            "/v1/jobs", headers={**nobody, "Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
        )
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
        page = {"Origin": "https://app.example"}
        assert server.http.post("/v1/jobs", json=tiles(0), headers=page).status_code == 202
