"""The last gate: words, a gesture and noise through everything in two steps, on torch and on the bundle's own graphs.

It finds what no single graph shows: an adapter that is not heard, a context of other words, another scale of latents.
The fusion itself is the runtime's on both sides, and tested there. Knows nothing about how graphs are made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.bundle import Bundle
from handfirst.engines.engine import Engine
from handfirst.export.rehearsing import agreed, bundle_engines, torch_engines
from handfirst.export.systems.gesture_text.parts import part_makers
from handfirst.runtime.diffusion.gesture import double_fused, read_gestures
from handfirst.runtime.diffusion.noise import part_seed, randn
from handfirst.runtime.diffusion.sampler import Prediction, denoise
from handfirst.runtime.diffusion.table import Schedule, ddim_table
from handfirst.runtime.systems.gesture_text.settings import GestureTextSettings
from handfirst.training.systems.gesture_text.model_folder import GestureTextFolder

STEPS = 2
Array = NDArray[Any]


def rehearse(model: GestureTextFolder, bundle: Bundle, rounded: bool) -> float:
    """Denoises the same noise both ways.

    Args:
        rounded: whether the bundle's graphs hold weights rounded to float16.

    Returns:
        PSNR of the bundle's result against torch's in dB, at most gate.EQUAL.

    Raises:
        UserError: they are too far apart; says how far.
    """
    expected = _denoised(model.settings, bundle, torch_engines(part_makers(model), bundle, rounded))
    got = _denoised(model.settings, bundle, bundle_engines(bundle))
    return agreed(bundle, expected, got, "the loop")


def _denoised(settings: GestureTextSettings, bundle: Bundle, engines: Mapping[str, Engine]) -> Array:
    """image [1, 3, S, S], of the first gesture where there is one."""
    ids = np.full((1, settings.text.length), settings.text.pad, np.int64)
    ids[0, 0], ids[0, 1] = settings.text.begin, settings.text.end
    (context,) = engines["text_encoder"].run({"ids": ids})["context"]
    adapter = np.zeros(settings.adapter.values, np.float32)
    if settings.gestures:
        first = settings.gestures[0]
        gesture = read_gestures(bundle, [first], settings.text, settings.adapter.values)[first.name]
        adapter = gesture.more
        if first.fusion == "low-rank":  # the random one takes minutes at full size, and has no weights to be wrong
            context = double_fused(context, gesture.fused(context), settings.defaults.mu)

    def predict(x_t: Array, timestep: int) -> Prediction:
        told = {"context": context[None], "adapter": adapter[None]}
        given = {"sample": x_t, "timestep": np.array([timestep]), **told}
        return Prediction(engines["unet"].run(given)["prediction"])

    shape = (1, settings.latent.channels, settings.cells, settings.cells)
    noise = randn(part_seed(0, "unet/sample"), shape)
    *_, last = denoise(predict, noise, ddim_table(Schedule(settings.schedule), STEPS, 1.0))
    mean, std = (np.array(each, np.float32)[:, None, None] for each in (settings.latent.mean, settings.latent.std))
    return engines["vae_decoder"].run({"latent": np.asarray(last.x_t, np.float32) * std + mean})["image"]
