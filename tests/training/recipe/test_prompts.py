"""What the text encoder hears: facts of the hand that is drawn, in the words that a user and the runtime would use."""

from __future__ import annotations

import numpy as np
import pytest

from handfirst.training.data.arrays import mirror_keypoints, mirror_words
from handfirst.training.data.procedural.caption import gesture_words
from handfirst.training.data.procedural.pairs import PAIRS
from handfirst.training.data.procedural.sample import SIDES, Sample, sample_hand, sample_person
from handfirst.training.recipe.prompts import body_prompts, hand_prompts, person_prompt, shorten, view_words

SIZE = 32
OTHER = {
    "frame": "bust", "skin": "tan", "hair": "long", "hair_colour": "brown", "top": "red", "pattern": "striped",
    "sleeve": "long", "trousers": "unseen", "left_hand": "fist", "right_hand": "ok", "background": "plain",
    "background_colour": "white", "background_words": "plain white background",
}  # fmt: skip


@pytest.fixture(scope="module")
def hands() -> list[Sample]:
    """Two left hands, two right ones, and both hands together."""
    single = [sample_hand(seed, SIZE, side=SIDES[seed % 2], supersample=1) for seed in range(4)]
    return [*single, *(sample_hand(7, SIZE, gesture=pair, supersample=1) for pair in PAIRS)]


def test_prompts_keep_the_hands_facts(hands: list[Sample]) -> None:
    own, borrowed = hand_prompts(
        np.stack([h.keypoints for h in hands]), [h.caption for h in hands], [h.attributes for h in hands], [OTHER],
        SIZE, with_view=True, seed=0,
    )  # fmt: skip
    for hand, mine, other in zip(hands, own, borrowed, strict=True):
        words = view_words(hand.keypoints, hand.attributes["side"], SIZE)
        assert mine.startswith(f"{words}, ") and other.startswith(f"{words}, a portrait of a person")
        full = person_prompt(hand.attributes, OTHER)
        assert f"{hand.attributes['skin']} skin" in full and full.endswith(hand.attributes["background_words"])
        sleeve = hand.attributes["sleeve"]
        assert "red striped short-sleeve top" in full if sleeve == "none" else f"{sleeve} " in full
        side = "both hands" if hand.attributes["side"] == "both" else f"{hand.attributes['side']} hand"
        assert f"{side} {gesture_words(hand.attributes['gesture'])}" in full
        clauses = [c for c in full.split(", ") if c.startswith(("left hand ", "right hand ", "both hands "))]
        assert len(clauses) == 1, "of the other person's hands nothing is said"


def test_a_bald_person_lends_no_hair() -> None:
    facts = {"skin": "dark", "gesture": "two_up", "side": "left", "background_words": "plain red background"}
    facts |= {"sleeve": "blue", "pattern": "plain"}
    text = person_prompt(facts, {**OTHER, "hair": "bald"})
    assert text == (
        "a portrait of a person, bald, dark skin, blue long-sleeve top, left hand two up, plain red background"
    )


def test_two_hands_have_two_views(hands: list[Sample]) -> None:
    for hand in hands[-len(PAIRS) :]:
        words = view_words(hand.keypoints, "both", SIZE)
        assert words.count("of a left hand and ") == 1 and words.endswith("of a right hand")


def test_mirrored_words_are_those_of_the_mirrored_picture(hands: list[Sample]) -> None:
    for hand in hands[:4]:
        mirrored = view_words(mirror_keypoints(hand.keypoints, SIZE), mirror_words(hand.attributes["side"]), SIZE)
        assert mirrored == mirror_words(view_words(hand.keypoints, hand.attributes["side"], SIZE))


def test_a_mirrored_persons_caption_is_still_true() -> None:
    person = sample_person(0, SIZE, frame="bust", gestures=("fist", "ok"), supersample=1)
    mirrored = mirror_words(person.caption)
    assert "right hand fist" in mirrored and "left hand ok" in mirrored


def test_shortened_captions_keep_their_first_clause() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        clauses = shorten("a, b, c, d", rng).split(", ")
        assert clauses[0] == "a" and clauses == sorted(clauses)


def test_bodies_have_the_caption_and_a_shorter_one() -> None:
    whole, short = body_prompts(["a, b, c"] * 5, 0)
    assert whole == ["a, b, c"] * 5 and all(set(s.split(", ")) <= {"a", "b", "c"} for s in short)
