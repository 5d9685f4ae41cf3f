"""What shared code asks of the training of gestures in words; see training/system.py."""

from __future__ import annotations

from functools import partial
from importlib.resources import files
from pathlib import Path

from handfirst.runtime.systems.gesture_text.settings import SYSTEM
from handfirst.training.gestures.options import FeatureOptions
from handfirst.training.system import Counting, StageKind, StageMaker
from handfirst.training.systems.gesture_text.options import (
    BaseOptions,
    EmbeddingOptions,
    TextPhaseOptions,
    TuningOptions,
)

CONFIGS = files("handfirst.training.systems.gesture_text") / "configs"


def open_feature(model: Path, options: FeatureOptions) -> Counting:
    """The first stage of a model folder."""
    from handfirst.training.gestures.maker import FeatureMaker  # with it come torch and diffusers
    from handfirst.training.models.folder import save_words
    from handfirst.training.systems.gesture_text.model_folder import GestureTextFolder

    return FeatureMaker(GestureTextFolder(model), options, partial(save_words, SYSTEM))


def open_phase(model: Path, options: TextPhaseOptions) -> StageMaker:
    """One of those that are optimised."""
    from handfirst.training.systems.gesture_text.training import PhaseMaker

    return PhaseMaker(model, options)


STAGES = {
    "base": StageKind(
        "The UNet without any gesture, where it draws no good pictures of prompts alone.",
        BaseOptions,
        open_phase,
        {"demo": CONFIGS / "demo-base.toml"},
    ),
    "feature": StageKind(
        "The mean hand feature of a gesture's pictures; nothing is optimised.", FeatureOptions, open_feature
    ),
    "embedding": StageKind(
        "The fusion of feature and prompt, with the diffusion model frozen.",
        EmbeddingOptions,
        open_phase,
        {name: CONFIGS / f"{name}-embedding.toml" for name in ("paper", "demo")},
    ),
    "tuning": StageKind(
        "The gesture's adapter of the UNet, with the embedding frozen.",
        TuningOptions,
        open_phase,
        {name: CONFIGS / f"{name}-tuning.toml" for name in ("paper", "demo")},
    ),
}
