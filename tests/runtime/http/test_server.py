"""A server of both systems, in processes of its own, asked as clients ask it; its pictures are the library's."""

from __future__ import annotations

import base64
import io
import json
import re
import threading
import time

import httpx
import numpy as np
import pytest
from PIL import Image
from support.mosaic.registry import opened_here
from support.mosaic.runtime import Request
from support.served_mosaic import BROKEN, BUG, SLOW
from support.serving import ENDS, events

import handfirst
from handfirst.engines.bundle import Bundle, demo_bundle_path
from handfirst.runtime.metadata import read
from handfirst.runtime.pose.read import read_pose
from handfirst.runtime.pose.write import encode_pose
from handfirst.runtime.systems.two_stage import seam
from handfirst.runtime.systems.two_stage.job import PROMPT, demo_pose


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)))


def tiles(seed, **more):
    return {"bundle": "mosaic", "request": {"colour": "red", "seed": seed, **more}}


def pose_json():
    return json.loads(encode_pose(demo_pose(), "a1111"))


@pytest.fixture(scope="module")
def mosaic_here(bundle):
    with opened_here():
        model = handfirst.open(bundle, engine="cpu", threads=1)
        yield model
        model.close()


@pytest.fixture(scope="module")
def demo_here():
    model = handfirst.open(engine="cpu", threads=1)
    yield model
    model.close()


class TestPictures:
    def test_they_are_the_librarys_to_the_last_bit(self, server, mosaic_here):
        made = [server.ask(**tiles(seed)) for seed in range(4)]
        for seed, job in enumerate(made):
            done = server.until(job["id"])
            expected = mosaic_here.render(Request("red", seed))
            assert done["state"] == "succeeded" and done["attempts"] == 1 and done["error"] is None
            assert [picture["name"] for picture in done["result"]["pictures"]] == ["result", "mask", "sheet"]
            assert (pixels(server.picture(job["id"])) == expected.image).all()
            assert (pixels(server.picture(job["id"], "mask")) == expected.mask * 255).all()
            assert done["result"]["asked"] == {"colour": "red", "seed": seed} and done["result"]["seed"] == seed

    def test_a_pose_with_hands(self, server, demo_here, tmp_path):
        """Of the embedded model: the pose as JSON and as a data: URL are the same picture, which is the library's."""
        asked = {"prompt": "a person, red shirt", "seed": 3, "steps": 2}
        npz = base64.b64encode(encode_pose(demo_pose(), "handfirst")).decode()
        poses = [json.loads(encode_pose(demo_pose(), "coco")), f"data:application/octet-stream;base64,{npz}"]
        ids = [server.ask(bundle="demo", request={**asked, "pose": pose})["id"] for pose in poses]
        (tmp_path / "pose.json").write_text(json.dumps(poses[0]))
        expected = demo_here.render(handfirst.Request(pose=read_pose(tmp_path / "pose.json"), **asked))
        first, second = (server.until(id) for id in ids)
        names = {name: image for _, name, image in seam.pictures(expected)}
        assert first["state"] == "succeeded", first
        assert [each["name"] for each in first["result"]["pictures"]] == list(names)
        for name, image in names.items():
            whole = image * np.uint8(255) if image.dtype == bool else image
            assert (pixels(server.picture(ids[0], name)) == whole).all(), name
        assert (pixels(server.picture(ids[1])) == expected.image).all()
        assert first["result"]["asked"] == second["result"]["asked"] == json.loads(json.dumps(expected.asked))
        (tmp_path / "made.png").write_bytes(server.picture(ids[0]))
        told = read(tmp_path / "made.png")
        assert told["bundle"]["digest"] == Bundle.open(demo_bundle_path()).digest
        assert told["request"]["prompt"] == "a person, red shirt"

    def test_the_picture_alone(self, server, mosaic_here):
        id = server.ask(pictures="result", **tiles(2))["id"]
        assert [each["name"] for each in server.until(id)["result"]["pictures"]] == ["result"]
        assert (pixels(server.picture(id)) == mosaic_here.render(Request("red", 2)).image).all()
        assert "this job has result" in server.error(server.http.get(f"/v1/jobs/{id}/pictures/mask"), 404, "not-found")

    def test_the_example_can_be_changed(self, server, mosaic_here):
        id = server.ask(bundle="mosaic", example=True, request={"seed": 9, "steps": 2})["id"]
        assert server.until(id)["state"] == "succeeded"
        assert (pixels(server.picture(id)) == mosaic_here.render(Request("red", 9, 2)).image).all()

    def test_words_to_a_picture_as_openai_has_it(self, server, demo_here):
        asked = {"model": "demo", "prompt": PROMPT, "n": 1, "seed": 5, "size": "192x192", "user": "somebody"}
        answer = server.http.post("/v1/images/generations", json=asked)
        assert answer.status_code == 200, answer.text
        made = answer.json()["data"]
        assert [each["seed"] for each in made] == [5]
        expected = demo_here.render(seam.example(seed=5))
        assert (pixels(base64.b64decode(made[0]["b64_json"])) == expected.image).all()

    def test_a_caller_who_goes_away_leaves_nothing_behind(self, server):
        """Nobody has the ids of these jobs."""
        name = 'handfirst_jobs_total{bundle="demo",end="cancelled"}'
        before = _value(server.http.get("/metrics").text, name)
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(
                f"{server.url}/v1/images/generations", json={"model": "demo", "prompt": "a", "n": 2}, timeout=0.3
            )
        while _value(server.http.get("/metrics").text, name) < before + 2:
            time.sleep(0.01)


