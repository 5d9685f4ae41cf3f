"""What the system of annotated hands tells whoever serves it: a SystemModule (runtime/system.py)."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from handfirst.engines.bundle import Bundle
from handfirst.runtime.diffusion.table import Schedule
from handfirst.runtime.system import Resident
from handfirst.runtime.systems.annotated.job import JOBS, example
from handfirst.runtime.systems.annotated.pictures import pictures, sheet
from handfirst.runtime.systems.annotated.request import SampleRequest
from handfirst.runtime.systems.annotated.roles import check_roles, runs
from handfirst.runtime.systems.annotated.settings import AnnotatedSettings, read_settings

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
    "denoiser": "UNet",
    "vae_decoder": "VAE decode",
    "recovery": "points of the annotation",
}


def open_bundle(bundle: Bundle, engine: str, threads: int | None, resident: Resident) -> Any:
    """The model of a bundle; see `AnnotatedHands.of`."""
    from handfirst.runtime.systems.annotated.system import AnnotatedHands  # with it come the engines

    return AnnotatedHands.of(bundle, engine, threads, resident)


def together(request: SampleRequest, settings: AnnotatedSettings) -> Hashable:
    """Steps, guidance, eta and candidates, once defaults are filled in.

    Raises:
        RequestError: it does not fit the model.
    """
    resolved = request.resolve(settings)
    if resolved.steps is not None:
        Schedule(settings.schedule).timesteps(resolved.steps)
    return resolved.loop


def work(request: SampleRequest, settings: AnnotatedSettings) -> dict[str, Any]:
    """What decides how much work a picture is."""
    resolved = request.resolve(settings)
    return {"steps": resolved.steps, "guidance": resolved.guidance, "best_of": resolved.best_of, "size": settings.size}


def hand_limits(settings: AnnotatedSettings) -> None:
    """Nobody says where hands are."""
    return None
