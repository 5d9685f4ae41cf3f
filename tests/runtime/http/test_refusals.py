"""What a server refuses, each in one line of one shape; and keys under which a job is the same job."""

from __future__ import annotations

import json
import threading

import pytest
from support.served_mosaic import SLOW
from support.serving import tiles


def post(server, **more):
    return server.http.post("/v1/jobs", **more)


class TestRefusals:
    @pytest.mark.parametrize(
        ("body", "message"),
        [
            ({"bundle": "demo"}, "request: expected an object, got none"),
            ({"request": 1, "bundle": "mosaic"}, "request: expected an object, got a number"),
            ({"request": {}}, "bundle: expected one of mosaic, demo, or a digest, got none"),
            ({"request": {}, "bundle": "other"}, "bundle: expected one of mosaic, demo, or a digest, got 'other'"),
            ({"request": {}, "bundle": "mosaic"}, "colour: expected one, got none"),
            ({"request": {"color": "red"}, "bundle": "mosaic"}, "'color': no such field; expected one of colour, seed"),
            ({"request": {"colour": 1}, "bundle": "mosaic"}, "colour: input should be a valid string, got 1"),
            ({"request": {"colour": "red", "steps": 41}, "bundle": "mosaic"}, "steps: this server takes at most 40"),
            ({"request": {"colour": "x" * 301}, "bundle": "mosaic"}, "colour: this server takes at most 300"),
            ({"request": {"colour": "red"}, "bundel": "mosaic"}, "'bundel': no such field here"),
            ({"request": {}, "bundle": "mosaic", "example": 1}, "example: expected true or false, got 1"),
            ({"request": {"colour": "red"}, "bundle": "mosaic", "timeout": 0}, "timeout: expected seconds above 0"),
            ({"request": {"colour": "red"}, "bundle": "mosaic", "pictures": "x"}, "pictures: expected all or result"),
            ({"request": {"colour": "red"}, "bundle": "mosaic", "timeout": 601}, "timeout: expected seconds above 0"),
            ({"request": {"prompt": "a", "pose": "/etc/passwd"}, "bundle": "demo"}, "pose: expected what is in a file"),
            ({"request": {"prompt": "a", "pose": "data:,x"}, "bundle": "demo"}, "pose: expected what is in a file"),
            ({"request": {"prompt": "a", "pose": "data:;base64,?"}, "bundle": "demo"}, "pose: expected base64"),
            ({"request": {"prompt": "a", "pose": {"people": []}}, "bundle": "demo"}, "the file does not say"),
            ({"request": {"prompt": "a", "pose": [[0] * 2001]}, "bundle": "demo"}, "pose: this server takes at most"),
            ({"request": {"pose": "x"}, "bundle": "demo", "example": True}, "'pose': no such field"),
            ({"request": {"prompt": "\ud800"}, "bundle": "demo", "example": True}, "prompt: expected text without"),
            ({"request": {"frame": 2}, "bundle": "demo", "example": True}, "example: cannot be changed in frame"),
        ],
    )  # fmt: skip
    def test_one_line_for_each(self, server, body, message):
        answer = post(server, content=json.dumps(body), headers={"Content-Type": "application/json"})
        assert message in server.error(answer, 422, "invalid")

    def test_the_field_is_named(self, server):
        answer = post(server, json=tiles(0, steps=1000))
        assert answer.json()["error"]["field"] == "steps"

    @pytest.mark.parametrize(
        ("content", "status", "code"),
        [
            (b"", 400, "malformed"),
            (b"{", 400, "malformed"),
            (b"\xff", 400, "malformed"),
            (b"[]", 400, "malformed"),
            (b"[" * 100_000, 400, "malformed"),
            (b'{"request": {"seed": NaN}}', 400, "malformed"),
            (b'{"request": {"seed": 1, "seed": 2}}', 400, "malformed"),
            (b'{"request": {"seed": ' + b"1" * 5000 + b"}}", 400, "malformed"),
            (b" " * 300_001, 413, "too-large"),
        ],
    )
    def test_bodies_that_are_none(self, server, content, status, code):
        server.error(post(server, content=content, headers={"Content-Type": "application/json"}), status, code)

    def test_a_body_that_does_not_say_how_long_it_is(self, server):
        pieces = (b" " * 100_000 for _ in range(4))
        server.error(post(server, content=pieces, headers={"Content-Type": "application/json"}), 413, "too-large")

    def test_another_type_is_what_a_form_of_any_page_may_send(self, server):
        server.error(post(server, content=b"{}", headers={"Content-Type": "text/plain"}), 415, "content-type")

    @pytest.mark.parametrize(
        ("method", "path", "status", "code"),
        [
            ("GET", "/v1/jobs/none", 404, "not-found"),
            ("GET", "/v1/jobs/" + "x" * 20, 410, "gone"),
            ("GET", "/v1/jobs/none/events", 404, "not-found"),
            ("POST", "/v1/jobs/none/cancel", 404, "not-found"),
            ("GET", "/v1/jobs", 405, "method"),
            ("DELETE", "/v1/capabilities", 405, "method"),
            ("GET", "/v2/jobs", 404, "not-found"),
            ("GET", "/..%2f..%2fpyproject.toml", 404, "not-found"),
            ("GET", "/page.py", 404, "not-found"),
        ],
    )
    def test_places_that_are_none(self, server, method, path, status, code):
        server.error(server.http.request(method, path), status, code)

    @pytest.mark.parametrize(
        ("more", "message"),
        [
            ({"prompt": None}, "prompt: expected a text, got none"),
            ({"quality": "hd"}, "'quality': no such field here"),
            ({"n": 5}, "n: expected a whole number from 1 to 4, got 5"),
            ({"size": "1024x1024"}, "size: expected auto or 192x192, this model's own"),
            ({"response_format": "png"}, "response_format: expected b64_json or url"),
            ({"model": "mosaic"}, "model: this one takes no prompt"),
        ],
    )
    def test_images_that_cannot_be_made(self, server, more, message):
        asked = {"model": "demo", "prompt": "a person", **more}
        assert message in server.error(server.http.post("/v1/images/generations", json=asked), 422, "invalid")

    def test_full(self, server):
        ids = [server.ask(**tiles(SLOW + i, steps=40))["id"] for i in range(4)]
        answer = post(server, json=tiles(0))
        server.error(answer, 429, "busy")
        assert int(answer.headers["retry-after"]) >= 1
        for id in ids:
            server.http.post(f"/v1/jobs/{id}/cancel")


class TestKeys:
    def test_the_same_key_is_the_same_job(self, server):
        first = server.ask(headers={"Idempotency-Key": "k 1"}, **tiles(7))
        answer = post(server, json=tiles(7), headers={"Idempotency-Key": "k 1"})
        assert answer.status_code == 202 and answer.headers["idempotent-replayed"] == "true"
        assert answer.json()["id"] == first["id"]
        answer = post(server, json=tiles(8), headers={"Idempotency-Key": "k 1"})
        assert "Idempotency-Key" in server.error(answer, 422, "invalid")
        assert server.ask(headers={"Idempotency-Key": "k 2"}, **tiles(7))["id"] != first["id"]

    def test_two_at_once_are_one_job(self, server):
        found = []
        ask = threading.Barrier(4)

        def send():
            ask.wait()
            found.append(server.ask(headers={"Idempotency-Key": "at once"}, **tiles(11))["id"])

        threads = [threading.Thread(target=send) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 4 and len(set(found)) == 1

    @pytest.mark.parametrize("key", ["", "x" * 201])
    def test_keys_that_are_none(self, server, key):
        server.error(post(server, json=tiles(7), headers={"Idempotency-Key": key}), 422, "invalid")
