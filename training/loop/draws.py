"""Random numbers of one training step, made where they are used: nothing crosses from the host to a GPU.

Step n of a phase draws from a generator of its own, so a resumed run repeats the steps that were lost. The numbers
depend on the kind of device (a GPU's generator is another), never on what was drawn before.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


class Draws:
    """A stream of random tensors on one device.

    Args:
        device: where the tensors are made.
        key: whole numbers that name the stream: a seed, a phase, a step.
    """

    def __init__(self, device: torch.device, *key: int) -> None:
        self.device = device
        self.generator = torch.Generator(device)
        self.generator.manual_seed(int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> np.uint64(1)))

    def integers(self, below: int, count: int) -> Tensor:
        """Uniform in 0 .. below - 1: int64 [count]."""
        return torch.randint(below, (count,), generator=self.generator, device=self.device)

    def chance(self, probability: float, count: int) -> Tensor:
        """True with `probability`: bool [count]."""
        return torch.rand(count, generator=self.generator, device=self.device) < probability

    def normal(self, *shape: int) -> Tensor:
        """Standard normal, float32."""
        return torch.randn(shape, generator=self.generator, device=self.device)

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Uniform in low .. high, float32."""
        return low + (high - low) * torch.rand(shape, generator=self.generator, device=self.device)
