"""What stage 1 leaves for stage 2: canvases with hands on them, and all else that painting the bodies takes.

Holds arrays and numbers only, nothing of an engine, so that it may wait, or go from one thread to another.
"""

from __future__ import annotations

from dataclasses import dataclass

from handfirst.runtime.canvas import Canvas
from handfirst.runtime.clock import Clock
from handfirst.runtime.diffusion.sampler import Guided
from handfirst.runtime.diffusion.table import StepTable
from handfirst.runtime.request import HandResult, Request


@dataclass(frozen=True, eq=False)
class Drawn:
    """The hands of some pictures, which are painted together. Sequences have one item per picture."""

    requests: tuple[Request, ...]
    """Resolved, with equal `Request.loop`."""
    hands: tuple[tuple[HandResult, ...], ...]
    """As they were made, in the order in which they were placed."""
    canvases: tuple[Canvas, ...]
    """The hands in place."""
    contexts: Guided
    """Of the bodies' prompts."""
    table: StepTable
    """Of stage 2."""
    warnings: tuple[tuple[str, ...], ...]
    """What the callers should know."""
    clock: Clock
    """It runs on in stage 2."""
