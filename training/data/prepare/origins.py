"""Where pictures come from, as a person writes it on the command line, and the source that is meant."""

from __future__ import annotations

import re
from pathlib import Path

from handfirst.engines.errors import UserError
from handfirst.training.data.prepare.settings import Origin
from handfirst.training.data.record import Source
from handfirst.training.data.sources.opening import KINDS, open_source
from handfirst.training.data.sources.procedural import Procedural
from handfirst.training.data.sources.reinterhand import MaskFolder

RENDERED = "rendered"
"""The kind of source that needs nothing on disk: "rendered=hand:1000" or "rendered=person:1000"."""
_COUNT = re.compile(r"(?P<path>.+):(?P<count>\d+)")
_RENDERED = re.compile(r"(?P<what>\w+):(?P<count>\d+)")
_MASKS = re.compile(r"(?P<name>.+):(?P<left>\d{1,3}):(?P<right>\d{1,3})")


def parse_origin(text: str) -> Origin:
    """KIND=PATH[:COUNT] -> an origin.

    Raises:
        UserError: another form, an unknown kind, a count of 0.
    """
    kind, equals, rest = text.partition("=")
    if not equals or not rest:
        raise UserError(f"expected KIND=PATH or KIND=PATH:COUNT, got '{text}'; for example hagrid=/data/hagrid:76800")
    if kind not in (*KINDS, RENDERED):
        raise UserError(f"expected a source of kind {', '.join((*KINDS, RENDERED))}; got '{kind}'")
    if kind == RENDERED:
        _rendered(rest)
        return Origin(kind=kind, path=rest)
    counted = _COUNT.fullmatch(rest)
    if counted and not int(counted["count"]):
        raise UserError(f"expected a count of at least 1, got '{text}'; leave the source out instead")
    return (
        Origin(kind=kind, path=counted["path"], count=int(counted["count"]))
        if counted
        else Origin(kind=kind, path=rest)
    )


def parse_masks(text: str) -> MaskFolder:
    """NAME:LEFT:RIGHT -> where Re:InterHand's masks lie, and the grey values of the hands.

    Raises:
        UserError: another form.
    """
    given = _MASKS.fullmatch(text)
    if not given:
        raise UserError(f"expected NAME:LEFT:RIGHT, a folder beside images/ and two grey values, got '{text}'")
    return MaskFolder(given["name"], int(given["left"]), int(given["right"]))


def open_origin(origin: Origin, size: int, first_seed: int, landmarks: bool = True) -> Source:
    """The source that an origin names.

    Args:
        size: of the examples; people are rendered twice as large, for their hands to have pixels.
        first_seed: of rendered pictures.
        landmarks: whether HaGRID's own key points are read.

    Raises:
        UserError: it is not there, or something else is.
    """
    if origin.kind == RENDERED:
        what, count = _rendered(origin.path)
        return Procedural(what, count, size if what == "hand" else 2 * size, first_seed)
    masks = parse_masks(origin.masks) if origin.masks and origin.kind == "reinterhand" else None
    return open_source(origin.kind, Path(origin.path), splits=("train", "val"), masks=masks, landmarks=landmarks)


def _rendered(text: str) -> tuple[str, int]:
    """ "hand:1000" -> what is rendered, and how many."""
    given = _RENDERED.fullmatch(text)
    if not given:
        raise UserError(f"expected {RENDERED}=hand:COUNT or {RENDERED}=person:COUNT, got '{RENDERED}={text}'")
    return given["what"], int(given["count"])
