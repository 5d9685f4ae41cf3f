"""What the part refiner tells whoever serves it: a SystemModule (runtime/system.py)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import Any

from handfirst.engines.bundle import Bundle
from handfirst.runtime.system import Resident
from handfirst.runtime.systems.part_refiner.job import JOBS, example
from handfirst.runtime.systems.part_refiner.pictures import pictures, sheet
from handfirst.runtime.systems.part_refiner.request import RepairRequest
from handfirst.runtime.systems.part_refiner.roles import check_roles, runs
from handfirst.runtime.systems.part_refiner.settings import PartRefinerSettings, read_settings

__all__ = [
    "JOBS",
    "LABELS",
    "check_roles",
    "example",
    "hand_limits",
    "open_bundle",
    "pictures",
    "read_settings",
    "runs",
    "sheet",
    "together",
    "work",
]

LABELS = {
    "text_encoder": "text encoder",
    "image_encoder": "image encoder",
    "pose_guider": "pose guider",
    "reference_unet": "reference UNet",
    "main_unet": "main UNet",
    "inpaint_unet": "inpainting UNet",
    "vae_encoder": "VAE encode",
    "vae_decoder": "VAE decode",
    "pose_drawing": "draw pose",
}


def open_bundle(bundle: Bundle, engine: str, threads: int | None, resident: Resident) -> Any:
    """The model of a bundle; see `PartRefiner.of`."""
    from handfirst.runtime.systems.part_refiner.system import PartRefiner  # with it come the engines

    return PartRefiner.of(bundle, engine, threads, resident)


def together(request: RepairRequest, settings: PartRefinerSettings) -> Hashable:
    """Steps, guidance, strength and eta, once defaults are filled in, and the number of parts of each kind.

    Raises:
        RequestError: it does not fit the model.
    """
    resolved = request.resolve(settings)
    return resolved.loop, tuple(sorted(Counter(part.kind for part in resolved.finding(settings).parts).items()))


def hand_limits(settings: PartRefinerSettings) -> None:
    """Whatever its size in the photo, a hand has a square of the model's own; a result says what was too small."""
    return None


def work(request: RepairRequest, settings: PartRefinerSettings) -> dict[str, Any]:
    """What decides how much work a photo is."""
    resolved = request.resolve(settings)
    names = ("strength", "steps", "guidance", "inpaint_steps", "inpaint_guidance")
    decided = {name: getattr(resolved, name) for name in names if getattr(resolved, name) is not None}
    return {"parts": len(resolved.finding(settings).parts), **decided}
