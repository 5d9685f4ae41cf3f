"""torch's Muon in float32, for machines that have no bfloat16.

torch orthogonalises every update in bfloat16, which a CPU without instructions for it emulates: measured there (AVX-512
without BF16), a matrix of 128 x 1152 took 15.5 ms instead of 5.1, and a step of the demo's hand generator 2.2 s instead
of 1.14. Where the machine has bfloat16, torch's own class is used (optimizer.py). Knows nothing about which weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class Float32Muon(torch.optim.Muon):
    """The same arguments, state and groups as torch's; Nesterov's momentum and Jordan's scale of the update, too."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One step from the gradients, [m, n] each; takes no closure."""
        for group in self.param_groups:
            lr, mu = float(group["lr"]), group["momentum"]
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                if "momentum_buffer" not in self.state[weight]:
                    self.state[weight]["momentum_buffer"] = torch.zeros_like(weight.grad)
                momentum = self.state[weight]["momentum_buffer"]
                momentum.lerp_(weight.grad, 1 - mu)
                update = orthogonal(
                    weight.grad.lerp(momentum, mu), group["ns_coefficients"], group["ns_steps"], group["eps"]
                )
                weight.mul_(1 - lr * group["weight_decay"])
                weight.add_(update, alpha=-lr * math.sqrt(max(1.0, len(weight) / weight.shape[1])))


def orthogonal(matrix: Tensor, coefficients: tuple[float, float, float], steps: int, least: float) -> Tensor:
    """About U V^T of the matrix U S V^T [m, n], float32: every singular value to the power of about 0.

    Newton and Schulz's iteration X <- a X + (b X X^T + c (X X^T)^2) X with K. Jordan's a, b, c, begun at the matrix
    over its norm (at least `least`), whose largest singular value is at most 1.
    """
    a, b, c = coefficients
    wide = len(matrix) <= matrix.shape[1]
    x = matrix.float() if wide else matrix.float().T
    x = x / x.norm().clamp(min=least)
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x if wide else x.T
