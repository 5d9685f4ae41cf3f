"""What shared code asks of the part refiner's training; see training/system.py."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from handfirst.training.system import StageKind, StageMaker
from handfirst.training.systems.part_refiner.options import InpaintOptions, RefineOptions, RefinerOptions

CONFIGS = files("handfirst.training.systems.part_refiner") / "configs"


def open_stage(model: Path, options: RefinerOptions) -> StageMaker:
    """One stage of a model folder; the options' own kind says which."""
    from handfirst.training.systems.part_refiner.training import PartRefinerMaker  # with it come torch and diffusers

    return PartRefinerMaker(model, options)


STAGES = {
    "refine": StageKind(
        "Stage 1, a part drawn again by its reference, on shards of pairs.",
        RefineOptions,
        open_stage,
        {name: CONFIGS / f"{name}-refine.toml" for name in ("paper", "demo")},
    ),
    "inpaint": StageKind(
        "Stage 2, the ring around the part, on shards of crops.",
        InpaintOptions,
        open_stage,
        {name: CONFIGS / f"{name}-inpaint.toml" for name in ("paper", "demo")},
    ),
}
