"""The two losses of the paper, for every prediction type, and the noising that precedes them.

Knows nothing about networks or data. Source: sections III-B and III-C; the weight under x_0 prediction is ours, that of
min-SNR is Hang et al.'s (arXiv 2303.09556).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from handfirst.runtime.diffusion.settings import ScheduleSettings
from handfirst.runtime.diffusion.table import Schedule


def add_noise(x_0: Tensor, eps: Tensor, alpha_bar: Tensor) -> Tensor:
    """q(x_t | x_0): x_0, eps [B, C, h, w], alpha_bar [B] -> x_t [B, C, h, w]."""
    a = alpha_bar[:, None, None, None]
    return a.sqrt() * x_0 + (1 - a).sqrt() * eps


def target(x_0: Tensor, eps: Tensor, alpha_bar: Tensor, prediction: str) -> Tensor:
    """What the network should predict: eps, v = sqrt(a) eps - sqrt(1 - a) x_0, or x_0."""
    if prediction == "epsilon":
        return eps
    if prediction == "sample":
        return x_0
    a = alpha_bar[:, None, None, None]
    return a.sqrt() * eps - (1 - a).sqrt() * x_0


def weight(alpha_bar: Tensor, schedule: ScheduleSettings, snr_cap: float) -> Tensor:
    """Loss weight per sample [B]: 1 for eps and v; min(SNR + 1, cap) for x_0.

    SNR + 1 = 1 / (1 - alpha_bar) makes the error of x_0 that of v, so that the noisiest steps, where colours and the
    prompt are decided, count as well; without the 1 they weigh almost nothing.
    """
    if schedule.prediction != "sample":
        return torch.ones_like(alpha_bar)
    return (1 / (1 - alpha_bar).clamp_min(1e-8)).clamp(max=snr_cap)


def min_snr_weight(alpha_bar: Tensor, prediction: str, gamma: float) -> Tensor:
    """Loss weight per sample [B] that an error of x_0 weighs min(SNR, gamma), whatever is predicted.

    SNR is at least 1e-8: with zero terminal SNR the last step's is 0, and an eps says nothing there.
    """
    snr = (alpha_bar / (1 - alpha_bar)).clamp_min(1e-8)
    capped = snr.clamp(max=gamma)
    return capped / {"epsilon": snr, "v_prediction": snr + 1, "sample": torch.ones_like(snr)}[prediction]


def noise_loss(predicted: Tensor, wanted: Tensor, weights: Tensor, region: Tensor | None = None) -> Tensor:
    """Weighted MSE; with `region` [B, 1, h, w] only inside it (stage 2's masked L2: the area to paint)."""
    square = (widened(predicted) - widened(wanted)) ** 2
    if region is None:
        return (square.mean((1, 2, 3)) * weights).mean()
    area = region.expand_as(square)
    return ((square * area).sum((1, 2, 3)) / area.sum((1, 2, 3)).clamp_min(1) * weights).mean()


def mask_loss(predicted: Tensor, mask: Tensor) -> Tensor:
    """MSE between the mask head's output and the true mask, both [B, 1, H, W]."""
    return ((widened(predicted) - widened(mask)) ** 2).mean()


def widened(x: Tensor) -> Tensor:
    """At least float32: sums of squares overflow in half precision."""
    return x if x.dtype == torch.float64 else x.float()


class Noising(nn.Module):
    """The schedule in torch: alpha_bar [T] follows the module to its device.

    Args:
        schedule: of the model.
        snr_cap: cap of the loss weight min(SNR + 1, cap) where the network predicts x_0.
        gamma: of min-SNR weights where it predicts eps or v; None: those are not weighted.
    """

    def __init__(self, schedule: ScheduleSettings, snr_cap: float, gamma: float | None = None) -> None:
        super().__init__()
        self.schedule = schedule
        self.snr_cap = snr_cap
        self.gamma = gamma
        table = torch.from_numpy(Schedule(schedule).alpha_bar).float()
        self.register_buffer("alpha_bar", table, persistent=False)
        self.alpha_bar: Tensor

    def at(self, t: Tensor) -> Tensor:
        """t int64 [B] -> alpha_bar [B]."""
        return self.alpha_bar[t]

    def target(self, x_0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """What the network should predict, like x_0."""
        return target(x_0, eps, self.at(t), self.schedule.prediction)

    def weight(self, t: Tensor) -> Tensor:
        """The loss weight of each sample, [B]."""
        if self.gamma is not None and self.schedule.prediction != "sample":
            return min_snr_weight(self.at(t), self.schedule.prediction, self.gamma)
        return weight(self.at(t), self.schedule, self.snr_cap)
