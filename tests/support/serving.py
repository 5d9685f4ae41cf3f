"""A server in a process of its own, as `handfirst serve` starts it, and what tests ask of it.

Run as a program it is that command with the second system known: its children, which are started afresh, run it again
as their main module, and so know the system as well.
"""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

if __name__ in ("__main__", "__mp_main__"):
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from handfirst.runtime.systems import SYSTEMS

    SYSTEMS["mosaic"] = "support.served_mosaic"

PATIENCE = 60.0
ENDS = ("succeeded", "failed", "cancelled", "timed-out")


class Serving:
    """A server that runs, and a client of it."""

    def __init__(self, process, url, headers=None):
        import httpx

        self.process, self.url = process, url
        self.http = httpx.Client(base_url=url, timeout=PATIENCE, headers=headers)

    def ask(self, status=202, headers=None, **body):
        """What `POST /v1/jobs` answers."""
        answer = self.http.post("/v1/jobs", json=body, headers=headers)
        assert answer.status_code == status, answer.text
        return answer.json()

    def job(self, id):
        answer = self.http.get(f"/v1/jobs/{id}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def until(self, id, states=ENDS):
        """The job, once it is in one of these states."""
        end = time.monotonic() + PATIENCE
        while (job := self.job(id))["state"] not in states:
            assert time.monotonic() < end, job
            time.sleep(0.01)
        return job

    def picture(self, id, name="result"):
        """PNG bytes."""
        answer = self.http.get(f"/v1/jobs/{id}/pictures/{name}")
        assert answer.status_code == 200 and answer.headers["content-type"] == "image/png", answer.text
        return answer.content

    def error(self, answer, status, code):
        """The message of a refusal, which has one shape."""
        assert answer.status_code == status, answer.text
        error = answer.json()["error"]
        assert error["code"] == code and error["message"] and "\n" not in error["message"], error
        return error["message"]

    def children(self):
        """Pids of the processes that paint."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                command = (folder / "cmdline").read_text()
            except OSError:
                continue
            if parent == self.process.pid and "spawn_main" in command:
                found.append(int(folder.name))
        return found

    def until_ending(self):
        """Once it takes no more jobs."""
        self._until(lambda: self.http.get("/readyz").status_code == 503)

    def until_followed(self, readers):
        """Once so many read events."""
        self._until(lambda: f"handfirst_streams {readers}.0" in self.http.get("/metrics").text)

    def _until(self, true):
        end = time.monotonic() + PATIENCE
        while not true():
            assert time.monotonic() < end
            time.sleep(0.01)

    def end(self, number=signal.SIGTERM):
        """Exit code after a signal."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


def events(lines):
    """(number, name, data) of a stream's lines."""
    found = {}
    for line in lines:
        name, _, value = line.partition(":")
        if name in ("id", "event", "data"):
            found[name] = value.strip()
        elif not line and found:
            yield int(found["id"]), found["event"], json.loads(found["data"])
            found = {}


def tiles(seed, **more):
    """A job of the second system."""
    return {"bundle": "mosaic", "request": {"colour": "red", "seed": seed, **more}}


def counted(text, name):
    """A figure of what /metrics answers; 0 where it is not told."""
    return float(next((line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(name + " ")), "0"))


@contextmanager
def serving(*arguments, headers=None, environment=None):
    """A server that can paint; it is killed in the end."""
    command = [sys.executable, __file__, "serve", *map(str, arguments), "--port", "0", "--threads", "1"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})})
    try:
        line = process.stderr.readline()
        assert " on http://" in line, line + process.stderr.read()
        server = Serving(process, line.rpartition(" on ")[2].strip(), headers)
        with server.http:
            yield server
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


if __name__ == "__main__":
    from handfirst.runtime.cli.main import main

    sys.exit(main())
