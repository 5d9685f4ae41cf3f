"""What the system of gestures in words tells whoever serves it: a SystemModule (runtime/system.py)."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.bundle import Bundle
from handfirst.runtime.diffusion.table import Schedule
from handfirst.runtime.system import Resident
from handfirst.runtime.systems.gesture_text.job import JOBS, example
from handfirst.runtime.systems.gesture_text.request import GestureRequest, GestureResult
from handfirst.runtime.systems.gesture_text.roles import check_roles, runs
from handfirst.runtime.systems.gesture_text.settings import GestureTextSettings, read_settings

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

LABELS = {"text_encoder": "text encoder", "unet": "UNet", "vae_decoder": "VAE decode", "fusion": "fusion of gestures"}


def open_bundle(bundle: Bundle, engine: str, threads: int | None, resident: Resident) -> Any:
    """The model of a bundle; see `GestureText.of`."""
    from handfirst.runtime.systems.gesture_text.system import GestureText  # with it come the engines

    return GestureText.of(bundle, engine, threads, resident)


def together(request: GestureRequest, settings: GestureTextSettings) -> Hashable:
    """Steps, guidance and eta, once defaults are filled in; gestures may differ.

    Raises:
        RequestError: it does not fit the model.
    """
    resolved = request.resolve(settings)
    if resolved.steps is not None:
        Schedule(settings.schedule).timesteps(resolved.steps)
    return resolved.loop


def work(request: GestureRequest, settings: GestureTextSettings) -> dict[str, Any]:
    """What decides how much work a picture is."""
    resolved = request.resolve(settings)
    return {"steps": resolved.steps, "guidance": resolved.guidance, "size": settings.size}


def hand_limits(settings: GestureTextSettings) -> None:
    """Nobody says where hands are."""
    return None


def pictures(result: GestureResult) -> list[tuple[str, str, NDArray[Any]]]:
    """The picture alone."""
    return [("result", "result", result.image)]


def sheet(result: GestureResult) -> NDArray[np.uint8]:
    """The picture: there is nothing else to show."""
    return result.image
