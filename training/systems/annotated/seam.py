"""What shared code asks of annotated hands' training; see training/system.py."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from handfirst.training.system import StageKind, StageMaker
from handfirst.training.systems.annotated.options import DenoiserOptions

CONFIGS = files("handfirst.training.systems.annotated") / "configs"


def open_stage(model: Path, options: DenoiserOptions) -> StageMaker:
    """The stage of a model folder."""
    from handfirst.training.systems.annotated.training import AnnotatedMaker  # with it come torch and diffusers

    return AnnotatedMaker(model, options)


STAGES = {
    "denoiser": StageKind(
        "Picture and annotation together, on shards of pictures with key points.",
        DenoiserOptions,
        open_stage,
        {name: CONFIGS / f"{name}-denoiser.toml" for name in ("paper", "demo")},
    ),
}
