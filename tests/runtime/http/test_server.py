"""What a server tells of itself, and who may ask: capabilities, poses, figures, the page and its policy."""

from __future__ import annotations

import json
import re

import pytest
from support.serving import counted, tiles

from handfirst.engines.bundle import Bundle
from handfirst.runtime.pose.write import encode_pose
from handfirst.runtime.systems.two_stage.job import demo_pose


def pose_json():
    return json.loads(encode_pose(demo_pose(), "a1111"))


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
        server.until(server.ask(**tiles(0))["id"])  # one worker, in order: what other tests asked for has ended too
        before = server.http.get("/metrics").text
        server.until(server.ask(**tiles(0))["id"])
        after = server.http.get("/metrics").text
        assert counted(after, 'handfirst_jobs_total{bundle="mosaic",end="succeeded"}') == 1 + counted(
            before, 'handfirst_jobs_total{bundle="mosaic",end="succeeded"}'
        )
        parts = [line for line in after.splitlines() if line.startswith("handfirst_part_seconds_count")]
        assert any('part="tile denoiser"' in line or 'part="denoiser"' in line for line in parts)
        assert all('worker="0"' in line for line in parts)
        assert counted(after, "handfirst_workers_ready") == 1
        assert counted(after, 'process_resident_memory_bytes{worker="0"}') > 1e6

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
            server.error(server.http.post("/v1/jobs", json=tiles(0), headers=headers), status, code)
        answer = server.http.get("/v1/capabilities", headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in answer.headers
        assert server.http.post("/v1/jobs", json=tiles(0), headers={"Origin": server.url}).status_code == 202
