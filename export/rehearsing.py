"""A whole loop twice, on torch and on a bundle's own graphs: the engines for either, and how far apart they may be.

One network is in memory at a time, or those that a step needs together: a full-size pair would not fit beside its own
files, but to open a ControlNet and its UNet anew in every step takes longer than the steps. Knows no system.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from handfirst.engines.bundle import Bundle
from handfirst.engines.engine import Array, Engine, wanted_outputs
from handfirst.engines.errors import UserError
from handfirst.engines.graph import Precision
from handfirst.engines.verify import psnr
from handfirst.export.examples import reference
from handfirst.export.gate import ENGINE, EQUAL
from handfirst.export.part import Part, PartMaker
from handfirst.export.weights import round_weights
from handfirst.runtime.residency import lazy_engines

TOLERANCE: dict[Precision, float] = {"float32": 50.0, "float16": 30.0, "bfloat16": 20.0}
"""Worst PSNR in dB of the final latents, by a bundle's coarsest precision; lower than a single graph's, as errors add
up and masks have edges."""


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


Together = Sequence[Sequence[str]]
"""Roles that a step needs together; every other role is open by itself."""


def torch_engines(
    makers: Mapping[str, PartMaker], bundle: Bundle, rounded: bool, together: Together = ()
) -> Mapping[str, Engine]:
    """A model's parts, with the specs that a bundle of it has.

    Args:
        rounded: whether the bundle's graphs hold weights rounded to float16.
        together: which are open at the same time.
    """

    def opens(role: str) -> Engine:
        part = makers[role]()
        if rounded:
            round_weights(part.module)
        return TorchEngine(part)

    return _in_turns(bundle, together, opens)


def bundle_engines(bundle: Bundle, together: Together = ()) -> Mapping[str, Engine]:
    """A bundle's own, on what runs its precision here."""
    engine = ENGINE[coarsest(bundle)]
    return _in_turns(bundle, together, lambda role: bundle.engine(role, engine))


def coarsest(bundle: Bundle) -> Precision:
    """Of its graphs' precisions."""
    return max((entry.precision for entry in bundle.manifest.engines.values()), key=list(TOLERANCE).index)


def agreed(bundle: Bundle, expected: Array, got: Array, what: str, note: str = "") -> float:
    """PSNR in dB of a bundle's result against torch's, at most gate.EQUAL.

    Args:
        what: the loop that was run twice, for the message; `note` stands behind it.

    Raises:
        UserError: they are too far apart; says how far.
    """
    precision = coarsest(bundle)
    figure, needed = min(EQUAL, psnr(expected, got)), TOLERANCE[precision]
    if not figure >= needed:
        raise UserError(
            f"all graphs together: {what} is {figure:.1f} dB from torch, at least {needed:.0f} are needed in "
            f"{precision}{note}; nothing was written, try another precision or other versions of torch and onnxscript"
        )
    return figure


def _in_turns(bundle: Bundle, together: Together, opens: Callable[[str], Engine]) -> Mapping[str, Engine]:
    """One open at a time, or one group; of a group the largest first, as opening takes memory of its own."""
    specs = {role: entry.spec for role, entry in bundle.manifest.engines.items()}
    alone = [(role,) for role in specs if not any(role in group for group in together)]

    def opened(roles: Sequence[str]) -> dict[str, Engine]:
        return {role: opens(role) for role in sorted(roles, key=bundle.size, reverse=True)}

    return lazy_engines(specs, [*together, *alone], opened)
