"""A gesture in the hands' prompts: the fusion of its mean feature with them, with the whole hand generator frozen.

What gestures in words learn (Hand1000, arXiv 2408.15461, sections 3.1 and 3.2), here for hands whose key points are
known; no network changes, so that a model without the gesture stays what it was. Knows nothing about the loop.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from handfirst.engines.errors import UserError
from handfirst.runtime.diffusion.gesture import gesture_prompt
from handfirst.runtime.diffusion.text import token_ids
from handfirst.runtime.systems.two_stage.settings import HandGesture
from handfirst.training.data.example import Example
from handfirst.training.gestures.feature import sides_of
from handfirst.training.gestures.folder import (
    FEATURE_FILE,
    find_gesture,
    place_of,
    read_feature,
    read_fusion,
    save_fusion,
)
from handfirst.training.gestures.fusion import double_fused
from handfirst.training.loop.samples import Batch, Sample
from handfirst.training.loop.task import Stage
from handfirst.training.models.encoders import Encoders
from handfirst.training.models.folder import next_folder
from handfirst.training.systems.two_stage.hand_generator import HandGenerator
from handfirst.training.systems.two_stage.model_folder import ModelFolder, save_words
from handfirst.training.systems.two_stage.networks import channels_last
from handfirst.training.systems.two_stage.options import EmbeddingOptions
from handfirst.training.systems.two_stage.samples import HandSamples
from handfirst.training.systems.two_stage.stages import HandStage
from handfirst.training.systems.two_stage.tasks import HandTask


class GesturedHand(HandGenerator):
    """A hand generator that is told E' in place of E; only the fusion is trained.

    Args:
        hand: its networks are shared, and frozen.
        fusion: of E and g.
        feature: g, [63].
        share: lambda.
    """

    def __init__(self, hand: HandGenerator, fusion: nn.Module, feature: Tensor, share: float) -> None:
        nn.Module.__init__(self)
        hand.requires_grad_(False)
        self.conv_out, self.unet, self.mask_head = hand.conv_out, hand.unet, hand.mask_head
        self.fusion = fusion.requires_grad_(True)
        self.register_buffer("gesture", feature.float(), persistent=False)
        self.gesture: Tensor
        self.share = share

    def forward(self, sample: Tensor, timestep: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """As HandGenerator, of E [B, L, D]."""
        return super().forward(sample, timestep, self.told(context, self.share))

    def told(self, context: Tensor, share: float) -> Tensor:
        """E' of E, [B, L, D]."""
        return double_fused(context, self.fusion, self.gesture, share)


@dataclass(frozen=True)
class GestureSamples:
    """Stage 1's samples (HandSamples) of hands that make the gesture; every caption ends in its words."""

    hands: HandSamples
    gesture: HandGesture

    def draw(self, example: Example, rng: np.random.Generator) -> Sample:
        return self.hands.draw(self._told(example), rng)

    def fix(self, example: Example, rng: np.random.Generator, t: int) -> Sample:
        return self.hands.fix(self._told(example), rng, t)

    def _told(self, example: Example) -> Example:
        sides_of(example, self.gesture.name)
        return replace(example, caption=gesture_prompt(example.caption, self.gesture.words))


@dataclass(frozen=True, eq=False)
class GestureStage(HandStage):
    """Stage 1 told E'; of `plain`, the same networks, guidance asks what the empty prompt's own embedding gives."""

    plain: HandGenerator
    mu: float

    def drawing(self, samples: Batch) -> tuple[HandGenerator, Tensor]:
        """Told E'' as at run time."""
        model = self.task.model
        assert isinstance(model, GesturedHand)
        return self.plain, model.told(self.encoders.contexts(samples["plain"]).float(), self.mu)


class EmbeddingMaker:
    """The fusion; see StageMaker.

    Raises:
        UserError: the folder is no two-stage model, has no such gesture, or its fusion has nothing to train.
    """

    def __init__(self, model: Path, options: EmbeddingOptions) -> None:
        self._source, self._options = ModelFolder(model), options
        self._gesture = find_gesture(self._source.settings.gestures, options.gesture)
        if self._gesture.fusion == "frozen-random":
            raise UserError(
                f"gesture {options.gesture}: expected a fusion that is trained, got the frozen random one, which is "
                "ready as it is; or begin again with fusion=low-rank"
            )
        if options.share == 1:
            raise UserError("share: expected less than 1, as nothing of the fusion is heard at 1")

    @property
    def samples(self) -> GestureSamples:
        """Hands of the gesture."""
        source = self._source
        return GestureSamples(HandSamples(source.settings, self._options, source.tokenizer), self._gesture)

    def stage(self) -> GestureStage:
        """With the networks of the folder; only the fusion wants gradients."""
        source, options, settings = self._source, self._options, self._source.settings
        hand: HandGenerator = source.network("hand")
        if options.checkpoint_activations:
            hand.unet.enable_gradient_checkpointing()
        feature = torch.from_numpy(read_feature(place_of(source.folder, options.gesture) / FEATURE_FILE))
        fusion = read_fusion(source.folder, self._gesture, settings.text)
        task = channels_last(HandTask(GesturedHand(hand, fusion, feature, options.share), settings, options))
        networks = source.network("autoencoder"), source.network("text_encoder")
        encoders = channels_last(Encoders(*networks, settings.latent))
        empty = torch.from_numpy(token_ids(source.tokenizer, "", settings.text)[0])[None]
        return GestureStage(task, encoders, settings, empty, hand, self._gesture.mu)

    def write(self, stage: Stage, training: dict[str, Any], out: Path) -> None:
        """The folder with the gesture's fusion in its place."""
        assert isinstance(stage, GestureStage)
        source, name, model = self._source, self._options.gesture, stage.task.model
        assert isinstance(model, GesturedHand)
        told = {f"{name} {key}": value for key, value in training.items()}
        with next_folder(out, source.folder) as folder:
            save_fusion(folder, name, model.fusion)
            save_words(source.settings, {**source.training, **told}, folder)
