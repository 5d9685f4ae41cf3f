"""Both stages on shards: stacked samples to batches, through the frozen encoders; figures and pictures to look at.

Knows nothing about optimizers, processes or files.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from handfirst.runtime.diffusion.masks import mask_table
from handfirst.runtime.diffusion.table import Schedule
from handfirst.runtime.systems.two_stage.settings import TwoStageSettings
from handfirst.training.data.buckets import Size
from handfirst.training.loop.journal import to_uint8
from handfirst.training.loop.samples import Batch, SampleMaker
from handfirst.training.loop.task import Drawn, Stage
from handfirst.training.losses import add_noise
from handfirst.training.models.ddim import Kept
from handfirst.training.models.encoders import Encoders
from handfirst.training.systems.two_stage.hand_generator import HandGenerator
from handfirst.training.systems.two_stage.kept import BodyKeeper
from handfirst.training.systems.two_stage.samples import BodySamples
from handfirst.training.systems.two_stage.sampling import sample_bodies, sample_hands
from handfirst.training.systems.two_stage.tasks import BodyBatch, BodyTask, HandBatch, HandTask


@dataclass(frozen=True, eq=False)
class OnShards(Stage):
    """A stage with the frozen networks that turn its samples into batches."""

    task: HandTask | BodyTask
    encoders: Encoders
    settings: TwoStageSettings
    empty: Tensor
    """The empty prompt's token ids, int64 [1, L]."""

    def to(self, device: torch.device) -> None:
        """The encoders; the loop takes the task there itself."""
        self.encoders.to(device)

    @property
    def train_steps(self) -> int:
        """T of the schedule."""
        return self.settings.schedule.train_steps

    def _empty(self, device: torch.device) -> Tensor:
        """The empty prompt's context [L, D]."""
        context: Tensor = self.encoders.contexts(self.empty.to(device))[0]
        return context


class HandStage(OnShards):
    """Stage 1 on samples of HandSamples."""

    task: HandTask

    @property
    def last_time(self) -> int:
        """The time of the runtime's last step, from which it takes the mask."""
        return Schedule(self.settings.schedule).timesteps(self.settings.defaults.steps)[-1][0]

    def encode(self, samples: Batch) -> HandBatch:
        """What the task takes."""
        return HandBatch(
            x_0=self.encoders.latents(samples["rgb"]),
            eps=samples["eps"],
            t=samples["t"],
            c_p=samples["c_p"],
            context=self.encoders.contexts(samples["ids"]).float(),
            mask=samples["mask"].float()[:, None],
        )

    def score(self, samples: Batch) -> dict[str, Tensor]:
        """Samples at `last_time` -> "mask_iou" [B]."""
        batch, model = self.encode(samples), self.task.model
        x_t = add_noise(batch.x_0, batch.eps, self.task.noising.at(batch.t))
        feature = model(torch.cat([x_t, batch.c_p], 1), batch.t, batch.context)[1]
        return {"mask_iou": overlap(self._hands(model.mask(feature)), batch.mask[:, 0] > 0)}

    def draw(self, samples: Batch, steps: int, seed: int) -> Drawn:
        """Hands drawn from nothing but their key points and words; their masks against the true hands'."""
        empty, (model, told) = self._empty(samples["c_p"].device), self.drawing(samples)
        x_0, mask = sample_hands(
            model, samples["c_p"], told, empty,
            self.settings, steps, self.settings.defaults.hand_guidance, seed,
        )  # fmt: skip
        hands = self._hands(mask)
        rows = (
            to_uint8(self.encoders.pictures(x_0)),
            (hands * 255).byte().cpu().numpy(),
            samples["rgb"].cpu().numpy(),
        )
        return Drawn(rows, {"drawn_mask_iou": overlap(hands, samples["mask"] > 0)})

    def drawing(self, samples: Batch) -> tuple[HandGenerator, Tensor]:
        """What draws, and the contexts [B, L, D] that it is told."""
        return self.task.model, self.encoders.contexts(samples["plain"])

    def _hands(self, mask: Tensor) -> Tensor:
        """The mask head's output [B, 1, H, W] -> bool [B, H, W], by the runtime's threshold."""
        return mask[:, 0].float().clamp(0, 1) >= self.settings.hand.mask_threshold


@dataclass(frozen=True, eq=False)
class BodyStage(OnShards):
    """Stage 2 on samples of BodySamples."""

    task: BodyTask
    canvases: tuple[Size, ...] = ()

    @property
    def buckets(self) -> tuple[Size, ...]:
        """Those of the samples."""
        return self.canvases

    def keeper(self, samples: SampleMaker) -> BodyKeeper | None:
        """Latents, where colours do not change."""
        assert isinstance(samples, BodySamples)
        return None if samples.options.colours.active else BodyKeeper(samples, self.encoders)

    def encode(self, samples: Batch) -> BodyBatch:
        """What the task takes; the loss counts outside the hands. Of kept examples there are latents already."""
        if "raw_x_0" in samples:
            x_0, canvas = (self.encoders.standardised(samples[name]) for name in ("raw_x_0", "raw_canvas"))
        else:
            x_0, canvas = (self.encoders.latents(samples[name]) for name in ("rgb", "canvas"))
        return BodyBatch(
            x_0=x_0,
            eps=samples["eps"],
            t=samples["t"],
            context=self.encoders.contexts(samples["ids"]).float(),
            hint=hint(samples["skeleton"], samples["hands"]),
            canvas=canvas,
            kept=samples["kept"],
            region=~samples["kept"],
        )

    def draw(self, samples: Batch, steps: int, seed: int) -> Drawn:
        """Bodies painted around the true hands, the kept region shrinking as at run time."""
        height, width = samples["hands"].shape[1:]
        body, factor = self.settings.on_canvas(width, height).body, self.settings.latent.factor
        cells = [mask_table([hand > 0], steps, "expansion", body, factor) for hand in samples["hands"].cpu().numpy()]
        kept = Kept(
            self.encoders.latents(samples["canvas"]), torch.from_numpy(np.stack(cells)).to(samples["canvas"].device)
        )
        x_0 = sample_bodies(
            self.task.model, hint(samples["skeleton"], samples["hands"]), self.encoders.contexts(samples["plain"]),
            self._empty(samples["skeleton"].device), self.settings, steps, self.settings.defaults.guidance, seed,
            kept,
        )  # fmt: skip
        given = (samples[name].cpu().numpy() for name in ("skeleton", "canvas"))
        return Drawn((*given, to_uint8(self.encoders.pictures(x_0)), samples["rgb"].cpu().numpy()))


def hint(skeleton: Tensor, hands: Tensor) -> Tensor:
    """The runtime's hint [B, 4, H, W]: skeleton RGB in [0, 1], then the area to paint.

    Args:
        skeleton: uint8 [B, H, W, 3].
        hands: uint8 [B, H, W], 0 where no hand is.
    """
    return torch.cat([skeleton.permute(0, 3, 1, 2).float() / 255, (hands == 0)[:, None].float()], 1)


def overlap(a: Tensor, b: Tensor) -> Tensor:
    """bool [B, H, W] each -> float [B] in [0, 1]; two empty masks agree, 1."""
    both, either = (a & b).flatten(1).sum(1), (a | b).flatten(1).sum(1)
    return (both.float() / either.clamp_min(1)).where(either > 0, either.new_ones(()).float())
