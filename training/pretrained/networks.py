"""Networks from weights whose sizes are read off them, without trusting the sizes: nothing is built that they do not
fill.

Knows nothing about versions or layouts.
"""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import nn

from handfirst.training.pretrained.weights import Weights

MOST_LAYERS = 64
"""Of one kind; CLIP's largest text encoder has 32."""
MOST_TENSORS = 5000
"""Of one network; the UNet of 1.x has 686, SDXL's 1,680."""

M = TypeVar("M", bound=nn.Module)


def side(weights: Weights, name: str, axis: int) -> int:
    """One side of a tensor.

    Raises:
        KeyError: no such tensor.
        ValueError: it has no such side, or none that makes sense.
    """
    shape = tuple(weights[name].shape)
    if axis >= len(shape) or not 1 <= shape[axis] <= 1 << 20:
        raise ValueError(f"{name} has shape {shape!s:.60}")
    return int(shape[axis])


def count_of(weights: Weights, prefix: str) -> int:
    """How many layers there are: "PREFIX0.x", "PREFIX1.x", ...

    Raises:
        ValueError: none, more than any network has, one without a number, or a gap.
    """
    numbers = {name.removeprefix(prefix).split(".")[0] for name in weights if name.startswith(prefix)}
    if not numbers or numbers != {str(i) for i in range(len(numbers))} or len(numbers) > MOST_LAYERS:
        odd = sorted(numbers - {str(i) for i in range(min(len(numbers), MOST_LAYERS))})
        raise ValueError(f"{prefix}{odd[0]:.40} is no layer that follows on others" if odd else f"no {prefix}0")
    return len(numbers)


def check_count(kind: type[nn.Module], config: Any, weights: Weights) -> None:
    """Refuses a network with more numbers than the weights hold: its sizes were read off damaged or hostile ones.

    Args:
        kind: the class.
        config: its only argument, or a dict of its arguments.

    Raises:
        ValueError: says both counts.
    """
    _outline(kind, config, weights)


def build(kind: type[M], config: dict[str, Any], weights: Weights) -> M:
    """The network on torch's meta device, where it takes no memory; `fill` gives it its weights.

    Raises:
        ValueError: as `check_count`.
    """
    return _outline(kind, config, weights)


def fill(model: M, weights: Weights) -> M:
    """The network with these weights, in float32 and evaluation mode; its buffers are its own.

    Raises:
        ValueError: weights that are missing, of other shapes, or no real numbers. Weights that it does not know are
            left out.
    """
    expected = model.state_dict()
    missing = sorted(name for name in expected if weights.get(name) is None)
    if missing:
        raise ValueError(f"{len(missing)} weights of its {type(model).__name__} are missing, {missing[0]} among them")
    chosen = {}
    for name, wanted in expected.items():
        given = weights[name]
        if given.shape != wanted.shape or given.is_complex():
            raise ValueError(f"{name}: expected {tuple(wanted.shape)}, got {tuple(given.shape)!s:.60} of {given.dtype}")
        chosen[name] = given.to(torch.float32, copy=True, memory_format=torch.contiguous_format)
    model.load_state_dict(chosen, assign=True)
    return model.eval()


def _outline(kind: type[M], config: Any, weights: Weights) -> M:
    if len(weights) > MOST_TENSORS:
        raise ValueError(f"{len(weights)} tensors for one {kind.__name__}")
    with torch.device("meta"):
        model = kind(**config) if isinstance(config, dict) else kind(config)
    needed = sum(parameter.numel() for parameter in model.parameters())
    has = sum(value.numel() for value in weights.values())
    if needed > has:
        raise ValueError(f"weights of its {kind.__name__} are missing: it needs {needed} numbers, there are {has}")
    return model
