"""Two long lists that belong together, joined while both are read. Knows nothing about what they hold."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

_NOTHING = object()


def paired(images: Iterator[Any], annotations: Iterator[Any], image_id: str, annotation_id: str) -> Iterator[Any]:
    """Pairs (image, annotation) of the same id, each as soon as both have come; at the end, what is left.

    Only what waits for its partner is held: nothing where both lists have the same order. A second annotation of an
    image, and entries without an id, come without a partner.

    Args:
        images, annotations: JSON objects, or anything.
        image_id, annotation_id: the keys under which each has the image's id.

    Returns:
        Pairs; None stands for a partner that never came.
    """
    waiting: tuple[dict[Any, Any], dict[Any, Any]] = ({}, {})
    for entries in zip_longest(images, annotations, fillvalue=_NOTHING):
        for mine, (entry, key) in enumerate(zip(entries, (image_id, annotation_id), strict=True)):
            if entry is _NOTHING:
                continue
            name = _id(entry, key)
            if name is None or name in waiting[mine]:
                yield _alone(entry, mine)
            elif name in waiting[1 - mine]:
                partner = waiting[1 - mine].pop(name)
                yield (partner, entry) if mine else (entry, partner)
            else:
                waiting[mine][name] = entry
    for mine, left in enumerate(waiting):
        for entry in left.values():
            yield _alone(entry, mine)


def _alone(entry: Any, mine: int) -> tuple[Any, Any]:
    return (None, entry) if mine else (entry, None)


def _id(entry: Any, key: str) -> int | str | None:
    value = entry.get(key) if isinstance(entry, dict) else None
    return value if isinstance(value, int | str) else None
