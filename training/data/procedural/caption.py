"""Captions from a small fixed vocabulary: clauses in a fixed order, parted by ", ", of what can be seen.

Which face of a hand is seen is left to whoever uses the caption.
"""

from handfirst.training.data.procedural.pairs import PAIRS

FRAME_WORDS = {"bust": "portrait", "half": "half-length portrait", "full": "full-length portrait"}


def gesture_words(gesture: str) -> str:
    """A gesture's name as words."""
    return gesture.replace("_", " ")


def hand_caption(attributes: dict[str, str]) -> str:
    """For example "a left hand, ok, light skin, blue sleeve, plain blue background"."""
    who = "two hands" if attributes["side"] == "both" else f"a {attributes['side']} hand"
    parts = [who, gesture_words(attributes["gesture"]), f"{attributes['skin']} skin"]
    if attributes["sleeve"] != "none":
        parts.append(f"{attributes['sleeve']} {_pattern(attributes)}sleeve")
    return ", ".join([*parts, attributes["background_words"]])


def person_caption(attributes: dict[str, str]) -> str:
    """For example "a portrait of a person, short black hair, light skin, blue long-sleeve top, left hand fist, ..."."""
    clauses = [
        who_words(attributes),
        f"{attributes['skin']} skin",
        *clothes_words(attributes),
        *hands_words(attributes),
        attributes["background_words"],
    ]
    return ", ".join(clauses)


def who_words(attributes: dict[str, str]) -> str:
    """Frame and hair, as two clauses."""
    bald = attributes["hair"] == "bald"
    hair = "bald" if bald else f"{attributes['hair']} {attributes['hair_colour']} hair"
    return f"a {FRAME_WORDS[attributes['frame']]} of a person, {hair}"


def clothes_words(attributes: dict[str, str]) -> list[str]:
    """The top, and the trousers where they are seen."""
    sleeve = "" if attributes["sleeve"] == "unseen" else f"{attributes['sleeve']}-sleeve "
    top = f"{attributes['top']} {_pattern(attributes)}{sleeve}top"
    return [top] if attributes["trousers"] == "unseen" else [top, f"{attributes['trousers']} trousers"]


def hands_words(attributes: dict[str, str]) -> list[str]:
    """The gesture of each hand in the picture, or what both do together."""
    left, right = attributes["left_hand"], attributes["right_hand"]
    if left in PAIRS:
        return [f"both hands {gesture_words(left)}"]
    hands = (("left", left), ("right", right))
    return [f"{side} hand {gesture_words(gesture)}" for side, gesture in hands if gesture != "none"]


def _pattern(attributes: dict[str, str]) -> str:
    return "" if attributes["pattern"] == "plain" else f"{attributes['pattern']} "
