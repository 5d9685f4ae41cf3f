"""How few-step weights are run: the defaults of a model into which such a LoRA was merged.

LCM (Luo et al., arXiv 2311.05556): its own step, guidance 1 to 2. Hyper-SD (Ren et al., arXiv 2404.13686): DDIM over
trailing times, guidance off, as many steps as the file was distilled for. Requests may still ask for anything else.
"""

from __future__ import annotations

from typing import Any

from handfirst.export.options import LoraStage, Preset, PresetName
from handfirst.runtime.systems.two_stage.settings import Defaults

_RUN: dict[PresetName, dict[str, Any]] = {
    "lcm": {"solver": "lcm", "guidance": 1.5},
    "hyper-sd": {"solver": "ddim-trailing", "guidance": 1.0},
}


def few_steps(trained: Defaults, preset: Preset, stage: LoraStage) -> Defaults:
    """The defaults with a preset for both stages, or for the body alone: then the hands keep what they had."""
    run = _RUN[preset.name] | {"steps": preset.steps}
    if stage == "both":
        hands = {"hand_guidance": run["guidance"], "hand_steps": None, "hand_solver": None}
    else:
        hands = {
            "hand_steps": trained.hand_steps or trained.steps,
            "hand_solver": trained.hand_solver or trained.solver,
        }
    return trained.model_copy(update=run | hands)
