"""Phase 7: the decoder once more, now also on latents as the UNet paints them.

What the decoder gets in use is not what the encoder makes of a picture: a painted latent is smoother, a face in it
above all. So true people are noised half-way and painted again by the trained base UNet and ControlNet, which keeps
each of them close to its picture; the decoder then learns to draw that picture. Measured: MediaPipe Pose finds a body
in 94 of 100 pictures instead of 82. Knows nothing about hands' latents: polishing on them was not tried.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor, nn

from handfirst.runtime.diffusion.sampler import Known, Latents, Prediction, denoise
from handfirst.runtime.diffusion.table import Schedule
from handfirst.runtime.diffusion.table import StepTable as StepPlan
from handfirst.runtime.diffusion.table import ddim_table as make_plan
from handfirst.runtime.systems.two_stage.settings import TwoStageSettings
from handfirst.training.autoencoder_training import CROP, crops, cut, decode_noisy, draw_sheet, pixel_losses, windows
from handfirst.training.body_training import BodyData, hint_of
from handfirst.training.config import PhaseOptions
from handfirst.training.data.arrays import Pictures
from handfirst.training.decoder_training import DecoderAndCritic, adversarial_losses
from handfirst.training.fit import Phase, autocast, pick_device
from handfirst.training.models.body_outpainter import BodyOutpainter

BATCH = 24
STEPS = 12  # of the whole way from noise to a picture
STARTS = (3, 9)  # the first step that is taken is drawn from these: the later, the closer to the true picture
PIXELS = 0.5  # share of the pixel losses, faces no heavier: a painted latent does not tell where every hair was
ADVERSARIAL_GAIN = 1.5  # the critic counts more than on true latents, its features less
FEATURES_GAIN = 0.6


@dataclass(frozen=True)
class Painted:
    """Latents of people painted again: raw latents float32 [K, C, h, w], and which picture each one belongs to [K]."""

    latents: Tensor
    pictures: NDArray[np.int64]


@torch.no_grad()
def paint_people(
    model: BodyOutpainter,
    data: BodyData,
    settings: TwoStageSettings,
    count: int,
    seed: int,
    show: bool,
    batch: int = 24,
) -> tuple[Tensor, Tensor]:
    """`count` people noised to a random step and painted again as the runtime would, hands kept.

    Returns:
        standardised latents float16 [count, C, h, w] and the people's indices int64 [count].
    """
    defaults, body = settings.defaults, settings.body
    plan = make_plan(
        Schedule(settings.schedule), STEPS, defaults.guidance, defaults.eta, body.unblended, body.blend_source
    )
    rng = np.random.default_rng((seed, 8))
    picks = np.sort(rng.choice(len(data.latents), min(count, len(data.latents)), replace=False))
    made = []
    for i in track(range(0, len(picks), BATCH), "painting people", disable=not show):
        chosen = picks[i : i + BATCH]
        made.append(_paint(model.eval(), data, chosen, _rest(plan, int(rng.integers(*STARTS))), settings, rng))
    return torch.from_numpy(np.concatenate(made)).half(), torch.from_numpy(picks)


def _paint(
    model: BodyOutpainter,
    data: BodyData,
    picks: NDArray[np.int64],
    plan: StepPlan,
    settings: TwoStageSettings,
    rng: np.random.Generator,
) -> Latents:
    device = pick_device()
    x_0, x_c = (source[picks].float().numpy() for source in (data.latents, data.canvases))
    hint = hint_of(data, picks).to(device, memory_format=torch.channels_last)
    context = data.contexts[0, picks].float()
    both = torch.cat([context, data.empty.float().expand_as(context)]).to(device)

    def draw(_step: int) -> Latents:
        return rng.standard_normal(x_0.shape, dtype=np.float32)

    def predict(x_t: Latents, t: int) -> Prediction:
        x = torch.from_numpy(x_t).to(device, memory_format=torch.channels_last)
        with autocast(device):
            out = model(torch.cat([x, x]), torch.full((2 * len(x),), t, device=device), both, torch.cat([hint, hint]))
        conditional, unconditional = out.float().cpu().numpy().reshape(2, *x_0.shape)
        return Prediction(conditional, unconditional)

    factor = settings.latent.factor
    covered = torch.nn.functional.avg_pool2d(1 - hint[:, 3:].float(), factor) > 0.5
    kept = np.repeat(covered.cpu().numpy(), len(plan), 1)
    eps_0, a = draw(0), plan.alpha_bar[0]
    x_T = (np.sqrt(a) * x_0 + np.sqrt(1 - a) * eps_0).astype(np.float32)
    *_, last = denoise(predict, x_T, plan, Known(x_c, eps_0, kept), draw)
    return last.x_t


def _rest(plan: StepPlan, first: int) -> StepPlan:
    """The plan without its first rows."""
    rows = {name: value[first:] for name, value in vars(plan).items() if isinstance(value, np.ndarray)}
    return replace(plan, **rows)  # type: ignore[arg-type]


def polish_phase(
    model: DecoderAndCritic, hands: Pictures, people: Pictures, painted: Painted, options: PhaseOptions, seed: int
) -> Phase:
    """In turn: hands, people, both from true latents as in phase 6, and people from painted ones."""
    model.autoencoder.model.encoder.requires_grad_(False)

    def losses(module: nn.Module, step: int) -> dict[str, Tensor]:
        assert isinstance(module, DecoderAndCritic)
        rng = np.random.default_rng((seed, 9, step))
        if step % 3 == 2:
            return _painted_losses(module, people, painted, options.batch, rng)
        image, detail = crops((hands, people)[step % 3], options.batch, rng)
        with torch.no_grad():
            latent = module.autoencoder.encode(image)
        decoded = decode_noisy(module.autoencoder, latent, rng)
        pixels = pixel_losses(decoded, image, detail)
        return pixels if step % 3 == 0 else {**pixels, **adversarial_losses(module.critic, decoded, image)}

    def sheet(module: nn.Module, file: Path) -> None:
        assert isinstance(module, DecoderAndCritic)
        draw_sheet(module.autoencoder, (hands, people), file)

    return Phase("polish", model, losses, sheet, sheet_minutes=4)


def _painted_losses(
    module: DecoderAndCritic, people: Pictures, painted: Painted, count: int, rng: np.random.Generator
) -> dict[str, Tensor]:
    factor = people.size // painted.latents.shape[-1]
    cells = CROP // factor
    rows = rng.integers(len(painted.pictures), size=count)
    places = windows(people, painted.pictures[rows], rng, grid=factor)
    image, detail = cut(people, places)
    latent = torch.stack(
        [
            painted.latents[row, :, y // factor : y // factor + cells, x // factor : x // factor + cells]
            for row, (_, y, x) in zip(rows, places, strict=True)
        ]
    )
    decoded = module.autoencoder.decode(latent.to(image.device)).float()
    pixels = {name: PIXELS * value for name, value in pixel_losses(decoded, image, 0 * detail).items()}
    terms = adversarial_losses(module.critic, decoded, image)
    gains = {"adversarial": ADVERSARIAL_GAIN, "features": FEATURES_GAIN, "critic": 1.0}
    return {**pixels, **{name: gains[name] * value for name, value in terms.items()}}
