"""What shared code asks of the two-stage system; see SystemModule."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from handfirst.engines.bundle import Bundle
from handfirst.runtime.system import Resident
from handfirst.runtime.systems.two_stage.hands import SMALL, count_close_ups, count_hands
from handfirst.runtime.systems.two_stage.job import JOBS, example
from handfirst.runtime.systems.two_stage.pictures import pictures, sheet
from handfirst.runtime.systems.two_stage.request import Request
from handfirst.runtime.systems.two_stage.roles import check_roles, runs
from handfirst.runtime.systems.two_stage.settings import TwoStageSettings, read_settings

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
    "hand_unet": "hand UNet",
    "mask_head": "mask head",
    "vae_encoder": "VAE encode",
    "vae_decoder": "VAE decode",
    "preview_decoder": "preview decode",
    "hint_encoder": "hint encoder",
    "controlnet": "ControlNet",
    "body_unet": "body UNet",
    "hint_drawing": "draw skeleton",
    "fusion": "fusion of gestures",
}


def open_bundle(bundle: Bundle, engine: str, threads: int | None, resident: Resident) -> Any:
    """The model of a bundle; see `TwoStage.open`."""
    from handfirst.runtime.systems.two_stage.system import TwoStage  # with it come the engines

    return TwoStage.of(bundle, engine, threads, resident)


def together(request: Request, settings: TwoStageSettings) -> Hashable:
    """What `Request.loop` holds, once defaults are filled in, and the numbers of hands to draw and of close-ups.

    Raises:
        RequestError: it does not fit the model.
    """
    resolved = request.resolve(settings)
    return resolved.loop, count_hands(resolved, settings), count_close_ups(resolved, settings)


def hand_limits(settings: TwoStageSettings) -> dict[str, float]:
    """A hand's square, and the side below which `hand_warnings` speaks of it."""
    return {"margin": settings.hand.margin, "least": settings.hand.min_side, "clear": SMALL}


def work(request: Request, settings: TwoStageSettings) -> dict[str, Any]:
    """What decides how much work a picture is; `steps` are those of the longer stage."""
    resolved = request.resolve(settings)
    steps, hand_steps = (int(count or 0) for count in (resolved.steps, resolved.hand_steps))
    told: dict[str, Any] = {
        "people": len(resolved.pose.people),
        "steps": max(steps, hand_steps),
        "guidance": resolved.guidance,
        "hand_guidance": resolved.hand_guidance,
        "solver": resolved.solver,
        "speed": resolved.speed,
    }
    if close_ups := count_close_ups(resolved, settings):
        told["close_ups"] = close_ups
    if steps != hand_steps:
        told |= {"body_steps": steps, "hand_steps": hand_steps}
    if resolved.hand_solver != resolved.solver:
        told["hand_solver"] = resolved.hand_solver
    return told
