"""Options out of TOML files, with changes on top. Knows nothing about what they are options of."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from handfirst.engines.errors import UserError

Options = TypeVar("Options", bound=BaseModel)

LENGTHS = frozenset({"steps", "minutes"})
"""Of a training: one of them says how long it takes."""


def load_options(
    kind: type[Options], configs: Mapping[str, Traversable], config: str | None, changes: Mapping[str, Any]
) -> Options:
    """A configuration with changes on top.

    Args:
        configs: those that are shipped, by name.
        config: the name of one of them, or the path of a TOML file; None: the first of them, or none.
        changes: by option, tables within tables; those that are None are left out.

    Raises:
        UserError: no such file, not TOML, or a value that does not fit.
    """
    name = next(iter(configs), None) if config is None else config
    values = {} if name is None else read_toml(name, configs)
    given = {option: value for option, value in changes.items() if value is not None}
    if unknown := sorted(set(given) - set(kind.model_fields)):
        raise UserError(f"no such option here: {unknown[0]}; expected one of {', '.join(sorted(kind.model_fields))}")
    if LENGTHS & given.keys():  # a length that is asked for takes the place of the configuration's
        values = {option: value for option, value in values.items() if option not in LENGTHS}
    try:
        return kind.model_validate(merged(values, given))
    except ValidationError as error:
        raise UserError(f"{name or 'options'}: {first_complaint(error)}") from error


def read_toml(name: str, shipped: Mapping[str, Traversable]) -> dict[str, Any]:
    """The table of a shipped file, or of the file at the path `name`.

    Raises:
        UserError: no such file, or not TOML.
    """
    file = shipped[name] if name in shipped else Path(name)
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        known = "".join(f"{each}, " for each in shipped).rstrip(", ")
        known = f"{known} or " if known else ""
        raise UserError(f"no training configuration {name!r}: give {known}the path of a TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{name}: not a TOML file ({error})") from error


def one_change(text: str) -> dict[str, Any]:
    """ "settings.body.blend_source=clean" -> {"settings": {"body": {"blend_source": "clean"}}}.

    A value is what it would be in a TOML file; what is none there is text.

    Raises:
        UserError: no name, or no value.
    """
    path, equals, value = text.partition("=")
    names = [name.strip() for name in path.split(".")]
    if not equals or not all(names):
        raise UserError(f"--set: expected NAME=VALUE, such as batch=8, got {text[:60]!a}")
    try:
        found: Any = tomllib.loads(f"x = {value}")["x"]
    except tomllib.TOMLDecodeError:
        found = value.strip()
    for name in reversed(names):
        found = {name: found}
    return dict(found)


def merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with `changes` on top, table by table."""
    out = dict(values)
    for name, value in changes.items():
        inner = out.get(name)
        out[name] = merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return out


def first_complaint(error: ValidationError) -> str:
    """One line out of pydantic's several."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else str(first["msg"])
