"""The only stage on shards: stacked samples to batches, the loss, and pictures to look at.

Knows nothing about optimizers, processes or files.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from handfirst.runtime.diffusion.table import Schedule, ddim_table
from handfirst.runtime.systems.annotated.consistency import consistency
from handfirst.runtime.systems.annotated.recover import recover
from handfirst.runtime.systems.annotated.settings import AnnotatedSettings
from handfirst.training.loop.journal import to_uint8
from handfirst.training.loop.samples import Batch
from handfirst.training.loop.task import Drawn, Stage, Task
from handfirst.training.losses import Noising, add_noise, noise_loss, widened
from handfirst.training.models.ddim import ddim, guide
from handfirst.training.models.encoders import Encoders
from handfirst.training.systems.annotated.networks import Denoiser
from handfirst.training.systems.annotated.options import DenoiserOptions


@dataclass(frozen=True, eq=False)
class DenoiserBatch:
    """B pictures on one device.

    Attributes:
        x_0: [B, C, h, w], the picture's channels, then its annotation's.
        eps: the noise, standard normal [B, C, h, w].
        t: int64 [B] in 0 .. T - 1.
        told: label [B, K], context [B, L, D], or None.
    """

    x_0: Tensor
    eps: Tensor
    t: Tensor
    told: Tensor | None


class DenoiserTask(Task):
    """Denoising of picture and annotation as one."""

    model: Denoiser

    def __init__(self, model: Denoiser, settings: AnnotatedSettings, options: DenoiserOptions) -> None:
        super().__init__("denoiser", model)
        self.noising = Noising(settings.schedule, options.snr_cap, options.min_snr)
        self.loss = options.loss

    def forward(self, batch: DenoiserBatch) -> dict[str, Tensor]:
        """ "noise"."""
        x_t = add_noise(batch.x_0, batch.eps, self.noising.at(batch.t))
        wanted = self.noising.target(batch.x_0, batch.eps, batch.t)
        prediction, weight = self.model(x_t, batch.t, batch.told), self.noising.weight(batch.t)
        if self.loss == "l2":
            return {"noise": noise_loss(prediction, wanted, weight)}
        return {"noise": ((widened(prediction) - widened(wanted)).abs().mean((1, 2, 3)) * weight).mean()}


@dataclass(frozen=True, eq=False)
class DenoiserStage(Stage):
    """The stage, with the frozen networks that turn its samples into batches: none in mode "pixel"."""

    task: DenoiserTask
    settings: AnnotatedSettings
    encoders: Encoders | None
    empty: Tensor | None
    """Token ids of the empty prompt, int64 [1, L]; None: the model reads no text."""

    def to(self, device: torch.device) -> None:
        """The encoders; the loop takes the task there itself."""
        if self.encoders is not None:
            self.encoders.to(device)

    @property
    def train_steps(self) -> int:
        """T of the schedule."""
        return self.settings.schedule.train_steps

    def encode(self, samples: Batch) -> DenoiserBatch:
        """What the task takes; picture and annotation are encoded apart."""
        shown = [samples[name] for name in ("rgb", "annotation") if name in samples]
        x_0 = torch.cat([self._channels(each) for each in shown], 1)
        return DenoiserBatch(x_0, samples["eps"], samples["t"], self._told(samples))

    def draw(self, samples: Batch, steps: int, seed: int) -> Drawn:
        """Pictures from noise with their annotations, between truths told the same; and how consistent they are."""
        x_0 = self.sampled(samples, steps, seed)
        halves = x_0.chunk(1 if self.settings.annotation == "none" else 2, 1)
        rows = [to_uint8(self._pictures(half)) for half in halves]
        truth = [samples[name].cpu().numpy() for name in ("rgb", "annotation") if name in samples]
        if len(rows) == 1:
            return Drawn((*truth, *rows))
        scores = [consistency(recover(each, self.settings.annotation)) for each in rows[1]]
        return Drawn((*truth, *rows), {"consistency": torch.tensor(scores, dtype=torch.float32)})

    @torch.no_grad()
    def sampled(self, samples: Batch, steps: int, seed: int) -> Tensor:
        """x_0 [B, C, h, w] by DDIM through the runtime's own table, with the settings' guidance."""
        model, told, guidance = self.task.model, self._told(samples), self.settings.defaults.guidance
        without = self._untold(told)

        def predict(x_t: Tensor, t: Tensor) -> Tensor:
            if told is None or without is None or guidance == 1:
                return model(x_t, t, told).float()  # type: ignore[no-any-return]
            u, c = model(torch.cat([x_t, x_t]), torch.cat([t, t]), torch.cat([without, told])).float().chunk(2)
            return guide(u, c, guidance)

        eps = samples["eps"]
        noise = torch.randn(eps.shape, generator=torch.Generator().manual_seed(seed)).to(eps.device)
        return ddim(predict, noise, ddim_table(Schedule(self.settings.schedule), steps, guidance))

    def _channels(self, rgb: Tensor) -> Tensor:
        """uint8 [B, S, S, 3] -> [B, c, h, w]."""
        if self.encoders is not None:
            return self.encoders.latents(rgb)
        return rgb.permute(0, 3, 1, 2).float() / 127.5 - 1

    def _pictures(self, channels: Tensor) -> Tensor:
        """[B, c, h, w] -> [B, 3, S, S], about [-1, 1]."""
        return channels if self.encoders is None else self.encoders.pictures(channels)

    def _told(self, samples: Batch) -> Tensor | None:
        if "ids" in samples and self.encoders is not None:
            return self.encoders.contexts(samples["ids"]).float()
        return samples.get("label")

    def _untold(self, told: Tensor | None) -> Tensor | None:
        """The same for nothing: the empty prompt, or no label."""
        if told is None or self.empty is None or self.encoders is None:
            return None if told is None else torch.zeros_like(told)
        return self.encoders.contexts(self.empty.to(told.device)).float().expand_as(told)
