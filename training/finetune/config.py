"""FineTuneOptions from a TOML file and from the command line, and what a resumed run may not change.

Knows nothing about what the options do.
"""

from __future__ import annotations

import json
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from handfirst.engines.errors import UserError
from handfirst.engines.files import atomic_path
from handfirst.runtime.settings import TwoStageSettings
from handfirst.training.systems.two_stage.options import FREE, BodyOptions, FineTuneOptions, HandOptions

Stage = Literal["hand", "body"]
KINDS: dict[Stage, type[HandOptions] | type[BodyOptions]] = {"hand": HandOptions, "body": BodyOptions}
FILE = "options.json"


def load_options(stage: Stage, config: str, changes: dict[str, Any]) -> HandOptions | BodyOptions:
    """A configuration with changes on top.

    Args:
        config: "paper", the shipped one of the stage, or the path of a TOML file.
        changes: from the command line, by option; those that are None are left out.

    Raises:
        UserError: no such file, not TOML, or a value that does not fit.
    """
    shipped = resources.files("handfirst.training.systems.two_stage") / "configs" / f"{config}-{stage}.toml"
    try:
        text = shipped.read_text() if shipped.is_file() else Path(config).read_text()
        values = tomllib.loads(text)
    except OSError as error:
        raise UserError(f"no training configuration {config!r}: give paper, or the path of a TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{config}: not a TOML file ({error})") from error
    given = {name: value for name, value in changes.items() if value is not None}
    try:
        return KINDS[stage].model_validate(merged(values, given))
    except ValidationError as error:
        raise UserError(f"{config}: {first_complaint(error)}") from error


def changed_settings(settings: TwoStageSettings, options: FineTuneOptions) -> TwoStageSettings:
    """The model's settings with the options' changes.

    Raises:
        UserError: a change that makes no sense, or of what the networks were built for.
    """
    if wrong := sorted(set(options.settings) - {"hand", "body", "defaults"}):
        raise UserError(f"settings.{wrong[0]} is part of the networks; training can change settings.hand and .body")
    try:
        changed = TwoStageSettings.model_validate(merged(settings.model_dump(), options.settings))
    except ValidationError as error:
        raise UserError(f"settings: {first_complaint(error)}") from error
    for name, before, after in (
        ("hand.size", settings.hand.size, changed.hand.size),
        ("hand.condition.grid", settings.hand.condition.grid, changed.hand.condition.grid),
        ("hand.condition.fold", settings.hand.condition.fold, changed.hand.condition.fold),
    ):
        if before != after:
            raise UserError(f"settings.{name} is part of the networks: expected {before}, got {after}")
    if isinstance(options, BodyOptions) and changed.hand.mask_head != settings.hand.mask_head:
        raise UserError("settings.hand.mask_head is part of stage 1: change it in 'handfirst train hand'")
    return changed


def pin(folder: Path, description: dict[str, Any]) -> None:
    """Writes what a run is into its folder, or compares it with what the folder's run was begun with.

    Raises:
        UserError: the run was begun with other options, data or another model; names the first difference.
    """
    file = folder / FILE
    now = json.loads(json.dumps(description))
    if file.is_file():
        before = json.loads(file.read_text())
        for name in sorted({*before, *now} - FREE):
            if before.get(name) != now.get(name):
                raise UserError(
                    f"{folder}: this run was begun with {name} = {json.dumps(before.get(name))}, "
                    f"got {json.dumps(now.get(name))}; give another --out to begin a new one"
                )
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(file) as temporary:
        temporary.write_text(json.dumps(now, indent=1))


def merged(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
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
