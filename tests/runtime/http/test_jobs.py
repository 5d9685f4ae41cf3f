"""Jobs of a server of both systems: their pictures are the library's, their steps are told, and each has one end."""

from __future__ import annotations

import base64
import io
import json
import time

import httpx
import numpy as np
import pytest
from PIL import Image
from support.mosaic.registry import opened_here
from support.mosaic.runtime import Request
from support.served_mosaic import BROKEN, BUG, SLOW
from support.serving import ENDS, counted, events, tiles

import handfirst
from handfirst.engines.bundle import Bundle, demo_bundle_path
from handfirst.runtime.http.job import GOING, State
from handfirst.runtime.metadata import read
from handfirst.runtime.pose.read import read_pose
from handfirst.runtime.pose.write import encode_pose
from handfirst.runtime.systems.two_stage import seam
from handfirst.runtime.systems.two_stage.job import PROMPT, demo_pose


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)))


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
        before = counted(server.http.get("/metrics").text, name)
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(
                f"{server.url}/v1/images/generations", json={"model": "demo", "prompt": "a", "n": 2}, timeout=0.3
            )
        while counted(server.http.get("/metrics").text, name) < before + 2:
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


def test_every_end_is_known():
    assert set(ENDS) == set(State.__args__) - set(GOING)