class TestEvents:
    def test_every_step_is_told_and_the_end_is_the_job(self, server):
        id = server.ask(**tiles(SLOW, steps=6))["id"]
        with server.http.stream("GET", f"/v1/jobs/{id}/events?preview=data") as stream:
            assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
            heard = list(events(stream.iter_lines()))
        assert [number for number, _, _ in heard] == list(range(1, len(heard) + 1))
        steps = [(data["stage"], data["step"], data["total"]) for _, name, data in heard if name == "step"]
        assert steps == [("mix", 1, 1), *(("tiles", step, 6) for step in range(1, 7)), ("tiles", 1, 1)]
        seconds = [data["seconds"] for _, name, data in heard if name == "step"]
        assert seconds == sorted(seconds) and seconds[-1] > 0.05 * 6
        assert heard[-1][1:] == ("end", server.job(id))
        previews = [data["preview"] for _, name, data in heard if name == "step" and data["preview"]]
        assert len(previews) >= 5
        shown = [pixels(base64.b64decode(each.removeprefix("data:image/png;base64,"))) for each in previews]
        assert {each.shape for each in shown} == {(32, 32, 3)}

    def test_a_reader_that_comes_back_misses_nothing(self, server):
        id = server.ask(**tiles(SLOW + 1, steps=8))["id"]
        first = []
        with server.http.stream("GET", f"/v1/jobs/{id}/events") as stream:
            for event in events(stream.iter_lines()):
                first.append(event)
                if len(first) == 4:
                    break  # the connection is closed in the middle
        rest = server.http.get(f"/v1/jobs/{id}/events", headers={"Last-Event-ID": str(first[-1][0])})
        second = list(events(rest.text.splitlines()))
        assert [number for number, _, _ in (*first, *second)] == list(range(1, len(first) + len(second) + 1))
        assert second[-1][1] == "end" and second[-1][2]["state"] == "succeeded"
        assert server.picture(id)  # a lost connection loses no picture

    def test_a_preview_is_the_picture_as_it_stands(self, server):
        id = server.ask(**tiles(SLOW + 2, steps=10))["id"]
        while (answer := server.http.get(f"/v1/jobs/{id}/preview")).status_code != 200:
            server.error(answer, 404, "not-found")
        assert pixels(answer.content).shape == (32, 32, 3)
        server.error(server.http.get(f"/v1/jobs/{id}/preview?known=region"), 404, "not-found")
        with server.http.stream("GET", f"/v1/jobs/{id}/events?preview=link") as stream:
            links = [data["preview"] for _, name, data in events(stream.iter_lines()) if name == "step"]
        assert any(link and link.startswith(f"/v1/jobs/{id}/preview?step=") for link in links)
        server.error(server.http.get(f"/v1/jobs/{id}/preview"), 404, "not-found")

    @pytest.mark.parametrize(("query", "last"), [("?preview=all", "1"), ("", "-1"), ("", "two")])
    def test_what_makes_no_sense(self, server, query, last):
        id = server.ask(**tiles(0))["id"]
        answer = server.http.get(f"/v1/jobs/{id}/events{query}", headers={"Last-Event-ID": last})
        server.error(answer, 422, "invalid")


