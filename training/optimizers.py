"""The optimizer of a phase: AdamW, or Muon for the matrices of hidden layers beside AdamW for all else.

Muon makes every singular value of a matrix's update alike, so that no direction of a layer learns last. Measured on the
demo's autoencoder: after 200 steps as far as AdamW after more than 400, at 1.1 times its time a step. torch's Muon
takes matrices only: a convolution [out, in, kh, kw] is one of out rows, and its matrix shares the weights' memory.
Source: K. Jordan, Muon (2024); torch.optim.Muon.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from handfirst.training.config import PhaseOptions

LEAST = 8  # input and output channels of a hidden layer; less is a border, of colours or the like


class PhaseOptimizer:
    """Steps all trainable parameters of a module; `factor` scales every learning rate.

    Args:
        module: on its device and in its memory format, which must not change afterwards.
        options: `lr` is AdamW's, `matrix_lr` Muon's; without the latter AdamW takes all.
    """

    def __init__(self, module: nn.Module, options: PhaseOptions) -> None:
        matrices = {id(w): w for w in hidden_weights(module)} if options.matrix_lr is not None else {}
        self.parameters = [p for p in module.parameters() if p.requires_grad]
        rest = [p for p in self.parameters if id(p) not in matrices]
        self._lr = {"adamw": options.lr, "muon": options.matrix_lr or 0.0}
        self._pairs = [(weight, nn.Parameter(as_matrix(weight.detach()))) for weight in matrices.values()]
        self._parts: dict[str, torch.optim.Optimizer] = {
            "adamw": torch.optim.AdamW(rest, lr=options.lr, weight_decay=options.weight_decay, fused=True)
        }
        if self._pairs:
            self._parts["muon"] = torch.optim.Muon(
                [matrix for _, matrix in self._pairs], lr=self._lr["muon"], weight_decay=options.weight_decay
            )

    def step(self, factor: float) -> None:
        """One step from the gradients, which it then forgets."""
        for weight, matrix in self._pairs:
            matrix.grad = None if weight.grad is None else as_matrix(weight.grad)
        for name, part in self._parts.items():
            for group in part.param_groups:
                group["lr"] = factor * self._lr[name]
            part.step()
        for parameter in self.parameters:
            parameter.grad = None

    def state_dict(self) -> dict[str, Any]:
        """The state of both, for a checkpoint."""
        return {name: part.state_dict() for name, part in self._parts.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse."""
        for name, part in self._parts.items():
            part.load_state_dict(state[name])


def hidden_weights(module: nn.Module) -> Iterator[Tensor]:
    """The trainable weights of linear and convolutional layers with LEAST channels or more on either side."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            weight = layer.weight
            if weight.requires_grad and weight.is_leaf and min(weight.shape[:2]) >= LEAST:
                yield weight


def as_matrix(weight: Tensor) -> Tensor:
    """[out, ...] -> [out, n], a view where the memory allows it, channels first or last."""
    last = weight.ndim == 4 and weight.is_contiguous(memory_format=torch.channels_last)
    return (weight.permute(0, 2, 3, 1) if last else weight).flatten(1)
