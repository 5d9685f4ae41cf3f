"""What tests do to the page in a browser: files chosen, joints dragged, the pose that it saves."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

DESK, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


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


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)))