class TestEnds:
    def test_cancelled_within_a_step(self, server):
        running, waiting = (server.ask(**tiles(SLOW + i, steps=40))["id"] for i in range(2))
        server.until(running, ("running",))
        assert server.job(waiting)["position"] == 0
        for id in (waiting, running):
            answer = server.http.post(f"/v1/jobs/{id}/cancel")
            assert answer.json()["state"] == "cancelled" and answer.json()["error"]["code"] == "cancelled"
        after = server.until(server.ask(**tiles(1))["id"])  # its painter has let go
        assert after["state"] == "succeeded" and (server.job(running)["step"] or 0) < 40
        assert server.http.post(f"/v1/jobs/{after['id']}/cancel").json()["state"] == "succeeded"
        server.error(server.http.get(f"/v1/jobs/{running}/pictures/result"), 404, "not-found")

    def test_late(self, server):
        job = server.until(server.ask(**tiles(SLOW, steps=40), timeout=0.2)["id"])
        assert job["state"] == "timed-out" and job["error"]["code"] == "timeout"

    @pytest.mark.parametrize(("seed", "code"), [(BUG, "failed"), (BROKEN, "failed")])
    def test_what_goes_wrong_inside_tells_nothing_of_the_machine(self, server, bundle, seed, code):
        job = server.until(server.ask(**tiles(seed))["id"])
        assert (job["state"], job["error"]["code"]) == ("failed", code)
        assert "secret" not in json.dumps(job) and str(bundle) not in json.dumps(job)

    def test_what_only_the_model_knows_to_be_wrong(self, server):
        job = server.until(server.ask(bundle="mosaic", request={"colour": "mauve"})["id"])
        assert job["error"] == {"code": "invalid", "message": "colour: expected red or blue or grey, got 'mauve'"}

    def test_a_photo_is_read_where_it_is_painted(self, server):
        """And where nothing can look at it, the job says so, without the place where it lay for a moment."""
        photo = io.BytesIO()
        Image.new("RGB", (8, 8)).save(photo, "PNG")
        url = f"data:image/png;base64,{base64.b64encode(photo.getvalue()).decode()}"
        job = server.until(server.ask(bundle="demo", request={"prompt": "a", "pose": url})["id"])
        assert job["error"]["code"] == "invalid" and "mediapipe is not installed" in job["error"]["message"]
        assert job["error"]["message"].startswith("pose: ") and "/" not in job["error"]["message"]
        answer = server.http.post("/v1/poses", json={"pose": url})
        assert "needs a detector" in server.error(answer, 422, "invalid")


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


class TestPoses:
    def test_any_format_becomes_one(self, server):
        wanted = pose_json()
        for format in ("coco", "a1111"):
            content = json.loads(encode_pose(demo_pose(), format))
            answer = server.http.post("/v1/poses", json={"pose": content}).json()
            assert answer["pose"]["people"][0]["hand_left_keypoints_2d"] == pytest.approx(
                wanted["people"][0]["hand_left_keypoints_2d"]
            )
            assert (answer["width"], answer["height"]) == (wanted["canvas_width"], wanted["canvas_height"])
            views = [(hand["side"], hand["view"]) for hand in answer["people"][0]["hands"]]
            assert views == [("left", "palm"), ("right", "palm")]

    def test_one_that_does_not_say_its_size(self, server):
        content = json.loads(encode_pose(demo_pose(), "openpose"))
        line = server.error(server.http.post("/v1/poses", json={"pose": content}), 422, "invalid")
        assert "does not say how large its canvas is" in line
        answer = server.http.post("/v1/poses", json={"pose": content, "size": [192, 192]})
        assert answer.status_code == 200 and answer.json()["width"] == 192

    @pytest.mark.parametrize("more", [{"size": [0, 5]}, {"size": "5x5"}, {"frame": 0}, {"image": 4}, {"other": 1}])
    def test_what_makes_no_sense(self, server, more):
        server.error(server.http.post("/v1/poses", json={"pose": pose_json(), **more}), 422, "invalid")


