"""Whatever a library raises over a file that it did not expect becomes one line.

Knows nothing about files or networks.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from handfirst.engines.errors import UserError, lacks_memory

LONGEST = 200
"""Characters of a library's own words in a message."""


@contextmanager
def one_line(path: Path, otherwise: str, mend: str) -> Iterator[None]:
    """Turns any error inside into "path: otherwise (its first line); mend"; a UserError goes through as it is.

    Parsers of hostile input raise nearly every class of error, so that a list of them is never complete.

    Raises:
        UserError: instead of any other error, memory that ran out included.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a second line, about a file that is refused anyway
            yield
    except UserError:
        raise
    except Exception as error:
        if lacks_memory(error):
            raise UserError(f"{path}: not enough memory to read it; close other programs") from error
        raise UserError(f"{path}: {otherwise} ({reason(error)}); {mend}") from error


def reason(error: BaseException) -> str:
    """The first line of an error that says anything, cut; its class where it says nothing."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = (lines or [type(error).__name__])[0][:LONGEST]
    return f"{said} is missing" if isinstance(error, KeyError) else said
