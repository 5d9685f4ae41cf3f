"""Stage 2 as something to train: the ControlNet on its frozen base, the loss outside the hands, and its sample sheet.

Knows nothing about optimizers, processes or files.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from handfirst.runtime.masks import mask_table
from handfirst.runtime.schedule import Schedule
from handfirst.runtime.settings import TwoStageSettings
from handfirst.training.batches import BodyBatch, Noising, body_losses
from handfirst.training.finetune.encoders import Encoders
from handfirst.training.finetune.feed import Batch
from handfirst.training.finetune.task import Drawn
from handfirst.training.models.body_outpainter import BodyOutpainter
from handfirst.training.sampling import Kept, sample_bodies
from handfirst.training.sheets import to_uint8
from handfirst.training.systems.two_stage.options import BodyOptions


class BodyTask(nn.Module):
    """The trainable parameters are those that require gradients; `forward` is what a data-parallel wrapper wraps."""

    def __init__(
        self, model: BodyOutpainter, encoders: Encoders, settings: TwoStageSettings, options: BodyOptions
    ) -> None:
        super().__init__()
        self.model = model
        self.encoders = encoders
        self.noising = Noising(settings.schedule, options.snr_cap)
        self.settings = settings
        self.options = options
        self.last_time = Schedule(settings.schedule).timesteps(settings.defaults.steps)[-1][0]

    def forward(self, samples: Batch) -> dict[str, Tensor]:
        """Samples of BodySamples -> "noise", the masked L2."""
        batch = BodyBatch(
            x_0=self.encoders.latents(samples["rgb"]),
            eps=samples["eps"],
            t=samples["t"],
            context=self.encoders.contexts(samples["ids"]).float(),
            hint=hint(samples),
            canvas=self.encoders.latents(samples["canvas"]),
            kept=samples["kept"],
            region=~samples["kept"],
        )
        return body_losses(self.model, batch, self.noising, self.settings.body)

    def score(self, samples: Batch) -> dict[str, Tensor]:
        """Stage 2 predicts no mask."""
        return {}

    @torch.no_grad()
    def draw(self, samples: Batch, steps: int, seed: int) -> Drawn:
        """Bodies painted around the true hands, the kept region shrinking as at run time."""
        body, factor = self.settings.body, self.settings.latent.factor
        cells = [mask_table([hand > 0], steps, "expansion", body, factor) for hand in samples["hands"].cpu().numpy()]
        kept = Kept(
            self.encoders.latents(samples["canvas"]), torch.from_numpy(np.stack(cells)).to(samples["canvas"].device)
        )
        x_0 = sample_bodies(
            self.model, hint(samples), self.encoders.contexts(samples["plain"]),
            self.encoders.contexts(samples["empty"])[0], self.settings, steps, self.settings.defaults.guidance, seed,
            kept,
        )  # fmt: skip
        given = (samples[name].cpu().numpy() for name in ("skeleton", "canvas"))
        return Drawn((*given, to_uint8(self.encoders.pictures(x_0)), samples["rgb"].cpu().numpy()))


def hint(samples: Batch) -> Tensor:
    """The runtime's hint [B, 4, H, W]: skeleton RGB in [0, 1], then the area to paint."""
    skeleton = samples["skeleton"].permute(0, 3, 1, 2).float() / 255
    return torch.cat([skeleton, (samples["hands"] == 0)[:, None].float()], 1)
