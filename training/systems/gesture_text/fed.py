"""The adapters of gestures as an input of the UNet: every row of a batch brings its own low-rank factors.

    y = W x + B_row A_row x       for every layer of the layout

So one graph serves every gesture, and rows of several gestures are one batch, each exactly as it is alone. The factors
of all layers lie in one row of numbers [P], layer after layer, A [r, in] before B [out, r], with peft's scale in B, and
in sixteenths: so the numbers of a trained adapter fill half precision, and standard normal ones, which the export gate
asks with, are a mild change. Knows nothing about files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from handfirst.engines.errors import UserError

UNIT = 1 / 16
"""Of every number; a power of two, so that nothing is rounded."""


@dataclass(frozen=True)
class Layer:
    """A linear layer that is changed: its name, and sizes of what it takes and gives."""

    name: str
    inputs: int
    outputs: int


@dataclass(frozen=True)
class Layout:
    """Where each layer's factors lie."""

    layers: tuple[Layer, ...]
    rank: int

    @classmethod
    def of(cls, unet: nn.Module, rank: int, names: Sequence[str]) -> Layout:
        """All linear layers of a UNet, on whatever device, whose name ends so.

        Raises:
            UserError: none does, or one is no linear layer.
        """
        found = []
        for name, module in unet.named_modules():
            if any(name == wanted or name.endswith(f".{wanted}") for wanted in names):
                if not isinstance(module, nn.Linear):
                    raise UserError(f"adapter.layers: expected linear layers, got {name}, a {type(module).__name__}")
                found.append(Layer(name, module.in_features, module.out_features))
        if not found:
            raise UserError(f"adapter.layers: the UNet has no layer whose name ends in {' or '.join(names)}")
        return cls(tuple(found), rank)

    @property
    def values(self) -> int:
        """P."""
        return sum(self.rank * (layer.inputs + layer.outputs) for layer in self.layers)

    def split(self, adapter: Tensor) -> Iterator[tuple[str, Tensor, Tensor]]:
        """[N, P] -> of every layer its name, A [N, r, in] and B [N, out, r]."""
        start, r = 0, self.rank
        for layer in self.layers:
            middle = start + r * layer.inputs
            end = middle + r * layer.outputs
            yield (
                layer.name,
                adapter[:, start:middle].reshape(-1, r, layer.inputs),
                adapter[:, middle:end].reshape(-1, layer.outputs, r),
            )
            start = end

    def joined(self, factors: Mapping[str, tuple[Tensor, Tensor]]) -> Tensor:
        """A [r, in] and B [out, r] by layer -> [P].

        Raises:
            UserError: a layer is missing, is too much, or has other sizes.
        """
        wanted = {layer.name: ((self.rank, layer.inputs), (layer.outputs, self.rank)) for layer in self.layers}
        got = {name: tuple(tuple(factor.shape) for factor in pair) for name, pair in factors.items()}
        if got != wanted:
            name = sorted(name for name in {*wanted, *got} if wanted.get(name) != got.get(name))[0]
            raise UserError(f"adapter: {name}: expected factors {wanted.get(name)}, got {got.get(name)}")
        return torch.cat([factor.flatten() for layer in self.layers for factor in factors[layer.name]]) / UNIT


class FedUNet(nn.Module):
    """A UNet that is given its adapters."""

    def __init__(self, unet: UNet2DConditionModel, layout: Layout) -> None:
        super().__init__()
        self.unet = unet
        self._layout = layout

    def forward(self, sample: Tensor, timestep: Tensor, context: Tensor, adapter: Tensor) -> Tensor:
        """One evaluation: x_t [B, C, h, w], int64 [B], [B, L, D], [B, P] -> prediction [B, C, h, w]."""
        with ExitStack() as stack:
            for name, A, B in self._layout.split(adapter):
                hook = _Added(A, B)
                stack.callback(self.unet.get_submodule(name).register_forward_hook(hook).remove)
            prediction: Tensor = self.unet(sample, timestep, encoder_hidden_states=context, return_dict=False)[0]
        return prediction


@dataclass(frozen=True, eq=False)
class _Added:
    """What a layer gives, and B A x more."""

    A: Tensor
    B: Tensor

    def __call__(self, layer: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> Tensor:
        return out + UNIT**2 * (given[0] @ self.A.mT @ self.B.mT)
