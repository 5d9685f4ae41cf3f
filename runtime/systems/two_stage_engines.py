"""The engines of a two-stage model out of its bundle: all open at once, or those of one stage at a time."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Literal, get_args

from handfirst.engines.bundle import Bundle
from handfirst.engines.engine import Engine
from handfirst.engines.errors import EngineError
from handfirst.engines.opening import open_engines
from handfirst.runtime.lazy import lazy_engines
from handfirst.runtime.systems.two_stage_roles import ROLES

Resident = Literal["all", "stage"]
"""Whose networks are in memory: all of them, from the beginning to the end; or those of the stage that is under way,
opened again for every picture, or for all that are painted together."""

STAGES = (("hand_unet", "mask_head"), ("hint_encoder", "controlnet", "body_unet"))
"""The roles of stage 1 alone and of stage 2 alone; the others serve both."""


def open_stages(bundle: Bundle, engine: str, threads: int | None, resident: Resident) -> Mapping[str, Engine]:
    """An engine per role of `ROLES`.

    Args:
        bundle: its roles are known to be complete.
        engine: one of choice.ENGINES.
        threads: for one operator; None: one per usable core.

    Raises:
        BundleError, EngineError: as `open_engines`. With "stage" the text encoder is opened alone, as the first that is
            needed: it shows that the engine runs here; what is wrong with the others is said when their stage begins.
    """
    if resident not in get_args(Resident):
        raise EngineError(f"resident must be one of {', '.join(get_args(Resident))}, got {resident!r}")
    opens = partial(open_engines, bundle, engine=engine, threads=threads)
    if resident == "all":
        return opens(ROLES)
    engines = lazy_engines({role: bundle.manifest.engines[role].spec for role in ROLES}, STAGES, opens)
    engines["text_encoder"].open()
    return engines
