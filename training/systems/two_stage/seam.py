"""What shared code asks of the two-stage system's training; see training/system.py."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from handfirst.training.gestures.options import FeatureOptions
from handfirst.training.system import Counting, StageKind, StageMaker
from handfirst.training.systems.two_stage.options import BodyOptions, EmbeddingOptions, FineTuneOptions, HandOptions

CONFIGS = files("handfirst.training.systems.two_stage") / "configs"


def open_stage(model: Path, options: FineTuneOptions) -> StageMaker:
    """One stage of a model folder; the options' own kind says which."""
    from handfirst.training.systems.two_stage.networks import TwoStageMaker  # with it come torch and diffusers

    return TwoStageMaker(model, options)


def open_feature(model: Path, options: FeatureOptions) -> Counting:
    """A gesture's mean feature for a model folder."""
    from handfirst.training.gestures.maker import FeatureMaker
    from handfirst.training.systems.two_stage.model_folder import ModelFolder, save_words

    return FeatureMaker(ModelFolder(model), options, save_words)


def open_embedding(model: Path, options: EmbeddingOptions) -> StageMaker:
    """A gesture's fusion for a model folder."""
    from handfirst.training.systems.two_stage.gestures import EmbeddingMaker

    return EmbeddingMaker(model, options)


STAGES = {
    "hand": StageKind(
        "Stage 1, the hand generator, on shards of hand crops.",
        HandOptions,
        open_stage,
        {"paper": CONFIGS / "paper-hand.toml"},
    ),
    "body": StageKind(
        "Stage 2, the ControlNet on its frozen base, on shards of whole pictures.",
        BodyOptions,
        open_stage,
        {"paper": CONFIGS / "paper-body.toml"},
    ),
    "feature": StageKind(
        "The mean hand feature of a gesture's hand crops, for --gesture; nothing is optimised.",
        FeatureOptions,
        open_feature,
    ),
    "embedding": StageKind(
        "The fusion of feature and the hands' prompts, with the hand generator frozen.",
        EmbeddingOptions,
        open_embedding,
    ),
}
