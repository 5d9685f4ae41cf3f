"""The systems, by the name that a bundle's manifest gives: one line each. No system imports another."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from handfirst.engines.manifest import Manifest
    from handfirst.runtime.system import Resident, SystemModule

SYSTEMS = {
    "annotated": "handfirst.runtime.systems.annotated.seam",
    "gesture-text": "handfirst.runtime.systems.gesture_text.seam",
    "part-refiner": "handfirst.runtime.systems.part_refiner.seam",
    "two-stage": "handfirst.runtime.systems.two_stage.seam",
}


def module_of(manifest: Manifest) -> SystemModule:
    """What a manifest's system tells about itself.

    Raises:
        BundleError: no such system here.
    """
    from handfirst.engines.errors import BundleError

    if manifest.system not in SYSTEMS:
        raise BundleError(
            f"bundle '{manifest.name}': expected the system {' or '.join(SYSTEMS)}, got {manifest.system}; "
            "open it with the program that it was made for"
        )
    return cast("SystemModule", importlib.import_module(SYSTEMS[manifest.system]))


def open(
    path: Path | str | None = None, engine: str = "auto", threads: int | None = None, resident: Resident = "all"
) -> Any:
    """The model of a bundle, or the embedded one: a System of whatever kind the bundle is.

    Args:
        path: folder of the bundle.
        engine: what runs the networks: "auto" or one of engines.choice.ENGINES.
        threads: CPU threads; None leaves the choice to the engine.
        resident: "all" networks stay in memory, or those of one "stage" at a time, for machines with little of it;
            the pictures are the same (docs/engines.md).

    Raises:
        BundleError: if the bundle is broken, of no system here, or its parts do not fit each other.
        EngineError: if its engines cannot run here.
    """
    from handfirst.engines.bundle import Bundle, demo_bundle_path

    bundle = Bundle.open(demo_bundle_path() if path is None else path)
    return module_of(bundle.manifest).open_bundle(bundle, engine, threads, resident)