class TestTheServer:
    def test_capabilities(self, server, bundle):
        told = server.http.get("/v1/capabilities").json()
        mosaic, demo = told["bundles"]
        assert told["ready"] and told["limits"]["work"] == {"people": 8, "steps": 40} and told["limits"]["waiting"] == 4
        assert mosaic["digest"] == Bundle.open(bundle).digest and mosaic["picture"] == {"width": 32, "height": 32}
        assert mosaic["required"] == ["colour"] and demo["files"] == ["pose"] and demo["engine"]["name"] == "cpu"
        assert {"kind": "hand", "name": "hand-0-left"} in demo["pictures"]
        assert demo["settings"]["body"]["width"] == 192
        assert str(bundle.parent) not in json.dumps(told)

    def test_a_digest_is_a_name(self, server, bundle):
        digest = Bundle.open(bundle).digest
        for said, status in ((digest, 202), (digest[:12], 202), (digest[:11], 422)):
            server.ask(status, bundle=said, request={"colour": "red"})

    def test_it_lives_and_counts(self, server):
        assert server.http.get("/healthz").json() == server.http.get("/readyz").json() == {"ok": True}
        before = server.http.get("/metrics").text
        server.until(server.ask(**tiles(0))["id"])
        after = server.http.get("/metrics").text
        assert _value(after, 'handfirst_jobs_total{bundle="mosaic",end="succeeded"}') == 1 + _value(
            before, 'handfirst_jobs_total{bundle="mosaic",end="succeeded"}'
        )
        parts = [line for line in after.splitlines() if line.startswith("handfirst_part_seconds_count")]
        assert any('part="tile denoiser"' in line or 'part="denoiser"' in line for line in parts)
        assert all('worker="0"' in line for line in parts)
        assert _value(after, "handfirst_workers_ready") == 1
        assert _value(after, 'process_resident_memory_bytes{worker="0"}') > 1e6

    def test_the_page_comes_with_its_policy(self, server):
        kinds = {"/": "text/html", "/index.html": "text/html", "/theme.css": "text/css", "/page.js": "text/javascript"}
        for path, kind in kinds.items():
            answer = server.http.get(path)
            assert answer.headers["content-type"].startswith(kind)
            policy = answer.headers["content-security-policy"]
            assert "script-src 'self'" in policy and "unsafe" not in policy and "default-src 'none'" in policy
        page = server.http.get("/").text
        assert "<script>" not in page and "<style" not in page and not re.search(r'(src|href)="(https?:)?//', page)

    def test_its_own_description(self, server):
        described = server.http.get("/v1/openapi.json").json()
        assert described["openapi"].startswith("3.")
        assert {"/v1/jobs", "/v1/jobs/{id}/events", "/v1/images/generations"} <= described["paths"].keys()
        body = described["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        mosaic, two_stage = body["properties"]["request"]["anyOf"]
        assert "colour" in mosaic["properties"] and {"pose", "prompt"} <= two_stage["properties"].keys()

    def test_a_page_of_another_site(self, server):
        """May not ask for anything, whether the browser tells its origin or a name that leads here."""
        for headers, status, code in (
            ({"Origin": "https://evil.example"}, 403, "origin"),
            ({"Origin": "null"}, 403, "origin"),
            ({"Host": "evil.example"}, 421, "host"),
            ({"Host": "evil.example:8700"}, 421, "host"),
        ):
            server.error(post(server, json=tiles(0), headers=headers), status, code)
        answer = server.http.get("/v1/capabilities", headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in answer.headers
        assert post(server, json=tiles(0), headers={"Origin": server.url}).status_code == 202


def _value(text, name):
    return float(next((line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(name + " ")), "0"))


def test_every_end_is_known():
    from handfirst.runtime.http.job import GOING, State

    assert set(ENDS) == set(State.__args__) - set(GOING)
