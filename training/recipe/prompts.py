"""What the text encoder hears in training: full captions, shortened ones, and hands described as in a person's prompt.

At run time the hands' prompt is the user's prompt of the whole person, so the hand generator must know both kinds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.geometry import Similarity
from handfirst.runtime.pose.crop import HandCrop
from handfirst.runtime.pose.topology import SIDES, Side
from handfirst.runtime.pose.view import hand_words
from handfirst.training.data.procedural.caption import person_caption
from handfirst.training.data.record import to_person


def shorten(caption: str, rng: np.random.Generator) -> str:
    """Keeps the first clause and each other one with probability .6; clauses are parted by commas."""
    first, *rest = caption.split(", ")
    return ", ".join([first, *(clause for clause in rest if rng.random() < 0.6)])


def person_prompt(facts: dict[str, str], other: dict[str, str]) -> str:
    """A hand's own skin, gesture, sleeve and background inside the sentence of another person: attributes of both."""
    side, gesture = facts["side"], facts["gesture"]
    hands = {"left_hand": gesture, "right_hand": gesture}
    if side != "both":
        hands["right_hand" if side == "left" else "left_hand"] = "none"
    sleeve = {"sleeve": "short"}  # a bare wrist
    if facts["sleeve"] != "none":
        sleeve = {"sleeve": "long", "top": facts["sleeve"], "pattern": facts["pattern"]}
    own = {key: facts[key] for key in ("skin", "background_words")}
    return person_caption({**other, **hands, **sleeve, **own})


def view_words(keypoints: NDArray[np.float32], side: str, size: int) -> str:
    """The runtime's own words for a training picture that is one crop: keypoints [133, 3], side left, right or both."""
    sides: tuple[Side, ...] = SIDES if side == "both" else ("left",) if side == "left" else ("right",)
    return hand_words(
        to_person(keypoints), HandCrop(sides=sides, similarity=Similarity(1.0, 0.0, 0.0), size=size, side_px=size)
    )


def hand_prompts(
    keypoints: NDArray[np.float32],
    captions: Sequence[str],
    attributes: Sequence[dict[str, str]],
    others: Sequence[dict[str, str]],
    size: int,
    with_view: bool,
    seed: int,
) -> list[list[str]]:
    """Two prompts per hand: its own caption (whole or shortened) and a person's; both after the view words.

    Args:
        keypoints: [N, 133, 3] in pixels of pictures `size` a side.
        others: attributes of people to borrow frame, hair and clothes from.
    """
    rng = np.random.default_rng((seed, 3))
    prompts: list[list[str]] = [[], []]
    for points, caption, facts in zip(keypoints, captions, attributes, strict=True):
        head = f"{view_words(points, facts['side'], size)}, " if with_view else ""
        own = caption if rng.random() < 0.5 else shorten(caption, rng)
        prompts[0].append(head + own)
        person = person_prompt(facts, others[int(rng.integers(len(others)))])
        prompts[1].append(head + (person if rng.random() < 0.5 else shorten(person, rng)))
    return prompts


def body_prompts(captions: Sequence[str], seed: int) -> list[list[str]]:
    """Two prompts per person: the caption and a shortened one."""
    rng = np.random.default_rng((seed, 4))
    return [list(captions), [shorten(c, rng) for c in captions]]
