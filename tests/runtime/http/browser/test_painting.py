"""What the page asks of a server: pictures, photos to repair, a token; and who can use it."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.browsing import PHONE, choose_file, exported, hand_of, on_screen, pixels

from handfirst.runtime.pose.openpose import write_a1111
from handfirst.runtime.systems.two_stage.job import PROMPT, demo_pose

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect


class TestPictures:
    def test_a_picture_is_watched_downloaded_and_the_next_one_cancelled(self, page, server):
        page.get_by_label("Seed").fill("5")
        page.get_by_label("Steps", exact=True).fill("6")
        known = []
        page.on("response", lambda answer: known.append(answer.url.partition("?known=")[2]) if answer.ok else None)
        page.get_by_role("button", name="Render").click()
        shown, seen = page.locator("#shown"), set()
        expect(shown).to_be_visible()
        while page.locator("#download").is_hidden():
            seen.add(shown.get_attribute("src"))
            page.wait_for_timeout(20)
        assert {"canvas", "mask", "hand-0-left", "hand-0-right", "region"} <= set(known)
        assert len([src for src in seen if src.startswith("data:image/png")]) >= 2
        stages = page.locator("#stages li b").all_inner_texts()
        assert stages == ["Words", "Hands", "Canvas", "Body", "Picture"]
        assert re.fullmatch(r"\d+\.\d\d s", page.locator("#stages li").nth(3).locator("span").last.inner_text())
        pieces = page.get_by_role("group", name="What the picture was made of").get_by_role("button")
        made_of = {"Picture", "Left hand", "Right hand", "Canvas", "Mask", "Skeleton", "Sheet"}
        assert made_of <= set(pieces.all_inner_texts())

        with page.expect_download() as download:
            page.get_by_role("link", name="Download").click()
        assert download.value.suggested_filename == "handfirst-5.png"
        asked = {"pose": write_a1111(demo_pose()), "prompt": PROMPT, "seed": 5, "steps": 6}
        alone = server.until(server.ask(bundle="demo", request=asked)["id"])
        expected = pixels(server.picture(alone["id"]))
        assert (pixels(Path(download.value.path()).read_bytes()) == expected).all()

        page.get_by_label("Steps", exact=True).fill("40")
        page.get_by_role("button", name="Render").click()
        expect(page.locator("#stages li")).to_have_count(2)
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator("#job-line")).to_have_text("Cancelled")
        expect(page.get_by_role("button", name="Render")).to_be_visible()
        gallery = page.get_by_role("group", name="This session").get_by_role("button")
        expect(gallery).to_have_count(1)

        page.get_by_role("button", name="fist", exact=True).click()
        gallery.first.click()
        page.get_by_role("button", name="Use this pose").click()
        assert exported(page) == write_a1111(demo_pose())

    def test_what_the_server_refuses_is_said_in_its_words(self, page):
        page.get_by_label("Steps", exact=True).fill("41")
        page.locator("#steps").evaluate("input => input.removeAttribute('max')")
        page.get_by_role("button", name="Render").click()
        expect(page.locator("#message")).to_have_text("steps: this server takes at most 40, got 41")
        expect(page.locator("#steps")).to_be_focused()


class TestDoors:
    def test_a_token_is_asked_for_and_sent(self, open_page):
        heard = []

        def guard(route):
            token = route.request.headers.get("authorization")
            heard.append(token)
            if token is None:
                error = {"error": {"code": "unauthorized", "message": "a token"}}
                route.fulfill(status=401, content_type="application/json", body=json.dumps(error))
            else:
                route.continue_()

        page = open_page(route=lambda page: page.route("**/v1/**", guard))
        page.get_by_role("textbox", name="Token").fill("a-token-of-this-server")
        with page.expect_response(lambda answer: "/v1/" in answer.url and answer.ok):
            page.get_by_role("button", name="Go on").click()
        expect(page.locator("#render")).to_be_enabled()
        assert heard[0] is None and heard[-1] == "Bearer a-token-of-this-server"

    def test_a_photo_is_repaired_where_a_part_refiner_is_served(self, open_page, server):
        """The page's half: what it asks of a server that finds hands and repairs them."""
        asked = []
        picture = io.BytesIO()
        Image.new("RGB", (512, 512), (90, 120, 130)).save(picture, "PNG")

        def with_refiner(route):
            told = server.http.get("/v1/capabilities").json()
            fields = {"properties": {"hand": {"type": "string"}, "seed": {"type": "integer"}}}
            refiner = {"name": "refiner", "system": "part-refiner", "files": ["photo", "pose"], "fields": fields}
            told["bundles"].append({**told["bundles"][0], **refiner, "settings": {}, "hands": None})
            told["photos"] = True
            route.fulfill(json=told)

        def finds(route):
            asked.append(json.loads(route.request.post_data))
            hands = [{"side": "left", "view": "palm"}, {"side": "right", "view": "palm"}]
            found = {"pose": write_a1111(demo_pose()), "width": 512, "height": 512, "people": [{"hands": hands}]}
            route.fulfill(json={**found, "warnings": []})

        def repairs(route):
            asked.append(json.loads(route.request.post_data))
            error = {"error": {"code": "invalid", "message": "photo: not today"}}
            route.fulfill(status=422, content_type="application/json", body=json.dumps(error))

        def routes(page):
            page.route("**/v1/capabilities", with_refiner)
            page.route("**/v1/poses", finds)
            page.route("**/v1/jobs", repairs)

        page = open_page(route=routes)
        page.get_by_role("button", name="Repair a photo").click()
        expect(page.get_by_text("Drop a photo here")).to_be_visible()
        choose_file(page, "Choose a photo", {"name": "p.png", "mimeType": "image/png", "buffer": picture.getvalue()})
        expect(page.locator("#repair-line")).to_contain_text("The left hand of person 1 is drawn anew")
        page.get_by_role("group", name="Which hand").get_by_role("button", name="Right").click()
        page.get_by_role("button", name="peace", exact=True).click()
        page.get_by_role("button", name="Repair this hand").click()
        expect(page.locator("#message")).to_have_text("photo: not today")
        looked, wanted = asked
        photo = f"data:application/octet-stream;base64,{base64.b64encode(picture.getvalue()).decode()}"
        assert looked == {"pose": photo}
        request = wanted["request"]
        assert wanted["bundle"] == "refiner" and request["photo"] == photo and request["hand"] == "right"
        assert request["pose"]["canvas_width"] == 512 and "prompt" not in request
        assert (hand_of(request["pose"], "left") == np.round(hand_of(write_a1111(demo_pose()), "left"), 3)).all()
        assert (hand_of(request["pose"]) != hand_of(write_a1111(demo_pose()))).any()


