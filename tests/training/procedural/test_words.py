"""Captions, and the names of colours: true of the pixels, and from a small vocabulary."""

import numpy as np

from handfirst.training.data.procedural.background import draw_background
from handfirst.training.data.procedural.caption import gesture_words
from handfirst.training.data.procedural.gestures import GESTURES
from handfirst.training.data.procedural.pairs import PAIRS
from handfirst.training.data.procedural.palette import (
    COLOURS,
    HAIR_COLOURS,
    SKIN_WORDS,
    clearly,
    colour_name,
    random_colour,
)
from handfirst.training.data.procedural.sample import Sample


def test_the_backgrounds_word_is_true_of_most_of_it() -> None:
    for seed in range(60):
        background = draw_background(np.random.default_rng(seed), 48)
        words = [colour_name(pixel) for pixel in background.image[::4, ::4].reshape(-1, 3)]
        assert words.count(background.colour) / len(words) > (0.5 if background.kind == "room" else 0.95), seed
        assert background.colour in background.phrase


def test_colours_are_clearly_named() -> None:
    rng = np.random.default_rng(0)
    for name in COLOURS:
        colour = random_colour(rng, (name,))
        assert colour_name(colour) == name and clearly(colour, 5.0), name


def test_colour_names_are_their_own_nearest() -> None:
    assert [colour_name(colour) for colour in COLOURS.values()] == list(COLOURS)


def test_captions_use_the_vocabulary(hands: list[Sample], people: list[Sample]) -> None:
    words = {"a", "an", "hand", "skin", "sleeve", "background", "left", "right", "person", "of", "two", "hands", "both"}
    words |= {"top", "trousers", "hair", "bald", "short", "long", "curly", "tied-back", "striped", "checked"}
    words |= {"long-sleeve", "short-sleeve", "plain", "gradient", "blurred", "room"} | set(COLOURS) | set(SKIN_WORDS)
    words |= {"portrait", "half-length", "full-length"}
    words |= {w for name in HAIR_COLOURS for w in name.split()} | {
        w for g in [*GESTURES, *PAIRS] for w in gesture_words(g).split()
    }
    for sample in [*hands, *people]:
        assert set(sample.caption.replace(",", "").split()) <= words, sample.caption
        assert "back" not in sample.caption.replace("tied-back", "").replace("background", "")
    for sample in hands:
        assert sample.caption.startswith(f"a {sample.attributes['side']} hand, ")
        assert gesture_words(sample.attributes["gesture"]) in sample.caption
