"""A checkpoint that the user has: a folder in the layout of the Hugging Face hub. Nothing is ever fetched."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from handfirst.engines.errors import UserError

# A name for people, and the model types that will do.
SEGMENTERS = ("SAM", ("sam", "sam_hq"))
CAPTIONERS = ("BLIP or LLaVA", ("blip", "llava", "llava_next"))


def model_type(folder: Path) -> str | None:
    """What its config.json says it is; None where there is no such file."""
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
        return found if isinstance(found, str) else None
    except (OSError, ValueError, AttributeError):
        return None


def check_folder(folder: Path, what: str, kinds: Sequence[str]) -> None:
    """Refuses a folder that is not a checkpoint of one of `kinds`.

    Raises:
        UserError: what was expected, what is there.
    """
    found = model_type(folder)
    if found not in kinds:
        there = f"a model of type {found!r}" if found else "no config.json"
        raise UserError(
            f"expected the folder of a {what} checkpoint for transformers ({', '.join(kinds)}), "
            f"found {there} in '{folder}'"
        )


@contextmanager
def model_folder(folder: Path, what: str, kinds: Sequence[str]) -> Iterator[None]:
    """Around the loading of a checkpoint.

    Raises:
        UserError: the folder is not one, or is incomplete; one line.
    """
    from handfirst.training.libraries import quiet

    check_folder(folder, what, kinds)
    quiet()
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise UserError(f"cannot load the {what} checkpoint in '{folder}': {reason}") from error
