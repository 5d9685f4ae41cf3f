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
from typing import Any, Generic, TypeVar

import diffusers
from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError
from tokenizers import Tokenizer

from handfirst.engines.errors import UserError
from handfirst.runtime.diffusion.tokenizer_file import plain_tokenizer
from handfirst.training.models.autoencoder import CLASSES

S = TypeVar("S", bound=BaseModel)


class SystemFolder(Generic[S]):
    """A model of a system that has its name in a file `system`: what it is and what it cost, but for its networks.

    Args:
        folder: with settings.json and training.json; and tokenizer.json, where the settings have a `text`.
        system: its name.
        kind: of the settings.

    Raises:
        UserError: the folder is no model, or one of another system.
    """

    def __init__(self, folder: Path, system: str, kind: type[S]) -> None:
        if not (folder / "settings.json").is_file():
            raise UserError(f"{folder}: not a model (no settings.json); give what 'handfirst init' or training wrote")
        name = folder / "system"
        if not name.is_file() or name.read_text(encoding="utf-8").strip() != system:
            raise UserError(f"{folder}: expected a model of the system {system}, got another one's")
        self.folder = folder
        self.tokenizer: Tokenizer | None = None
        with reading(folder):
            self.settings: S = kind.model_validate_json((folder / "settings.json").read_text(), strict=True)
            self.training: dict[str, Any] = json.loads((folder / "training.json").read_text())
            if getattr(self.settings, "text", None) is not None:
                self.tokenizer = read_tokenizer(folder)


def read_tokenizer(folder: Path) -> Tokenizer:
    """tokenizer.json of a model folder."""
    file = folder / "tokenizer.json"
    plain_tokenizer(file.read_bytes())  # raises for what the library could stop at
    return Tokenizer.from_file(str(file))


def save_words(system: str, settings: BaseModel, training: dict[str, Any], folder: Path) -> None:
    """system, training.json and, last, settings.json: a folder without it is known to be unfinished."""
    (folder / "system").write_text(f"{system}\n")
    (folder / "training.json").write_text(json.dumps(training, indent=1))
    (folder / "settings.json").write_text(settings.model_dump_json(indent=1))


def autoencoder_class(folder: Path) -> Any:
    """Of a vae/ folder.

    Raises:
        UserError: another class than those that an autoencoder may have.
    """
    name = config_of(folder).get("_class_name", "AutoencoderKL")
    if name not in CLASSES:
        raise UserError(f"{folder}: class {name!r} is not one of {', '.join(CLASSES)}")
    return getattr(diffusers, name)


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
