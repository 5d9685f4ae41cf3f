"""The last gate: a part through both stages, two steps each, once on torch and once on the bundle's own graphs.

It finds what no single graph shows: a wrong order of banks, a row that reads a bank that it should not. Latents in
place of pictures between the stages: what lies between graphs is the runtime's, and tested there. Knows nothing about
how graphs are made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.bundle import Bundle
from handfirst.engines.engine import Engine
from handfirst.export.rehearsing import agreed, bundle_engines, torch_engines
from handfirst.export.systems.part_refiner.parts import part_makers
from handfirst.runtime.diffusion.noise import part_seed, randn
from handfirst.runtime.diffusion.sampler import Prediction, denoise
from handfirst.runtime.diffusion.table import Schedule, ddim_table
from handfirst.runtime.systems.part_refiner.roles import bank_names
from handfirst.runtime.systems.part_refiner.settings import PartRefinerSettings
from handfirst.training.systems.part_refiner.model_folder import PartRefinerFolder

STEPS = 2
Array = NDArray[Any]


def rehearse(model: PartRefinerFolder, bundle: Bundle, rounded: bool) -> float:
    """Refines noise both ways.

    Args:
        rounded: whether the bundle's graphs hold weights rounded to float16.

    Returns:
        PSNR of the bundle's final latents against torch's in dB, at most gate.EQUAL.

    Raises:
        UserError: they are too far apart; says how far.
    """
    expected = _refine(model.settings, torch_engines(part_makers(model), bundle, rounded))
    got = _refine(model.settings, bundle_engines(bundle))
    return agreed(bundle, expected, got, "the refiner's loop")


def _refine(settings: PartRefinerSettings, engines: Mapping[str, Engine]) -> Array:
    """The second stage's latents [1, C, h, w]."""
    schedule = Schedule(settings.schedule)
    if settings.drawn_by == "reference":
        return _paint(_draw(settings, schedule, engines), schedule, engines)
    shape = (1, settings.latent.channels, settings.cells, settings.cells)
    return _paint(randn(part_seed(0, "photo"), shape), schedule, engines)


def _draw(settings: PartRefinerSettings, schedule: Schedule, engines: Mapping[str, Engine]) -> Array:
    """The first stage's latents."""
    guidance = settings.defaults.guidance
    picture = _random("image_encoder", "picture", engines)
    context = engines["image_encoder"].run({"picture": np.concatenate([np.zeros_like(picture), picture])})["context"]
    pose = engines["pose_guider"].run({"pose": np.abs(_random("pose_guider", "pose", engines))})["pose_feature"]
    reference = _random("reference_unet", "sample", engines)

    def refine(x_t: Array, timestep: int) -> Prediction:
        time = timestep if settings.reference_timestep == "current" else 0
        told = {"timestep": np.array([time]), "context": context[1:], "pose_feature": pose}
        banks = engines["reference_unet"].run({"sample": reference, **told})
        given = {
            "sample": _twice(x_t), "timestep": np.array([timestep] * 2), "context": context,
            "pose_feature": _twice(pose), "referenced": np.array([0, 1], np.float32),
            **{name: _twice(banks[name]) for name in bank_names(engines["reference_unet"].spec)},
        }  # fmt: skip
        u, c = engines["main_unet"].run(given)["prediction"]
        return Prediction((u + guidance * (c - u))[None])

    return _last(refine, _random("main_unet", "sample", engines), schedule)


def _paint(shown: Array, schedule: Schedule, engines: Mapping[str, Engine]) -> Array:
    """The second stage over what it is shown, told the pose where its UNet takes one."""
    words = _random("inpaint_unet", "context", engines)
    ring = np.ones_like(shown[:, :1])
    posed: dict[str, Array] = {}
    if any(tensor.name == "pose_feature" for tensor in engines["inpaint_unet"].spec.inputs):
        posed = engines["pose_guider"].run({"pose": np.abs(_random("pose_guider", "pose", engines))})

    def inpaint(x_t: Array, timestep: int) -> Prediction:
        sample = np.concatenate([x_t, ring, shown], 1)
        given = {"sample": sample, "timestep": np.array([timestep]), "context": words, **posed}
        return Prediction(engines["inpaint_unet"].run(given)["prediction"])

    return _last(inpaint, shown, schedule)


def _last(predict: Any, noise: Array, schedule: Schedule) -> Array:
    *_, last = denoise(predict, noise.astype(np.float32), ddim_table(schedule, STEPS, 1.0))
    return np.asarray(last.x_t, np.float32)


def _random(role: str, name: str, engines: Mapping[str, Engine]) -> Array:
    """Standard normal, one row of an input."""
    tensor = next(each for each in engines[role].spec.inputs if each.name == name)
    return randn(part_seed(0, f"{role}/{name}"), (1, *(int(size) for size in tensor.shape[1:])))


def _twice(rows: Array) -> Array:
    return np.concatenate([rows, rows])
