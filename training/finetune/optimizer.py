"""The optimizer of a run and its learning rate over the steps. Knows nothing about networks."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

from handfirst.training.finetune.options import Options


def build_optimizer(parameters: Iterable[nn.Parameter], options: Options) -> torch.optim.Optimizer:
    """AdamW (the whole step in one kernel), or Adafactor, whose second moments are a row and a column per matrix."""
    if options.optimizer == "adafactor":
        return torch.optim.Adafactor(parameters, lr=options.lr, weight_decay=options.weight_decay)
    return torch.optim.AdamW(
        parameters, lr=options.lr, betas=options.betas, weight_decay=options.weight_decay, fused=True
    )


def learning_rate(options: Options, step: int) -> float:
    """For the step with index `step`: a linear rise over the warm-up, then constant or a half cosine to 0.

    A function of the step alone: nothing of it needs to be saved.
    """
    if step < options.warmup:
        return options.lr * (step + 1) / options.warmup
    if options.decay == "constant":
        return options.lr
    progress = (step - options.warmup) / max(1, options.steps - options.warmup)
    return options.lr * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
