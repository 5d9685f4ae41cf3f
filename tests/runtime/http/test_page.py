"""The page in a real browser (Debian's chromium, driven by Playwright), against a server that paints."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.serving import serving

from handfirst.engines.bundle import demo_bundle_path
from handfirst.runtime.pose.openpose import write_a1111
from handfirst.runtime.pose.read import parse_pose
from handfirst.runtime.pose.topology import HAND_EDGES
from handfirst.runtime.systems.two_stage.job import PROMPT, demo_pose

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no browser is installed: apt-get install chromium")

expect = playwright.expect
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
PATIENCE_MS = 120_000
INDEX_TIP = 8
DESK, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser():
    expect.set_options(timeout=PATIENCE_MS)
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def server():
    """Of the embedded model alone."""
    with serving(demo_bundle_path(), "--limit", "steps=40") as running:
        yield running


@pytest.fixture
def open_page(browser, server):
    """Pages of a window each; what the browser complains of is an error of the test."""
    contexts, complaints = [], []

    def opened(viewport=DESK, route=None, **more):
        context = browser.new_context(viewport=viewport, accept_downloads=True, **more)
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
        if route is not None:
            route(page)
        page.goto(server.url)
        return page

    yield opened
    for context in contexts:
        context.close()
    # a refusal that a test asks for is told on the console as well; a policy that is broken must not be
    assert [line for line in complaints if "the server responded with a status of 4" not in line] == []


@pytest.fixture
def page(open_page):
    page = open_page()
    expect(page.locator("#render")).to_be_enabled()
    return page


def exported(page):
    """What the page saves."""
    with page.expect_download() as download:
        page.get_by_role("button", name="Export the pose").click()
    return json.loads(Path(download.value.path()).read_text(encoding="utf-8"))


def hand_of(pose, side="right", person=0):
    """float64 [21, 2]."""
    return np.array(pose["people"][person][f"hand_{side}_keypoints_2d"]).reshape(21, 3)[:, :2]


def on_screen(page, point, canvas="#stage", size=512):
    """Where a point of the pose is, in pixels of the window."""
    box = page.locator(canvas).bounding_box()
    scale = min(box["width"], box["height"]) / size
    left, top = box["x"] + (box["width"] - scale * size) / 2, box["y"] + (box["height"] - scale * size) / 2
    return left + scale * point[0], top + scale * point[1]


def drag(page, start, end):
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*((a + b) / 2 for a, b in zip(start, end, strict=True)))
    page.mouse.move(*end)
    page.mouse.up()


def choose_file(page, button, file):
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name=button).click()
    chooser.value.set_files(file)


def lengths(hand):
    return [np.linalg.norm(hand[a] - hand[b]) for a, b in HAND_EDGES]


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)))


class TestPosing:
    def test_it_opens_with_a_person_and_says_what_it_shows(self, page):
        assert page.title() == "handfirst"
        assert exported(page) == write_a1111(demo_pose())
        expect(page.locator("#seen")).to_have_text("Left hand, palm")
        expect(page.locator("#model-name")).to_have_text("demo")
        expect(page.locator("#modes")).to_be_hidden()
        expect(page.get_by_text("Photo repair is not served here: it needs a part-refiner bundle.")).to_be_visible()
        assert page.locator("#prompt").input_value() == PROMPT

    def test_a_fingertip_is_dragged_and_the_drag_undone(self, page):
        before = exported(page)
        hand = hand_of(before)
        target = hand[INDEX_TIP] - (3, -16)
        drag(page, on_screen(page, hand[INDEX_TIP]), on_screen(page, target))
        after = exported(page)
        moved = hand_of(after)
        assert np.linalg.norm(moved[INDEX_TIP] - target) < 2
        np.testing.assert_allclose(lengths(moved), lengths(hand), rtol=0.01)
        others = [i for i in range(21) if i not in (6, 7, 8)]
        np.testing.assert_allclose(moved[others], hand[others], atol=0.01)
        expect(page.locator("#seen")).to_have_text("Right hand, palm")
        page.keyboard.press("Control+z")
        assert exported(page) == before
        page.get_by_role("button", name="Redo").click()
        assert exported(page) == after

    def test_shift_moves_one_joint_alone(self, page):
        hand = hand_of(exported(page))
        page.keyboard.down("Shift")
        drag(page, on_screen(page, hand[INDEX_TIP]), on_screen(page, hand[INDEX_TIP] - (40, 30)))
        page.keyboard.up("Shift")
        moved = hand_of(exported(page))
        np.testing.assert_allclose(moved[INDEX_TIP], hand[INDEX_TIP] - (40, 30), atol=1.5)
        np.testing.assert_allclose(np.delete(moved, INDEX_TIP, 0), np.delete(hand, INDEX_TIP, 0), atol=0.01)

    def test_keys_do_what_the_mouse_does(self, page):
        before = exported(page)
        page.locator("#hand").focus()
        for _ in range(2):
            page.keyboard.press("j")
        expect(page.locator("#aloud")).to_have_text("left hand, thumb base")
        page.keyboard.press("Shift+ArrowRight")
        moved = hand_of(exported(page), "left") - hand_of(before, "left")
        assert moved[1, 0] > 0 and moved[1, 1] == 0 and not np.delete(moved, 1, 0).any()

    def test_gestures_and_the_other_face(self, page):
        page.get_by_role("group", name="Which hand").get_by_role("button", name="Right").click()
        page.get_by_role("button", name="fist", exact=True).click()
        expect(page.locator("#seen")).to_have_text("Right hand, palm")
        fist = hand_of(exported(page))
        page.get_by_role("button", name="palm", exact=True).click()
        open_hand = hand_of(exported(page))
        assert np.linalg.norm(open_hand[12] - open_hand[0]) > 1.5 * np.linalg.norm(fist[12] - fist[0])
        page.get_by_role("group", name="Which face").get_by_role("button", name="Back").click()
        expect(page.locator("#seen")).to_have_text("Right hand, back")
        np.testing.assert_allclose(lengths(hand_of(exported(page))), lengths(open_hand), atol=0.02)

    def test_a_hand_that_is_too_small_is_told(self, page):
        warning = page.locator("#small")
        expect(warning).to_be_hidden()
        for _ in range(4):
            page.get_by_role("button", name="Make the hand smaller").click()
        expect(warning).to_contain_text("from 36 on hands come out clear")
        page.get_by_role("button", name="Enlarge it").click()
        expect(warning).to_be_hidden()

    def test_several_people_and_mirror_images(self, page):
        page.get_by_role("button", name="Add a person").click()
        expect(page.get_by_role("group", name="People").get_by_role("button")).to_have_count(2)
        before = exported(page)
        page.get_by_role("button", name="Mirror this person").click()
        after = exported(page)
        assert after["people"][0] == before["people"][0]
        flipped, hand = hand_of(after, "left", 1), hand_of(before, "right", 1)
        np.testing.assert_allclose(flipped[:, 1], hand[:, 1], atol=0.01)
        np.testing.assert_allclose(np.ptp(flipped[:, 0] + hand[:, 0]), 0, atol=0.01)
        page.get_by_role("button", name="Remove this person").click()
        expect(page.get_by_role("group", name="People").get_by_role("button")).to_have_count(1)

    def test_what_was_posed_outlives_a_reload(self, page):
        page.get_by_role("button", name="fist", exact=True).click()
        posed = exported(page)
        page.reload()
        assert exported(page) == posed


class TestFiles:
    def test_a_comfyui_file_is_read_as_the_library_reads_it(self, page):
        people = [write_a1111(demo_pose())["people"][0]] * 2
        content = [{"people": people, "canvas_width": 768, "canvas_height": 512}]
        file = {"name": "pose.json", "mimeType": "application/json", "buffer": json.dumps(content).encode()}
        choose_file(page, "Import a pose", file)
        expect(page.get_by_role("group", name="People").get_by_role("button")).to_have_count(2)
        expected = write_a1111(parse_pose(content).fit(512, 512))
        found = exported(page)
        assert (found["canvas_width"], found["canvas_height"]) == (512, 512)
        for one, other in zip(found["people"], expected["people"], strict=True):
            for part, numbers in other.items():
                np.testing.assert_allclose(one[part], numbers, atol=0.01)
        page.get_by_role("button", name="Undo").click()
        assert exported(page) == write_a1111(demo_pose())

    def test_what_is_no_pose_is_refused_in_the_librarys_words(self, page):
        file = {"name": "x.json", "mimeType": "application/json", "buffer": b'{"people": 3}'}
        choose_file(page, "Import a pose", file)
        expect(page.locator("#message")).to_contain_text("pose:")
        assert exported(page) == write_a1111(demo_pose())

    def test_a_photo_lies_below_the_pose(self, page):
        picture = io.BytesIO()
        Image.new("RGB", (64, 48), (200, 30, 30)).save(picture, "PNG")
        choose_file(page, "Photo to trace", {"name": "x.png", "mimeType": "image/png", "buffer": picture.getvalue()})
        expect(page.locator("#photo-tools")).to_be_visible()
        page.wait_for_timeout(100)
        shot = pixels(page.locator("#stage").screenshot())
        red = (shot[..., 0].astype(int) - shot[..., 1] > 60).mean()
        assert red > 0.3
        page.locator("#photo-off").click()
        expect(page.locator("#photo-tools")).to_be_hidden()


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
        before = exported(page)
        elbow = np.array(before["people"][0]["pose_keypoints_2d"]).reshape(18, 3)[3, :2]
        (x, y), (to_x, to_y) = on_screen(page, elbow), on_screen(page, (elbow[0], elbow[1] + 60))
        touch = page.context.new_cdp_session(page)
        for kind, points in (
            ("touchStart", [{"x": x, "y": y}]),
            ("touchMove", [{"x": (x + to_x) / 2, "y": (y + to_y) / 2}]),
            ("touchMove", [{"x": to_x, "y": to_y}]),
            ("touchEnd", []),
        ):
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        moved = np.array(exported(page)["people"][0]["pose_keypoints_2d"]).reshape(18, 3)[3, :2]
        assert moved[1] > elbow[1] + 20


def contrast(one, other):
    """Ratio of luminances, WCAG 2.2's definition."""

    def luminance(colour):
        parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ (0.2126, 0.7152, 0.0722))

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)
