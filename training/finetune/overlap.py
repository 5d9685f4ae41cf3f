"""Intersection over union of masks."""

from __future__ import annotations

from torch import Tensor


def overlap(a: Tensor, b: Tensor) -> Tensor:
    """bool [B, H, W] each -> float [B] in [0, 1]; two empty masks agree, 1."""
    both, either = (a & b).flatten(1).sum(1), (a | b).flatten(1).sum(1)
    return (both.float() / either.clamp_min(1)).where(either > 0, either.new_ones(()).float())
