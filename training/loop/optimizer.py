"""What a step does to the weights: optimizer, learning rate, and the average of the weights, which is the result.

The optimizer is AdamW, Adafactor, or Muon for the matrices of hidden layers beside AdamW for all else.

Muon makes every singular value of a matrix's update alike, so that no direction of a layer learns last. Measured on the
demo's autoencoder: after 200 steps as far as AdamW after more than 400, at 1.1 times its time a step. torch's Muon
takes matrices only: a convolution [out, in, kh, kw] is one of out rows, and its matrix shares the weights' memory.
Where the machine has no bfloat16, muon.py takes its place: torch's computes in nothing else.
Source: K. Jordan, Muon (2024); torch.optim.Muon.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from diffusers.training_utils import EMAModel
from torch import Tensor, nn

from handfirst.training.loop.machine import computes_in
from handfirst.training.loop.muon import Float32Muon
from handfirst.training.loop.options import LoopOptions

LEAST = 8  # input and output channels of a hidden layer; less is a border, of colours or the like


def learning_rate(options: LoopOptions, step: int, progress: float) -> float:
    """Factor on the learning rates of the step with index `step`, when `progress` in [0, 1] of the training is over.

    A linear rise over the warm-up, times 1 or a half cosine from 1 to the floor.
    """
    warm = min(1.0, (step + 1) / max(1, options.warmup))
    if options.decay == "constant":
        return warm
    return warm * (options.floor + (1 - options.floor) * 0.5 * (1 + math.cos(math.pi * progress)))


def build_optimizer(module: nn.Module, options: LoopOptions) -> torch.optim.Optimizer:
    """For all trainable parameters of `module`; `scale` sets its learning rates.

    Args:
        module: on its device and in its memory format, which must not change afterwards.
    """
    trained = [p for p in module.parameters() if p.requires_grad]
    hidden = list(hidden_weights(module)) if options.matrix_lr is not None else []
    if hidden:
        return MuonBesideAdamW(trained, hidden, options)
    group: dict[str, Any] = {"params": trained, "initial_lr": options.lr}
    if options.optimizer == "adafactor":
        return torch.optim.Adafactor([group], lr=options.lr, weight_decay=options.weight_decay)
    return torch.optim.AdamW([group], lr=options.lr, betas=options.betas, weight_decay=options.weight_decay, fused=True)


def scale(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Every group's learning rate becomes `factor` times its own."""
    for group in optimizer.param_groups:
        group["lr"] = factor * group["initial_lr"]


class MuonBesideAdamW(torch.optim.Optimizer):
    """Steps `hidden` by Muon, as matrices, and the rest of `trained` by AdamW."""

    def __init__(self, trained: list[nn.Parameter], hidden: list[Tensor], options: LoopOptions) -> None:
        assert options.matrix_lr is not None
        taken = {id(weight) for weight in hidden}
        rest = [p for p in trained if id(p) not in taken]
        groups = [{"params": rest, "lr": options.lr}, {"params": hidden, "lr": options.matrix_lr}]
        super().__init__([{**group, "initial_lr": group["lr"]} for group in groups], {})
        self._pairs = [(weight, nn.Parameter(as_matrix(weight.detach()))) for weight in hidden]
        decay, muon = options.weight_decay, torch.optim.Muon if computes_in("auto") == "bf16" else Float32Muon
        self._parts: dict[str, torch.optim.Optimizer] = {
            "adamw": torch.optim.AdamW(rest, lr=options.lr, betas=options.betas, weight_decay=decay, fused=True),
            "muon": muon([matrix for _, matrix in self._pairs], lr=options.matrix_lr, weight_decay=decay),
        }

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One step from the gradients; takes no closure."""
        for weight, matrix in self._pairs:
            matrix.grad = None if weight.grad is None else as_matrix(weight.grad)
        for group, part in zip(self.param_groups, self._parts.values(), strict=True):
            for inner in part.param_groups:
                inner["lr"] = group["lr"]
            part.step()
        for _, matrix in self._pairs:
            matrix.grad = None

    def state_dict(self) -> dict[str, Any]:
        """The state of both, for a checkpoint."""
        return {name: part.state_dict() for name, part in self._parts.items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The inverse."""
        for name, part in self._parts.items():
            part.load_state_dict(state_dict[name])


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


class Average:
    """Averages some parameters; over the first steps its decay rises as (1 + n) / (10 + n).

    Args:
        parameters: on their device.
        decay: in [0, 1); 0: no average is kept, and the parameters themselves are the result.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], decay: float) -> None:
        self._parameters = list(parameters)
        self._model = EMAModel(self._parameters, decay=decay, foreach=True) if decay else None

    def update(self) -> None:
        """After a step; nothing waits for a GPU."""
        if self._model is not None:
            self._model.step(self._parameters)

    def copy(self) -> None:
        """The parameters become their averages."""
        if self._model is not None:
            self._model.copy_to(self._parameters)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The parameters are their averages while this is open."""
        if self._model is None:
            yield
            return
        self._model.store(self._parameters)
        self._model.copy_to(self._parameters)
        try:
            yield
        finally:
            self._model.restore(self._parameters)

    def state_dict(self) -> dict[str, Any] | None:
        """For a checkpoint: "shadow_params" in the order of the parameters, and how many steps there were."""
        return None if self._model is None else self._model.state_dict()

    def load_state_dict(self, state: dict[str, Any] | None, device: torch.device) -> None:
        """The inverse."""
        if self._model is not None and state is not None:
            self._model.load_state_dict(state)
            self._model.to(device)
