"""The models of a server as the process sees them that answers HTTP: what their bundles say, nothing opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handfirst.engines.bundle import Bundle, demo_bundle_path
from handfirst.engines.errors import UserError
from handfirst.runtime.batch.on_ray import Opening
from handfirst.runtime.system import Resident, SystemModule
from handfirst.runtime.systems import module_of

LEAST_DIGEST = 12
"""Digits of a digest that name a model."""


@dataclass(frozen=True, eq=False)
class Served:
    """One of them."""

    name: str
    digest: str
    told: SystemModule
    settings: Any
    manifest_settings: dict[str, Any]
    system: str

    def describe(self, facts: dict[str, Any] | None) -> dict[str, Any]:
        """An entry of the capabilities; `facts` come from a process that has opened it."""
        kind = self.told.JOBS
        none = {"engine": None, "picture": None, "pictures": None, "work": None}
        return {
            "name": self.name,
            "system": self.system,
            "digest": self.digest,
            **(none if facts is None else facts),
            "files": list(kind.every_file),
            "fields": kind.fields.model_json_schema(),
            "required": list(kind.required),
            "settings": self.manifest_settings,
            "hands": self.told.hand_limits(self.settings),
        }


def served_of(bundles: Sequence[Bundle]) -> list[Served]:
    """The models of these bundles.

    Raises:
        UserError: a bundle is broken or of no system here, or two have one name.
    """
    made = []
    for bundle in bundles:
        told = module_of(bundle.manifest)
        manifest = bundle.manifest
        settings = told.read_settings(manifest)
        told.check_roles(settings, {role: entry.spec for role, entry in manifest.engines.items()})
        made.append(Served(manifest.name, bundle.digest, told, settings, manifest.settings, manifest.system))
    names = [each.name for each in made]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(f"two bundles have the name {twice[0]!a}; serve one of them, or export one under another name")
    return made


def open_bundles(paths: Sequence[Path]) -> list[Bundle]:
    """The bundles of these folders, or the embedded one; raises a BundleError."""
    return [Bundle.open(path) for path in (paths or [demo_bundle_path()])]


def openings_of(bundles: Sequence[Bundle], engine: str, threads: int | None, resident: Resident) -> list[Opening]:
    """How other processes open them."""
    return [Opening(bundle.path.absolute(), bundle.digest, engine, threads, resident) for bundle in bundles]


def works_of(served: Sequence[Served]) -> list[str]:
    """What the systems say of a request's work: names that can be limited."""
    works = (each.told.work(each.told.example(), each.settings) for each in served)
    names = (name for work in works for name, value in work.items() if isinstance(value, int | float))
    return list(dict.fromkeys(names))
