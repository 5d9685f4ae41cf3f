"""Pictures as the two branches index them while they train: latents, and the texts that go with them.

Knows nothing about what else a branch is told; hands.py and bodies.py add it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from handfirst.runtime.diffusion.settings import LatentSettings
from handfirst.training.loop.feed import Draws
from handfirst.training.loop.journal import to_uint8
from handfirst.training.models.autoencoder import Autoencoder
from handfirst.training.models.encoders import denormalise


@dataclass(frozen=True)
class Pool:
    """N pictures with V texts each: latents float16 [N, C, h, w] (standardised), contexts float16 [V, N, L, D], the
    empty prompt's context float16 [L, D]."""

    latents: Tensor
    contexts: Tensor
    empty: Tensor

    def to(self, device: torch.device) -> Self:
        """The same on a device; a CPU's stays mapped from disk."""
        return type(self)(*(getattr(self, field.name).to(device) for field in fields(self)))

    def texts(self, i: Tensor, draws: Draws, dropout: float) -> Tensor:
        """One text of each of the pictures i, int64 [B], or with chance `dropout` the empty one: float32 [B, L, D]."""
        variant = draws.integers(len(self.contexts), len(i))
        dropped = draws.chance(dropout, len(i))[:, None, None]
        return torch.where(dropped, self.empty.float(), self.contexts[variant, i].float())


def to_pictures(autoencoder: Autoencoder, latents: Tensor, settings: LatentSettings) -> NDArray[np.uint8]:
    """Standardised latents [N, C, h, w], on the autoencoder's device -> uint8 [N, H, W, 3]."""
    return to_uint8(autoencoder.decode(denormalise(latents, settings)))
