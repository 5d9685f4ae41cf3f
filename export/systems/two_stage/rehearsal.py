"""The last gate: the whole two-stage loop, two steps per stage, once on torch and once on the bundle's own graphs.

It finds what no single graph shows: a wrong order of residuals, a setting that two parts read differently. Knows
nothing about how graphs are made.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from handfirst.engines.bundle import Bundle
from handfirst.engines.engine import Engine
from handfirst.export.rehearsing import agreed, bundle_engines, torch_engines
from handfirst.export.systems.two_stage.parts import Networks, part_makers
from handfirst.runtime.diffusion.gesture import Gesture, read_gestures
from handfirst.runtime.systems.two_stage.job import demo_pose
from handfirst.runtime.systems.two_stage.request import Request, Result
from handfirst.runtime.systems.two_stage.roles import STAGES
from handfirst.runtime.systems.two_stage.settings import TwoStageSettings
from handfirst.runtime.systems.two_stage.system import TwoStage

STEPS = 2

PROMPT = "a person, left hand open palm"


def rehearse(model: Networks, tokenizer: bytes, bundle: Bundle, rounded: bool) -> float:
    """Renders one picture both ways.

    Args:
        tokenizer: the model's tokenizer.json.
        rounded: whether the bundle's graphs hold weights rounded to float16.

    Returns:
        PSNR of the bundle's final latents against torch's in dB, at most gate.EQUAL.

    Raises:
        UserError: they are too far apart; says how far.
    """
    gestures = read_gestures(bundle, model.settings.gestures, model.settings.text)
    expected = _render(model.settings, torch_engines(part_makers(model), bundle, rounded, STAGES), tokenizer, gestures)
    got = _render(model.settings, bundle_engines(bundle, STAGES), tokenizer, gestures)
    note = f" ({np.mean(expected.mask != got.mask):.1%} of the hand mask differs)"
    return agreed(bundle, expected.latents, got.latents, "the two-stage loop", note)


def _render(
    settings: TwoStageSettings, engines: Mapping[str, Engine], tokenizer: bytes, gestures: Mapping[str, Gesture]
) -> Result:
    """One picture, of the first gesture whose fusion has weights that could be wrong."""
    system = TwoStage(settings, engines, tokenizer, gestures=gestures)
    told = next((each.name for each in settings.gestures if each.fusion == "low-rank"), None)
    try:
        return system.render(Request(pose=demo_pose(), prompt=PROMPT, steps=STEPS, hand_steps=STEPS, gesture=told))
    finally:
        system.close()
