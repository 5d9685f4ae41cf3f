"""Pictures painted again: what the decoder gets in use is not what the encoder makes of a picture.

A painted latent is smoother than an encoded one, in a face above all. So true hands and people are noised half-way and
painted again by the trained networks through the runtime's own loop, which keeps each of them close to its picture;
the decoder then learns to draw that picture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor

from handfirst.runtime.diffusion.masks import kept_radii
from handfirst.runtime.diffusion.sampler import Known, Latents, Prediction, denoise
from handfirst.runtime.diffusion.table import Schedule, ddim_table
from handfirst.runtime.running import host
from handfirst.runtime.systems.two_stage.settings import TwoStageSettings
from handfirst.training.loop.machine import autocast, pick_device
from handfirst.training.recipe.bodies import BodyData
from handfirst.training.recipe.hands import HandData, without_mask
from handfirst.training.systems.two_stage.body_outpainter import BodyOutpainter
from handfirst.training.systems.two_stage.hand_generator import HandGenerator
from handfirst.training.systems.two_stage.stages import hint

BATCH = 24
STEPS = 12  # of the whole way from noise to a picture
STARTS = (3, 9)  # the first step that is taken is drawn from these: the later, the closer to the true picture
Network = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(x_t [2B, C, h, w], t [2B], contexts [2B, L, D]) -> prediction [2B, C, h, w]."""


@dataclass(frozen=True)
class Painted:
    """Latents painted again: float32 [K, C, h, w], and which picture each one belongs to, int64 [K]."""

    latents: Tensor
    pictures: Tensor

    def to(self, device: torch.device) -> Painted:
        """The same on a device."""
        return Painted(self.latents.to(device), self.pictures.to(device))


@torch.no_grad()
def paint_people(
    model: BodyOutpainter, data: BodyData, settings: TwoStageSettings, count: int, seed: int, show: bool
) -> Painted:
    """`count` people noised to a random step and painted again as the runtime would, hands kept; standardised."""
    device, body = pick_device(), settings.body
    shorter = min(body.height, body.width)
    radii = torch.from_numpy(kept_radii(STEPS, body, shorter)).to(data.reach)[None, :, None, None]

    def paint(i: Tensor, first: int, rng: np.random.Generator) -> Latents:
        shown = hint(data.skeletons[i], data.hands[i]).to(device, memory_format=torch.channels_last)
        kept = (data.reach[i][:, None] <= radii)[:, first:].cpu().numpy()

        def network(x: Tensor, t: Tensor, context: Tensor) -> Tensor:
            prediction: Tensor = model(x, t, context, torch.cat([shown, shown]))
            return prediction

        return _repaint(network, data, i, settings, settings.defaults.guidance, first, rng, kept)

    return _painted(paint, model.eval(), data.latents, "people", count, seed, show)


@torch.no_grad()
def paint_hands(
    model: HandGenerator, data: HandData, settings: TwoStageSettings, count: int, seed: int, show: bool
) -> Painted:
    """`count` hands noised to a random step and painted again as the runtime would; standardised."""
    device = pick_device()

    def paint(i: Tensor, first: int, rng: np.random.Generator) -> Latents:
        c_p = without_mask(data.conditions[i], settings).to(device)

        def network(x: Tensor, t: Tensor, context: Tensor) -> Tensor:
            prediction: Tensor = model(torch.cat([x, torch.cat([c_p, c_p])], 1), t, context)[0]
            return prediction

        return _repaint(network, data, i, settings, settings.defaults.hand_guidance, first, rng)

    return _painted(paint, model.eval(), data.latents, "hands", count, seed, show)


def _painted(
    paint: Callable[[Tensor, int, np.random.Generator], Latents],
    model: torch.nn.Module,
    latents: Tensor,
    kind: str,
    count: int,
    seed: int,
    show: bool,
) -> Painted:
    model.to(pick_device())
    rng = np.random.default_rng((seed, 8))
    picks = np.sort(rng.choice(len(latents), min(count, len(latents)), replace=False))
    made = []
    for k in track(range(0, len(picks), BATCH), f"painting {kind}", disable=not show):
        made.append(paint(torch.from_numpy(picks[k : k + BATCH]), int(rng.integers(*STARTS)), rng))
    return Painted(torch.from_numpy(np.concatenate(made)), torch.from_numpy(picks))


def _repaint(
    network: Network,
    data: BodyData | HandData,
    i: Tensor,
    settings: TwoStageSettings,
    guidance: float,
    first: int,
    rng: np.random.Generator,
    kept: NDArray[np.bool_] | None = None,
) -> Latents:
    """x_0 [B, C, h, w] of the pictures i, painted from step `first` on; `kept` bool [B, STEPS - first, h, w]."""
    device, body = pick_device(), settings.body
    table = ddim_table(
        Schedule(settings.schedule), STEPS, guidance, settings.defaults.eta, body.unblended, body.blend_source
    )
    table = table.last(STEPS - first)
    x_0 = data.latents[i].float().cpu().numpy()
    context = data.contexts[0, i].float()
    both = torch.cat([context, data.empty.float().expand_as(context)]).to(device)

    def draw(_step: int) -> Latents:
        return rng.standard_normal(x_0.shape, dtype=np.float32)

    def predict(x_t: Latents, t: int) -> Prediction:
        x = torch.from_numpy(x_t).to(device)
        with autocast(device):
            out = network(torch.cat([x, x]), torch.full((2 * len(x),), t, device=device), both)
        conditional, unconditional = out.float().cpu().numpy().reshape(2, *x_0.shape)
        return Prediction(conditional, unconditional)

    eps_0, a = draw(0), table.alpha_bar[0]
    x_T = (np.sqrt(a) * x_0 + np.sqrt(1 - a) * eps_0).astype(np.float32)
    known = None
    if kept is not None and isinstance(data, BodyData):
        known = Known(data.canvases[i].float().cpu().numpy(), eps_0, kept)
    *_, last = denoise(predict, x_T, table, known, draw)
    return host(last.x_t)
