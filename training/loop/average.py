"""The exponential moving average of what is trained, which is the result of a training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from diffusers.training_utils import EMAModel
from torch import nn


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
