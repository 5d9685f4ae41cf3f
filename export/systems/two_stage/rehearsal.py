"""The last gate: the whole two-stage loop, two steps per stage, once on torch and once on the bundle's own graphs.

It finds what no single graph shows: a wrong order of residuals, a setting that two parts read differently. One network
is in memory at a time, so ControlNet and UNet take turns: slower, but a full-size pair would not fit beside its own
files. Knows nothing about how graphs are made.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import numpy as np

from handfirst.engines.bundle import Bundle
from handfirst.engines.engine import Array, Engine, wanted_outputs
from handfirst.engines.errors import UserError
from handfirst.engines.graph import Precision
from handfirst.engines.spec import EngineSpec
from handfirst.engines.verify import psnr
from handfirst.export.examples import reference
from handfirst.export.gate import ENGINE, EQUAL
from handfirst.export.part import Part, PartMaker
from handfirst.export.systems.two_stage.parts import Networks, part_makers
from handfirst.export.weights import round_weights
from handfirst.runtime.residency import lazy_engines
from handfirst.runtime.systems.two_stage.job import demo_pose
from handfirst.runtime.systems.two_stage.request import Request, Result
from handfirst.runtime.systems.two_stage.settings import TwoStageSettings
from handfirst.runtime.systems.two_stage.system import TwoStage

STEPS = 2

TOLERANCE: dict[Precision, float] = {"float32": 50.0, "float16": 30.0, "bfloat16": 20.0}
"""Worst PSNR in dB of the final latents, by a bundle's coarsest precision; lower than a single graph's, as errors add
up and masks have edges."""

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
    specs = {role: entry.spec for role, entry in bundle.manifest.engines.items()}
    expected = _render(model.settings, _torch_engines(part_makers(model), specs, rounded), tokenizer)
    precision = max((entry.precision for entry in bundle.manifest.engines.values()), key=list(TOLERANCE).index)
    got = _render(model.settings, _bundle_engines(bundle, specs, ENGINE[precision]), tokenizer)
    figure = min(EQUAL, psnr(expected.latents, got.latents))
    if not figure >= TOLERANCE[precision]:
        changed = np.mean(expected.mask != got.mask)
        raise UserError(
            f"all graphs together: the two-stage loop is {figure:.1f} dB from torch, at least "
            f"{TOLERANCE[precision]:.0f} are needed in {precision} ({changed:.1%} of the hand mask differs); "
            "nothing was written, try another precision or other versions of torch and onnxscript"
        )
    return figure


class TorchEngine:
    """A part as an engine: torch itself."""

    def __init__(self, part: Part) -> None:
        self.name = part.role
        self.spec = part.spec
        self._part: Part | None = part

    def run(self, inputs: Mapping[str, Array], wanted: Collection[str] | None = None) -> dict[str, Array]:
        """One evaluation in float32; see the Engine protocol."""
        if self._part is None:
            raise ValueError(f"{self.name} is closed")
        outputs = reference(self._part, inputs)
        return {tensor.name: outputs[tensor.name] for tensor in wanted_outputs(self.spec, wanted, self.name)}

    def close(self) -> None:
        """Frees the module."""
        self._part = None


def _render(settings: TwoStageSettings, engines: Mapping[str, Engine], tokenizer: bytes) -> Result:
    system = TwoStage(settings, engines, tokenizer)
    try:
        return system.render(Request(pose=demo_pose(), prompt=PROMPT, steps=STEPS))
    finally:
        system.close()


def _torch_engines(
    makers: Mapping[str, PartMaker], specs: Mapping[str, EngineSpec], rounded: bool
) -> Mapping[str, Engine]:
    def opens(role: str) -> Engine:
        part = makers[role]()
        if rounded:
            round_weights(part.module)
        return TorchEngine(part)

    return _one_by_one(specs, opens)


def _bundle_engines(bundle: Bundle, specs: Mapping[str, EngineSpec], engine: str) -> Mapping[str, Engine]:
    return _one_by_one(specs, lambda role: bundle.engine(role, engine))


def _one_by_one(specs: Mapping[str, EngineSpec], opens: Callable[[str], Engine]) -> Mapping[str, Engine]:
    """One open at a time."""
    return lazy_engines(specs, [(role,) for role in specs], lambda roles: {role: opens(role) for role in roles})
