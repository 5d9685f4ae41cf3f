"""The settings of a two-stage model, out of its bundle's manifest. Opens nothing else of the bundle."""

from __future__ import annotations

from pydantic import ValidationError

from handfirst.engines.errors import BundleError
from handfirst.engines.manifest import Manifest
from handfirst.runtime.settings import TwoStageSettings

SYSTEM = "two-stage"


def read_settings(manifest: Manifest) -> TwoStageSettings:
    """The manifest's settings, if it is a two-stage model's.

    Raises:
        BundleError: in one line, for another system or the first setting that makes no sense.
    """
    if manifest.system != SYSTEM:
        raise BundleError(
            f"bundle '{manifest.name}': expected the system {SYSTEM}, got {manifest.system}; "
            "open it with the program that it was made for"
        )
    try:
        return TwoStageSettings.model_validate(manifest.settings)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in ("settings", *first["loc"]))
        raise BundleError(
            f"bundle '{manifest.name}': {where}: {first['msg']}, got {first['input']!r:.60}; "
            "it may come from a newer version: pip install -U handfirst"
        ) from error