class TestForEverybody:
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_everything_that_acts_has_a_name_and_can_be_read(self, open_page, scheme):
        """WCAG 2.2: 4.1.2 (names), 1.4.3 (contrast of 4.5 for text)."""
        page = open_page(color_scheme=scheme)
        expect(page.locator("#render")).to_be_enabled()
        for role in ("button", "textbox", "spinbutton", "application", "switch", "link", "combobox"):
            everything = page.get_by_role(role)
            named = page.get_by_role(role, name=re.compile("."))
            assert everything.count() == named.count(), role
        root = page.locator("html")
        names = ("ink", "muted", "surface", "back", "raised", "accent", "on-accent", "warn", "warn-soft", "accent-soft")
        read = "(e, n) => getComputedStyle(e).getPropertyValue('--' + n)"
        colour = {name: root.evaluate(read, name).strip() for name in names}
        for ink, paper in (
            *(("ink", each) for each in ("surface", "back", "raised")),
            *(("muted", each) for each in ("surface", "back", "raised")),
            *(("on-accent", "accent"), ("warn", "warn-soft"), ("accent", "surface"), ("accent", "accent-soft")),
        ):
            assert contrast(colour[ink], colour[paper]) >= 4.5, (ink, paper)

    def test_a_phone_shows_one_part_at_a_time_and_nothing_beside_the_screen(self, open_page):
        page = open_page(PHONE, has_touch=True, is_mobile=True)
        expect(page.locator("#render")).to_be_enabled()
        for name, shown in (("Hand", "#hand"), ("Picture", "#view"), ("Pose", "#stage")):
            page.get_by_role("group", name="Part of the page").get_by_role("button", name=name).tap()
            expect(page.locator(shown)).to_be_in_viewport()
            wide = page.locator("html").evaluate("e => e.scrollWidth")
            assert wide <= PHONE["width"]
        expect(page.locator("#render")).to_be_in_viewport()

    def test_a_finger_drags_a_joint(self, open_page):
        page = open_page(PHONE, has_touch=True, is_mobile=True)
        expect(page.locator("#render")).to_be_enabled()
        shoulder, elbow = np.array(exported(page)["people"][0]["pose_keypoints_2d"]).reshape(18, 3)[2:4, :2]
        target = elbow + ((elbow - shoulder) @ [[0, 1], [-1, 0]]) / 2
        (x, y), (to_x, to_y) = on_screen(page, elbow), on_screen(page, target)
        touch = page.context.new_cdp_session(page)
        for kind, points in (
            ("touchStart", [{"x": x, "y": y}]),
            ("touchMove", [{"x": (x + to_x) / 2, "y": (y + to_y) / 2}]),
            ("touchMove", [{"x": to_x, "y": to_y}]),
            ("touchEnd", []),
        ):
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        moved = np.array(exported(page)["people"][0]["pose_keypoints_2d"]).reshape(18, 3)[3, :2]
        # the upper arm keeps its length and points where the finger is
        reached = shoulder + (target - shoulder) * np.linalg.norm(elbow - shoulder) / np.linalg.norm(target - shoulder)
        np.testing.assert_allclose(moved, reached, atol=2)


def contrast(one, other):
    """Ratio of luminances, WCAG 2.2's definition."""

    def luminance(colour):
        parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ (0.2126, 0.7152, 0.0722))

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)
