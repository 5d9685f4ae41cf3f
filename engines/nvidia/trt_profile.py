"""For which shapes a TensorRT plan is made: one set of them, or everything that a graph's spec allows.

A plan for one set of shapes runs fastest, so that is the rule. Where a spec leaves the picture's size free within
limits, a plan for every size would take minutes and a copy of the weights each: there one plan serves all of them.
Plain data; knows nothing about the library.
"""

from __future__ import annotations

from collections.abc import Mapping

from handfirst.engines.spec import EngineSpec, TensorSpec

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]
"""Of every input, by name."""

Profile = Mapping[str, tuple[Shape, Shape, Shape]]
"""Of every input the smallest shape, the one to tune for, and the largest."""


def profile_of(spec: EngineSpec, shapes: Shapes) -> Profile:
    """The profile of the plan that runs `shapes`, which fit the spec."""
    if not ranged(spec):
        return {name: (shape, shape, shape) for name, shape in shapes.items()}
    return {t.name: (_shape(t, spec, "least"), _shape(t, spec, "usual"), _shape(t, spec, "most")) for t in spec.inputs}


def ranged(spec: EngineSpec) -> bool:
    """Whether one plan serves all shapes: every free axis has limits, and one beside the batch is truly free."""
    axes = {axis for tensor in spec.inputs for axis in tensor.shape if isinstance(axis, str)}
    maps = {axis for tensor in spec.inputs for axis in tensor.shape[1:] if isinstance(axis, str)}
    return axes <= spec.limits.keys() and any(spec.limits[a].least < spec.limits[a].most for a in maps)


def written(profile: Profile) -> str:
    """sample=2x4x64x64 timestep=2, or sample=1x4x32x32..2x4x64x64..16x4x128x128: equal profiles, equal words."""
    return " ".join(f"{name}={'..'.join(_sizes(shapes))}" for name, shapes in sorted(profile.items()))


def _sizes(shapes: tuple[Shape, ...]) -> list[str]:
    different = shapes if len(set(shapes)) > 1 else shapes[:1]
    return ["x".join(map(str, shape)) or "scalar" for shape in different]


def _shape(tensor: TensorSpec, spec: EngineSpec, which: str) -> Shape:
    return tuple(axis if isinstance(axis, int) else int(getattr(spec.limits[axis], which)) for axis in tensor.shape)
