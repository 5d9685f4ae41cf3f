"""From an example to everything that one sample of a batch needs, randomness included: NumPy arrays, no network.

This runs in the workers that feed the GPU. All that is drawn for a sample comes from one generator, so that a sample is
the same in whatever batch, worker or process it is made.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from handfirst.runtime.diffusion.text import token_ids
from handfirst.runtime.pose.skeleton import draw_skeleton
from handfirst.runtime.systems.two_stage.settings import TwoStageSettings
from handfirst.training.data.augment import recolour
from handfirst.training.data.buckets import Size, best
from handfirst.training.data.example import Example, cover, fit
from handfirst.training.loop.samples import Sample
from handfirst.training.systems.two_stage.conditions import (
    hand_condition,
    hand_prompt,
    hands_alone,
    kept_cells,
    to_pose,
)
from handfirst.training.systems.two_stage.options import BodyOptions, EmbeddingOptions, HandOptions


@dataclass(frozen=True)
class HandSamples:
    """Stage 1.

    rgb uint8 [S, S, 3]; mask uint8 [S, S], 1 on the hands; c_p float32 [K', h, w]; eps float32 [C, h, w]; t int64 [];
    ids int64 [L]; plain int64 [L], the prompt's ids whether or not it was dropped.
    """

    settings: TwoStageSettings
    options: HandOptions | EmbeddingOptions
    tokenizer: Tokenizer

    def draw(self, example: Example, rng: np.random.Generator) -> Sample:
        t = int(rng.integers(self.settings.schedule.train_steps))
        with_mask = bool(rng.random() >= self.options.mask_dropout)
        with_text = bool(rng.random() >= self.options.text_dropout)
        fitted = fit(example, self.settings.hand.size)
        rgb = recolour(fitted.rgb, self.options.colours, rng)
        return self._sample(fitted, rgb, rng, t, with_mask, with_text)

    def fix(self, example: Example, rng: np.random.Generator, t: int) -> Sample:
        fitted = fit(example, self.settings.hand.size)
        return self._sample(fitted, fitted.rgb, rng, t, False, True)

    def _sample(
        self, example: Example, rgb: NDArray[np.uint8], rng: np.random.Generator, t: int, mask: bool, text: bool
    ) -> Sample:
        settings, hands = self.settings, example.hands > 0
        prompt = hand_prompt(example.caption, example.keypoints, settings)
        return {
            "rgb": rgb,
            "mask": hands.astype(np.uint8),
            "c_p": hand_condition(example.keypoints, hands if mask else None, settings),
            "eps": noise(rng, settings, settings.hand.size, settings.hand.size),
            "t": np.array(t),
            **prompt_ids(self.tokenizer, prompt, settings, text),
        }


@dataclass(frozen=True)
class BodySamples:
    """Stage 2.

    rgb, canvas, skeleton uint8 [H, W, 3]; hands uint8 [H, W], 1 on the hands; kept bool [1, h, w]; eps float32
    [C, h, w]; t int64 []; ids, plain int64 [L].
    """

    settings: TwoStageSettings
    options: BodyOptions
    tokenizer: Tokenizer
    buckets: tuple[Size, ...] = ()
    """Widths and heights of the canvases; none: the model's own, a square."""

    def fitted(self, example: Example) -> Example:
        """On the canvas that fits it best."""
        if not self.buckets:
            return fit(example, self.settings.body.height)
        height, width = example.hands.shape
        return cover(example, best(self.buckets, width, height)[0])

    def draw(self, example: Example, rng: np.random.Generator) -> Sample:
        t = int(rng.integers(self.settings.schedule.train_steps))
        with_text = bool(rng.random() >= self.options.text_dropout)
        fitted = self.fitted(example)
        return self._sample(fitted, recolour(fitted.rgb, self.options.colours, rng), rng, t, with_text)

    def fix(self, example: Example, rng: np.random.Generator, t: int) -> Sample:
        fitted = self.fitted(example)
        return self._sample(fitted, fitted.rgb, rng, t, True)

    def _sample(self, example: Example, rgb: NDArray[np.uint8], rng: np.random.Generator, t: int, text: bool) -> Sample:
        settings, hands = self.settings, example.hands > 0
        height, width = hands.shape
        expanded = self.options.kept_region == "expanded"
        return {
            "rgb": rgb,
            "canvas": hands_alone(rgb, hands, settings.body),
            "skeleton": draw_skeleton(to_pose(example.keypoints, width, height), width, height),
            "hands": hands.astype(np.uint8),
            "kept": kept_cells(hands, settings, t if expanded else None)[None],
            "eps": noise(rng, settings, height, width),
            "t": np.array(t),
            **prompt_ids(self.tokenizer, example.caption, settings, text),
        }


def noise(rng: np.random.Generator, settings: TwoStageSettings, height: int, width: int) -> NDArray[np.float32]:
    """Standard normal, the shape of the latents of a picture: float32 [C, h, w]."""
    factor = settings.latent.factor
    shape = (settings.latent.channels, height // factor, width // factor)
    return rng.standard_normal(shape, dtype=np.float32)


def prompt_ids(tokenizer: Tokenizer, prompt: str, settings: TwoStageSettings, text: bool) -> Sample:
    """The runtime's token ids: "plain" of the prompt, "ids" of the prompt or, without `text`, of the empty one."""
    plain = token_ids(tokenizer, prompt, settings.text)[0]
    return {"plain": plain, "ids": plain if text else token_ids(tokenizer, "", settings.text)[0]}
