"""The stages that are optimised, on shards: stacked samples to batches, the loss, and pictures to look at.

Knows nothing about optimizers, processes or files.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from handfirst.runtime.diffusion.table import Schedule, ddim_table
from handfirst.runtime.systems.gesture_text.settings import GestureTextSettings
from handfirst.training.loop.journal import to_uint8
from handfirst.training.loop.samples import Batch, SampleMaker
from handfirst.training.loop.task import Drawn, Stage, Task
from handfirst.training.losses import Noising, add_noise, noise_loss
from handfirst.training.models.ddim import ddim, guide
from handfirst.training.models.encoders import Encoders
from handfirst.training.systems.gesture_text.kept import GestureKeeper
from handfirst.training.systems.gesture_text.networks import GestureModel
from handfirst.training.systems.gesture_text.options import TextPhaseOptions
from handfirst.training.systems.gesture_text.samples import GestureSamples


@dataclass(frozen=True, eq=False)
class GestureBatch:
    """B pictures on one device.

    Attributes:
        x_0: standardised latents [B, C, h, w].
        eps: the noise, standard normal [B, C, h, w].
        t: int64 [B] in 0 .. T - 1.
        context: E, [B, L, D].
        gestured: bool [B], where the gesture is told.
    """

    x_0: Tensor
    eps: Tensor
    t: Tensor
    context: Tensor
    gestured: Tensor


class GestureTask(Task):
    """Denoising, told E'; what is trained is the phase's part, all else is frozen."""

    model: GestureModel

    def __init__(self, model: GestureModel, settings: GestureTextSettings, options: TextPhaseOptions) -> None:
        super().__init__(f"{options.gesture} {options.TRAINS}".strip(), model)
        self.noising = Noising(settings.schedule, options.snr_cap, options.min_snr)
        self.share = options.share

    def forward(self, batch: GestureBatch) -> dict[str, Tensor]:
        """ "noise"."""
        told = self.model.told(batch.context, batch.gestured, self.share)
        x_t = add_noise(batch.x_0, batch.eps, self.noising.at(batch.t))
        wanted = self.noising.target(batch.x_0, batch.eps, batch.t)
        prediction = self.model(x_t, batch.t, told)
        return {"noise": noise_loss(prediction, wanted, self.noising.weight(batch.t))}


@dataclass(frozen=True, eq=False)
class GestureStage(Stage):
    """A stage, with the frozen networks that turn its samples into batches."""

    task: GestureTask
    settings: GestureTextSettings
    encoders: Encoders
    empty: Tensor
    """Token ids of the empty prompt, int64 [1, L]."""

    def to(self, device: torch.device) -> None:
        """The encoders; the loop takes the task there itself."""
        self.encoders.to(device)

    @property
    def train_steps(self) -> int:
        """T of the schedule."""
        return self.settings.schedule.train_steps

    def keeper(self, samples: SampleMaker) -> GestureKeeper:
        """Latents: colours never change here."""
        assert isinstance(samples, GestureSamples)
        return GestureKeeper(samples, self.encoders)

    def encode(self, samples: Batch) -> GestureBatch:
        """What the task takes; of kept examples there are latents already."""
        kept = "raw_x_0" in samples
        return GestureBatch(
            x_0=self.encoders.standardised(samples["raw_x_0"]) if kept else self.encoders.latents(samples["rgb"]),
            eps=samples["eps"],
            t=samples["t"],
            context=self.encoders.contexts(samples["ids"]).float(),
            gestured=samples["gestured"],
        )

    def draw(self, samples: Batch, steps: int, seed: int) -> Drawn:
        """Pictures from noise, told the same as the true ones beside them, with the settings' mu."""
        return Drawn(
            (samples["rgb"].cpu().numpy(), to_uint8(self.encoders.pictures(self.sampled(samples, steps, seed))))
        )

    @torch.no_grad()
    def sampled(self, samples: Batch, steps: int, seed: int) -> Tensor:
        """x_0 [B, C, h, w] by DDIM through the runtime's own table, with the settings' guidance and mu."""
        model, defaults = self.task.model, self.settings.defaults
        context, gestured = self.encoders.contexts(samples["ids"]).float(), samples["gestured"]
        told = model.told(context, gestured, 1.0 if self.task.share == 1 else defaults.mu)
        without = self.encoders.contexts(self.empty.to(context.device)).float().expand_as(context)

        def predict(x_t: Tensor, t: Tensor) -> Tensor:
            if defaults.guidance == 1:
                return model(x_t, t, told).float()  # type: ignore[no-any-return]
            u, c = model(torch.cat([x_t, x_t]), torch.cat([t, t]), torch.cat([without, told])).float().chunk(2)
            return guide(u, c, defaults.guidance)

        eps = samples["eps"]
        noise = torch.randn(eps.shape, generator=torch.Generator().manual_seed(seed)).to(eps.device)
        return ddim(predict, noise, ddim_table(Schedule(self.settings.schedule), steps, defaults.guidance))
