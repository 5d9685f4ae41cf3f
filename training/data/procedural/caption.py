"""Captions from a small fixed vocabulary. Which face of a hand is seen is left to whoever uses the caption."""


def gesture_words(gesture: str) -> str:
    """A gesture's name as words."""
    return gesture.replace("_", " ")


def hand_caption(attributes: dict[str, str], background: str) -> str:
    """For example "a left hand, open palm, light skin, blue sleeve, plain blue background"."""
    parts = [f"a {attributes['side']} hand", gesture_words(attributes["gesture"]), f"{attributes['skin']} skin"]
    if attributes["sleeve"] != "none":
        parts.append(f"{attributes['sleeve']} sleeve")
    return ", ".join([*parts, background])


def person_caption(attributes: dict[str, str], background: str) -> str:
    """A person, their clothes, their hands and the background, in one sentence of fixed words."""
    hair = f"{attributes['hair']} {attributes['hair_colour']} hair and "
    who = "a bald person with " if attributes["hair"] == "bald" else f"a person with {hair}"
    pattern = "" if attributes["pattern"] == "plain" else f"{attributes['pattern']} "
    top = f"{_article(attributes['top'])} {attributes['top']} {pattern}{attributes['sleeve']}-sleeve top"
    return ", ".join(
        [
            f"{who}{attributes['skin']} skin",
            f"wearing {top} and {attributes['trousers']} trousers",
            f"left hand {gesture_words(attributes['left_hand'])}",
            f"right hand {gesture_words(attributes['right_hand'])}",
            background,
        ]
    )


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"
