"""The last gate: the whole two-stage loop, two steps per stage, once on torch and once on the bundle's own graphs.

It finds what no single graph shows: a wrong order of residuals, a setting that two parts read differently. Either is
in the first step of the first hand already, and a full-size network takes seconds a step and ten to decode a hand, so
that is all that is drawn with a graph that counts as heavy where it runs. Knows nothing about how graphs are made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from handfirst.engines.bundle import Bundle
from handfirst.engines.engine import Engine
from handfirst.engines.opening import HEAVY
from handfirst.export.rehearsing import agreed, bundle_engines, torch_engines
from handfirst.export.systems.two_stage.parts import Networks, part_makers
from handfirst.runtime.diffusion.gesture import read_gestures
from handfirst.runtime.pose.person import Person, Pose
from handfirst.runtime.pose.topology import HANDS
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
    request = _request(model.settings, max(map(bundle.size, bundle.manifest.engines)) > HEAVY)

    def rendered(engines: Mapping[str, Engine]) -> Result:
        system = TwoStage(model.settings, engines, tokenizer, gestures=gestures)
        try:
            return system.render(request)
        finally:
            system.close()

    expected = rendered(torch_engines(part_makers(model), bundle, rounded, STAGES))
    got = rendered(bundle_engines(bundle, STAGES))
    note = f" ({np.mean(expected.mask != got.mask):.1%} of the hand mask differs)"
    return agreed(bundle, expected.latents, got.latents, "the two-stage loop", note)


def _request(settings: TwoStageSettings, heavy: bool) -> Request:
    """One picture, of the first gesture whose fusion has weights that could be wrong."""
    told = next((each.name for each in settings.gestures if each.fusion == "low-rank"), None)
    asked: dict[str, Any] = {"prompt": PROMPT, "gesture": told}
    if not heavy:
        return Request(demo_pose(), steps=STEPS, hand_steps=STEPS, **asked)
    # DDIM's only step of one is the cleanest, where the networks' answer hardly counts; this one's is the noisiest
    one: dict[str, Any] = {"steps": 1, "solver": "ddim-trailing", "hand_steps": 1, "hand_solver": "ddim-trailing"}
    return Request(_one_handed(demo_pose()), **one, **asked)


def _one_handed(pose: Pose) -> Pose:
    """The same people without their right hands."""

    def without(person: Person) -> Person:
        rows = person.table
        rows[HANDS["right"]] = 0
        return Person.of(rows)

    return replace(pose, people=tuple(map(without, pose.people)))
