"""Posing on the page: joints, gestures, people, and files of poses."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image
from support.browsing import choose_file, drag, exported, hand_of, on_screen, pixels

from handfirst.runtime.pose.openpose import write_a1111
from handfirst.runtime.pose.read import parse_pose
from handfirst.runtime.pose.topology import HAND_EDGES
from handfirst.runtime.systems.two_stage.job import PROMPT, demo_pose

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect
INDEX_TIP = 8


def lengths(hand):
    return [np.linalg.norm(hand[a] - hand[b]) for a, b in HAND_EDGES]


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
