"""From an example to everything that one sample of a batch needs, randomness included: NumPy arrays, no network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from handfirst.runtime.diffusion.text import token_ids
from handfirst.runtime.systems.annotated.settings import AnnotatedSettings
from handfirst.training.data.augment import recolour
from handfirst.training.data.example import Example, fit
from handfirst.training.loop.samples import Sample
from handfirst.training.systems.annotated.drawing import draw
from handfirst.training.systems.annotated.options import DenoiserOptions


@dataclass(frozen=True)
class DenoiserSamples:
    """Any pictures whose hands' key points are known.

    rgb uint8 [S, S, 3]; annotation uint8 [S, S, 3], unless the model draws none; label float32 [K], where it knows
    classes; ids int64 [L], where it reads text; eps float32 [C, h, w]; t int64 [].
    """

    settings: AnnotatedSettings
    options: DenoiserOptions
    tokenizer: Tokenizer | None = None

    def draw(self, example: Example, rng: np.random.Generator) -> Sample:
        t = int(rng.integers(self.settings.schedule.train_steps))
        told = bool(rng.random() >= self.options.told_dropout)
        fitted = fit(example, self.settings.size)
        return self._sample(fitted, recolour(fitted.rgb, self.options.colours, rng), rng, t, told)

    def fix(self, example: Example, rng: np.random.Generator, t: int) -> Sample:
        fitted = fit(example, self.settings.size)
        return self._sample(fitted, fitted.rgb, rng, t, True)

    def _sample(self, example: Example, rgb: NDArray[np.uint8], rng: np.random.Generator, t: int, told: bool) -> Sample:
        settings = self.settings
        shape = (settings.channels, settings.cells, settings.cells)
        sample: Sample = {"rgb": rgb, "eps": rng.standard_normal(shape, dtype=np.float32), "t": np.array(t)}
        if settings.annotation != "none":
            sample["annotation"] = draw(example, settings.annotation)
        if settings.classes:
            label = example.attributes.get(self.options.label_from) if told else None
            sample["label"] = np.array([name == label for name in settings.classes], np.float32)
        if settings.text is not None and self.tokenizer is not None:
            sample["ids"] = token_ids(self.tokenizer, example.caption if told else "", settings.text)[0]
        return sample
