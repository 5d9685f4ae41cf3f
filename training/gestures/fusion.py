"""The fusion of a gesture into a prompt's embedding, in torch (Hand1000, sections 3.2 and 3.3).

What the runtime computes in NumPy (runtime/diffusion/gesture.py), with gradients. Knows nothing about files.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from handfirst.runtime.diffusion.gesture import FrozenRandom
from handfirst.runtime.diffusion.settings import FEATURE, GestureSettings


class LowRankFusion(nn.Module):
    """F = E + U V [vec(E); g]; U begins at zero, so that F begins as E.

    Args:
        embedding: n, numbers of vec(E).
        rank: r.
    """

    def __init__(self, embedding: int, rank: int) -> None:
        super().__init__()
        self.V = nn.Parameter(torch.randn(rank, embedding + FEATURE) / embedding**0.5)
        self.U = nn.Parameter(torch.zeros(embedding, rank))

    def forward(self, context: Tensor, feature: Tensor) -> Tensor:
        """E [B, L, D], g [63] -> F [B, L, D], in float32 whatever surrounds it computes in."""
        with torch.autocast(context.device.type, enabled=False):
            E = context.float().flatten(1)
            x = torch.cat([E, feature.float().expand(len(E), -1)], 1)
            return (E + x @ self.V.T @ self.U.T).view(context.shape)


class FrozenFusion(nn.Module):
    """The published random map, by the runtime's own arithmetic: it has no weights here either. Slow, so that what
    was mapped once is kept."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._fuse = FrozenRandom(seed)
        self._known: dict[bytes, Tensor] = {}

    def forward(self, context: Tensor, feature: Tensor) -> Tensor:
        """As LowRankFusion; no gradient passes."""
        g = feature.detach().float().cpu().numpy()
        return torch.stack([self._one(each, g) for each in context.detach().float().cpu()]).to(context.device)

    def _one(self, E: Tensor, g: object) -> Tensor:
        array = E.numpy()
        key = array.tobytes()
        if key not in self._known:
            self._known[key] = torch.from_numpy(self._fuse(array.reshape(-1), g)).view(E.shape)  # type: ignore[arg-type]
        return self._known[key]


def fresh_fusion(embedding: int, gesture: GestureSettings) -> nn.Module:
    """Of its kind, before any training."""
    if gesture.fusion == "frozen-random":
        return FrozenFusion(gesture.seed)
    return LowRankFusion(embedding, gesture.rank)


def double_fused(context: Tensor, fusion: nn.Module, feature: Tensor, share: float) -> Tensor:
    """E' = share E + (1 - share) F, [B, L, D] of E [B, L, D] and g [63]; E itself where its share is 1."""
    if share == 1:
        return context
    doubled: Tensor = share * context + (1 - share) * fusion(context, feature)
    return doubled
