"""Stage 1 as something to train: the hand generator with its losses, its figures and its sample sheet.

Knows nothing about optimizers, processes or files.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from handfirst.runtime.schedule import Schedule
from handfirst.runtime.settings import TwoStageSettings
from handfirst.training.batches import HandBatch, Noising, hand_losses
from handfirst.training.finetune.encoders import Encoders
from handfirst.training.finetune.feed import Batch
from handfirst.training.finetune.overlap import overlap
from handfirst.training.finetune.task import Drawn
from handfirst.training.losses import add_noise
from handfirst.training.models.hand_generator import HandGenerator
from handfirst.training.sampling import sample_hands
from handfirst.training.sheets import to_uint8
from handfirst.training.systems.two_stage.options import HandOptions


class HandTask(nn.Module):
    """The trainable parameters are those that require gradients; `forward` is what a data-parallel wrapper wraps."""

    def __init__(
        self, model: HandGenerator, encoders: Encoders, settings: TwoStageSettings, options: HandOptions
    ) -> None:
        super().__init__()
        self.model = model
        self.encoders = encoders
        self.noising = Noising(settings.schedule, options.snr_cap)
        self.settings = settings
        self.options = options
        self.last_time = Schedule(settings.schedule).timesteps(settings.defaults.steps)[-1][0]

    def forward(self, samples: Batch) -> dict[str, Tensor]:
        """Samples of HandSamples -> "noise" and "mask"; their sum is minimised."""
        return hand_losses(self.model, self._batch(samples), self.noising, self.options.mask_weight)

    @torch.no_grad()
    def score(self, samples: Batch) -> dict[str, Tensor]:
        """Samples at `last_time` -> "mask_iou" [B], of the mask where the runtime takes it: at the last step."""
        batch = self._batch(samples)
        x_t = add_noise(batch.x_0, batch.eps, self.noising.at(batch.t))
        feature = self.model(torch.cat([x_t, batch.c_p], 1), batch.t, batch.context)[1]
        return {"mask_iou": overlap(self._hands(self.model.mask(feature)), batch.mask[:, 0] > 0)}

    @torch.no_grad()
    def draw(self, samples: Batch, steps: int, seed: int) -> Drawn:
        """Hands drawn from nothing but their key points and words; their masks against the true hands'."""
        empty = self.encoders.contexts(samples["empty"])[0]
        x_0, mask = sample_hands(
            self.model, samples["c_p"], self.encoders.contexts(samples["plain"]), empty,
            self.settings, steps, self.settings.defaults.hand_guidance, seed,
        )  # fmt: skip
        hands = self._hands(mask)
        rows = (
            to_uint8(self.encoders.pictures(x_0)),
            (hands * 255).byte().cpu().numpy(),
            samples["rgb"].cpu().numpy(),
        )
        return Drawn(rows, {"drawn_mask_iou": overlap(hands, samples["mask"] > 0)})

    def _hands(self, mask: Tensor) -> Tensor:
        """The mask head's output [B, 1, H, W] -> bool [B, H, W], by the runtime's threshold."""
        return mask[:, 0].float().clamp(0, 1) >= self.settings.hand.mask_threshold

    def _batch(self, samples: Batch) -> HandBatch:
        return HandBatch(
            x_0=self.encoders.latents(samples["rgb"]),
            eps=samples["eps"],
            t=samples["t"],
            c_p=samples["c_p"],
            context=self.encoders.contexts(samples["ids"]).float(),
            mask=samples["mask"].float()[:, None],
        )
