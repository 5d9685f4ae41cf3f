"""From an example to everything that one sample of a batch needs, randomness included: NumPy arrays, no network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from handfirst.runtime.diffusion.gesture import gesture_prompt
from handfirst.runtime.diffusion.text import token_ids
from handfirst.runtime.systems.gesture_text.settings import GestureTextSettings
from handfirst.training.data.example import Example, fit
from handfirst.training.gestures.feature import sides_of
from handfirst.training.loop.samples import Sample
from handfirst.training.systems.gesture_text.options import TextPhaseOptions


@dataclass(frozen=True)
class GestureSamples:
    """Pictures that show one gesture, with captions; or any, of a stage without one.

    rgb uint8 [S, S, 3]; ids int64 [L], of the caption that ends in the gesture's words; gestured bool [], false where
    the empty prompt takes its place; eps float32 [C, h, w]; t int64 [].
    """

    settings: GestureTextSettings
    options: TextPhaseOptions
    tokenizer: Tokenizer

    def draw(self, example: Example, rng: np.random.Generator) -> Sample:
        return self._sample(example, *self.drawn(rng), rng)

    def fix(self, example: Example, rng: np.random.Generator, t: int) -> Sample:
        return self._sample(example, t, True, rng)

    def drawn(self, rng: np.random.Generator) -> tuple[int, bool]:
        """t, and whether the words are told."""
        t = int(rng.integers(self.settings.schedule.train_steps))
        return t, bool(rng.random() >= self.options.text_dropout)

    def told(self, caption: str, t: int, gestured: bool, rng: np.random.Generator) -> Sample:
        """All of a sample but its picture."""
        settings, gesture = self.settings, self.options.gesture
        prompt = gesture_prompt(caption, settings.gesture(gesture).words) if gesture else caption
        shape = (settings.latent.channels, settings.cells, settings.cells)
        return {
            "ids": token_ids(self.tokenizer, prompt if gestured else "", settings.text)[0],
            "gestured": np.array(gestured),
            "eps": rng.standard_normal(shape, dtype=np.float32),
            "t": np.array(t),
        }

    def check(self, example: Example) -> None:
        """Raises a UserError where it does not show the gesture."""
        if self.options.gesture:
            sides_of(example, self.options.gesture)

    def _sample(self, example: Example, t: int, gestured: bool, rng: np.random.Generator) -> Sample:
        self.check(example)
        return {"rgb": fit(example, self.settings.size).rgb, **self.told(example.caption, t, gestured, rng)}
