"""Model folders: what all of them have in common when they are read and when a training writes the next one.

Knows nothing about what is in one.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors import SafetensorError

from handfirst.engines.errors import UserError


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Whatever the libraries raise over a damaged folder becomes one line.

    Raises:
        UserError: instead.
    """
    try:
        yield
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError, ValidationError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{folder}: cannot read the model: {reason}") from error


def config_of(folder: Path) -> dict[str, Any]:
    """The config.json of one network."""
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return config


@contextmanager
def next_folder(out: Path, source: Path | None = None, replaced: tuple[str, ...] = ()) -> Iterator[Path]:
    """A folder to fill, which takes the place of `out` in one step when all went well.

    Args:
        source: what it begins as a copy of, but for the names `replaced`; None: empty.
    """
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        if source is None:
            temporary.mkdir(parents=True)
        else:
            shutil.copytree(source, temporary, ignore=shutil.ignore_patterns(*replaced))
        yield temporary
        shutil.rmtree(out, ignore_errors=True)
        temporary.rename(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
