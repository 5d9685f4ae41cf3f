#!/usr/bin/env python
"""What the page of `handfirst serve` knows of hands: `python scripts/page_data.py` writes it, `--check` compares.

gestures.json: the gestures of the procedural hand model, as 21 joints in centimetres of a right hand (x towards the
thumb, y from the wrist to the fingers, z out of the palm). figure.json: the embedded pose, and the words that go with
it, so that the first picture is one that the embedded model was shown. The runtime does not import what trains, so the
page carries both as files. A gesture that differs from another one only by the side that it shows is left out: on the
page a hand is turned over by itself.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from handfirst.runtime.pose.openpose import write_a1111
from handfirst.runtime.systems.two_stage.job import PROMPT, demo_pose
from handfirst.training.data.procedural.gestures import GESTURES, Gesture
from handfirst.training.data.procedural.hand import FINGER_BONES, finger_chain, hand_joints, thumb_chain

FOLDER = Path(__file__).resolve().parents[1] / "runtime" / "http" / "page"
FACES = "_inverted"
"""Ends the name of a gesture's other side."""


def joints(gesture: Gesture) -> list[list[float]]:
    """The 21 key points [21][3] of a right hand in its own frame, to a hundredth of a millimetre."""
    fingers = [
        finger_chain(bones, flexion, gesture.spread)
        for bones, flexion in zip(FINGER_BONES, gesture.fingers, strict=True)
    ]
    points: list[list[float]] = np.round(hand_joints(thumb_chain(gesture.thumb), fingers), 3).tolist()
    return points


def gestures() -> dict[str, Any]:
    """Names as the prompts of the training pictures say them; `face` is the side that the gesture shows."""
    kept = {name: gesture for name, gesture in GESTURES.items() if not name.endswith(FACES)}
    return {
        "unit": "cm",
        "side": "right",
        "gestures": [
            {"name": name.replace("_", " "), "face": gesture.face, "points": joints(gesture)}
            for name, gesture in kept.items()
        ],
    }


def figure() -> dict[str, Any]:
    """The embedded pose as the editors write it, and its prompt."""
    return {"prompt": PROMPT, "pose": write_a1111(demo_pose())}


def main() -> int:
    """Writes the files; with --check, 1 where one differs from what it should be."""
    made = {"gestures.json": gestures(), "figure.json": figure()}
    texts = {name: json.dumps(content, separators=(",", ":")) + "\n" for name, content in made.items()}
    if sys.argv[1:] != ["--check"]:
        for name, text in texts.items():
            (FOLDER / name).write_text(text, encoding="utf-8")
        return 0
    old = [name for name, text in texts.items() if (FOLDER / name).read_text(encoding="utf-8") != text]
    if old:
        print(f"{', '.join(old)}: not what the model gives; run python scripts/page_data.py", file=sys.stderr)
    return 1 if old else 0


if __name__ == "__main__":
    sys.exit(main())
