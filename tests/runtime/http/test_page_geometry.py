"""The page's own code without a browser: its tests in JavaScript, and its geometry beside the library's."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from handfirst.runtime.pose.crop import UsualCrop, hand_crops
from handfirst.runtime.pose.person import Person, Pose
from handfirst.runtime.pose.topology import HANDS, POINTS, SIDES
from handfirst.runtime.pose.view import hand_view

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "runtime" / "http" / "page"
NODE = shutil.which("node")

needs_node = pytest.mark.skipif(NODE is None, reason="node is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The page and its tests in one folder that says that they are modules."""
    folder = tmp_path_factory.mktemp("page")
    for file in [*PAGE.glob("*.js*"), *(Path(__file__).parent / "page").glob("*.mjs")]:
        shutil.copy(file, folder)
    (folder / "package.json").write_text('{"type": "module"}')
    return folder


def node(folder, *arguments, given=None):
    done = subprocess.run(
        [NODE, *arguments], cwd=folder, input=given, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs_node
def test_the_pages_own_tests(folder):
    assert "# fail 0" in node(folder, "--test", "--test-reporter=tap")


def hands(count):
    """Hands of all kinds, and the sides that they are said to be of; some points are missing."""
    rng = np.random.default_rng(5)
    made = rng.normal(0, 40, (count, 21, 2)) + 256
    made[::7, 5] = np.nan
    made[1::5, :, 0] = 256 + 0.02 * made[1::5, :, 0]
    return made, [SIDES[i % 2] for i in range(count)]


@needs_node
def test_hands_are_seen_as_the_library_sees_them(folder):
    """Which face, the square that the model cuts out, and where a pose lies on another canvas."""
    points, sides = hands(60)
    (folder / "beside.js").write_text("""
        import { handView } from "./geometry.js";
        import { square } from "./hands.js";
        import { fit } from "./pose.js";
        const chunks = [];
        for await (const chunk of process.stdin) chunks.push(chunk);
        const { hands, limits } = JSON.parse(Buffer.concat(chunks));
        const told = hands.map(({ points, side }) => ({
          view: handView(points, side),
          square: square(points, limits, 512),
          fitted: fit({ width: 512, height: 512, people: [{ left: points }] }, 300, 200).people[0].left,
        }));
        console.log(JSON.stringify(told));
    """)
    usual = UsualCrop()
    asked = {
        "hands": [
            {"side": side, "points": [None if np.isnan(x) else [x, y] for x, y in hand.tolist()]}
            for hand, side in zip(points, sides, strict=True)
        ],
        "limits": {"margin": usual.margin, "least": usual.min_side},
    }
    told = json.loads(node(folder, "beside.js", given=json.dumps(asked)))
    for hand, side, said in zip(points, sides, told, strict=True):
        rows = np.zeros((POINTS, 3))
        rows[HANDS[side]] = np.nan_to_num(np.column_stack([hand, np.isfinite(hand[:, 0])]))
        person = Person.of(rows)
        (crop,) = hand_crops(person, usual, 512, 512)
        corner = crop.similarity.inverse().apply(np.zeros((1, 2)))[0]
        assert said["view"] == hand_view(person.hand(side), side)
        found = [said["square"][name] for name in ("x", "y", "side")]
        np.testing.assert_allclose(found, [*corner, crop.side_px], atol=1e-6)
        fitted = Pose((person,), 512, 512).fit(300, 200).people[0].hand(side)
        seen = np.array([[np.nan, np.nan] if point is None else point for point in said["fitted"]])
        np.testing.assert_allclose(seen, fitted, atol=1e-9)


@needs_node
def test_every_gesture_shows_the_face_that_it_is_put_with(folder):
    """Of either hand; the library tells which face it is."""
    (folder / "gestures.js").write_text("""
        import { readFileSync } from "node:fs";
        import { put, seen } from "./hands.js";
        const { gestures } = JSON.parse(readFileSync("gestures.json"));
        const at = { wrist: [200, 300], radians: 0.4, length: 60 };
        const all = gestures.flatMap(({ name, points }) =>
          ["left", "right"].flatMap((side) =>
            ["palm", "back"].map((face) => ({ name, side, face, hand: put(seen(points, side, face), at) }))));
        console.log(JSON.stringify(all));
    """)
    all_of_them = json.loads(node(folder, "gestures.js"))
    assert len(all_of_them) > 80
    for each in all_of_them:
        assert hand_view(np.array(each["hand"]), each["side"]) == each["face"], each["name"]


def test_the_data_are_what_the_model_gives():
    """Gestures of the procedural hand model and the embedded pose, exported by scripts/page_data.py."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("page_data", ROOT / "scripts" / "page_data.py")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    assert json.loads((PAGE / "gestures.json").read_text()) == made.gestures()
    assert json.loads((PAGE / "figure.json").read_text()) == made.figure()


def test_every_file_is_a_chapter_and_comes_from_here():
    """No build step and nothing from elsewhere: modules import each other, styles nothing."""
    for file in PAGE.iterdir():
        text = file.read_text(encoding="utf-8")
        assert text.count("\n") <= 300, file.name
        assert "http://" not in text.replace("http://www.w3.org/2000/svg", "") and "https://" not in text, file.name
        assert not {"innerHTML", "outerHTML", "eval(", "document.write"} & {
            word for word in ("innerHTML", "outerHTML", "eval(", "document.write") if word in text
        }, file.name
