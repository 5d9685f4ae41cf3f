"""What only changes how fast a step is changes nothing else; what a step encodes makes nobody wait for a GPU."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.tiny_model import tiny_model, tiny_settings
from torch.utils._python_dispatch import TorchDispatchMode

from handfirst.training.loop.kernels import compute_as_asked
from handfirst.training.loop.options import LoopOptions
from handfirst.training.models.encoders import Encoders, denormalise, normalise
from handfirst.training.systems.two_stage.options import BodyOptions
from handfirst.training.systems.two_stage.tasks import BodyTask


@pytest.mark.parametrize("tf32", [True, False])
def test_tf32_is_what_was_asked_for(tf32: bool) -> None:
    model, settings = tiny_model(), tiny_settings()
    compute_as_asked(BodyTask(model.body, settings, BodyOptions()), LoopOptions(steps=1, tf32=tf32))
    assert torch.backends.cuda.matmul.allow_tf32 is tf32 and torch.backends.cudnn.allow_tf32 is tf32


class FromNumbers(TorchDispatchMode):
    """Counts tensors that are made of Python's numbers: on a GPU the host waits until they are there."""

    count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += function in (torch.ops.aten.lift_fresh.default, torch.ops.aten._local_scalar_dense.default)
        return function(*args, **(kwargs or {}))


def test_encoding_makes_no_tensor_of_numbers() -> None:
    model, settings = tiny_model(), tiny_settings()
    encoders = Encoders(model.autoencoder, model.text_encoder, settings.latent)
    rgb = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    with FromNumbers() as made:
        torch.tensor([1.0, 2.0])
        assert made.count == 1
        latents = encoders.latents(rgb)
        assert made.count == 1
    wanted = normalise(model.autoencoder.encode(rgb.permute(0, 3, 1, 2).float() / 127.5 - 1), settings.latent)
    torch.testing.assert_close(latents, wanted)
    pictures = model.autoencoder.decode(denormalise(latents, settings.latent))
    torch.testing.assert_close(encoders.pictures(latents), pictures)
