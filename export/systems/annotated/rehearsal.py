"""The last gate: noise through the whole loop in two steps, once on torch and once on the bundle's own graphs.

It finds what no single graph shows: channels of picture and annotation exchanged, a label that is not heard. What lies
behind the loop is the runtime's, and tested there. Knows nothing about how graphs are made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.bundle import Bundle
from handfirst.engines.engine import Engine
from handfirst.export.rehearsing import agreed, bundle_engines, torch_engines
from handfirst.export.systems.annotated.parts import part_makers
from handfirst.runtime.diffusion.noise import part_seed, randn
from handfirst.runtime.diffusion.sampler import Prediction, denoise
from handfirst.runtime.diffusion.table import Schedule, ddim_table
from handfirst.runtime.systems.annotated.settings import AnnotatedSettings
from handfirst.training.systems.annotated.model_folder import AnnotatedFolder

STEPS = 2
Array = NDArray[Any]


def rehearse(model: AnnotatedFolder, bundle: Bundle, rounded: bool) -> float:
    """Denoises the same noise both ways.

    Args:
        rounded: whether the bundle's graphs hold weights rounded to float16.

    Returns:
        PSNR of the bundle's result against torch's in dB, at most gate.EQUAL.

    Raises:
        UserError: they are too far apart; says how far.
    """
    expected = _denoised(model.settings, torch_engines(part_makers(model), bundle, rounded))
    got = _denoised(model.settings, bundle_engines(bundle))
    return agreed(bundle, expected, got, "the denoiser's loop")


def _denoised(settings: AnnotatedSettings, engines: Mapping[str, Engine]) -> Array:
    """[1, C, h, w], through every engine: told by the text encoder, seen through the decoder where there is one."""
    told: dict[str, Array] = {}
    if settings.text is not None:
        ids = np.full((1, settings.text.length), settings.text.pad, np.int64)
        ids[0, 0], ids[0, 1] = settings.text.begin, settings.text.end
        told = engines["text_encoder"].run({"ids": ids})
    if settings.classes:
        told = {"label": np.eye(1, len(settings.classes), dtype=np.float32)}

    def predict(x_t: Array, timestep: int) -> Prediction:
        given = {"sample": x_t, "timestep": np.array([timestep]), **told}
        return Prediction(engines["denoiser"].run(given)["prediction"])

    shape = (1, settings.channels, settings.cells, settings.cells)
    noise = randn(part_seed(0, "denoiser/sample"), shape)
    *_, last = denoise(predict, noise, ddim_table(Schedule(settings.schedule), STEPS, 1.0))
    x_0 = np.asarray(last.x_t, np.float32)
    if settings.latent is None:
        return x_0
    mean, std = (np.array(each, np.float32)[:, None, None] for each in (settings.latent.mean, settings.latent.std))
    halves = np.concatenate(np.split(x_0, settings.channels // settings.latent.channels, 1))
    return engines["vae_decoder"].run({"latent": halves * std + mean})["image"]
