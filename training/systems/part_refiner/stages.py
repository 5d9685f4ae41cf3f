"""Both stages on shards: stacked samples to batches, through the frozen autoencoder; pictures to look at.

Knows nothing about optimizers, processes or files.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from handfirst.runtime.systems.part_refiner.settings import PartRefinerSettings
from handfirst.training.loop.feed import Draws
from handfirst.training.loop.journal import to_uint8
from handfirst.training.loop.samples import Batch
from handfirst.training.loop.task import Drawn, Stage
from handfirst.training.models.encoders import Encoders
from handfirst.training.systems.part_refiner.options import InpaintOptions, RefineOptions, RefinerOptions
from handfirst.training.systems.part_refiner.sampling import sample_parts, sample_rings
from handfirst.training.systems.part_refiner.tasks import InpaintBatch, InpaintTask, RefineBatch, RefineTask, told


@dataclass(frozen=True, eq=False)
class OnShards(Stage):
    """A stage with the frozen networks that turn its samples into batches."""

    task: RefineTask | InpaintTask
    encoders: Encoders
    settings: PartRefinerSettings

    def to(self, device: torch.device) -> None:
        """The encoders; the loop takes the task there itself."""
        self.encoders.to(device)

    @property
    def train_steps(self) -> int:
        """T of the schedule."""
        return self.settings.schedule.train_steps

    @abstractmethod
    def kept(self, samples: Batch) -> Batch:
        """What of samples stays the same from step to step: latents float16, pictures uint8; see kept.py."""

    @abstractmethod
    def again(self, kept: Batch, draws: Draws, options: RefinerOptions) -> RefineBatch | InpaintBatch:
        """Rows of `kept` as the task takes them, with noise, time and dropout drawn now."""


class RefineStage(OnShards):
    """Stage 1 on samples of RefineSamples."""

    task: RefineTask

    def encode(self, samples: Batch) -> RefineBatch:
        """What the task takes."""
        return RefineBatch(
            x_0=self.encoders.latents(samples["rgb"]),
            eps=samples["eps"],
            t=samples["t"],
            pose=_unit(samples["pose"]),
            reference=self.encoders.latents(samples["reference"]),
            reference_pose=_unit(samples["reference_pose"]),
            picture=samples["picture"],
            referenced=samples["referenced"],
        )

    def kept(self, samples: Batch) -> Batch:
        """x_0, reference, picture float16; pose, reference_pose uint8 [B, 3, H, W]."""
        return {
            "x_0": self.encoders.latents(samples["rgb"]).half(),
            "reference": self.encoders.latents(samples["reference"]).half(),
            "pose": _channels_first(samples["pose"]),
            "reference_pose": _channels_first(samples["reference_pose"]),
            "picture": samples["picture"].half(),
        }

    def again(self, kept: Batch, draws: Draws, options: RefinerOptions) -> RefineBatch:
        """A reference is dropped with both of what is told of it."""
        assert isinstance(options, RefineOptions)
        x_0, count = kept["x_0"].float(), len(kept["x_0"])
        referenced = (~draws.chance(options.reference_dropout, count)).float()
        return RefineBatch(
            x_0=x_0,
            eps=draws.normal(*x_0.shape),
            t=draws.integers(self.train_steps, count),
            pose=kept["pose"].float() / 255,
            reference=kept["reference"].float(),
            reference_pose=kept["reference_pose"].float() / 255,
            picture=kept["picture"].float() * referenced[:, None, None, None],
            referenced=referenced,
        )

    def draw(self, samples: Batch, steps: int, seed: int) -> Drawn:
        """Parts drawn from noise by reference and pose, between what they are given and the truth."""
        x_0 = sample_parts(self.task.model, self.encode(samples), self.settings, steps, seed)
        given = (samples[name].cpu().numpy() for name in ("reference", "pose"))
        return Drawn((*given, to_uint8(self.encoders.pictures(x_0)), samples["rgb"].cpu().numpy()))


@dataclass(frozen=True, eq=False)
class InpaintStage(OnShards):
    """Stage 2 on samples of InpaintSamples."""

    task: InpaintTask
    ids: Tensor | None
    """Token ids of the empty prompt, then of each kind's, int64 [1 + kinds, L]; None: the model reads no text."""

    def encode(self, samples: Batch) -> InpaintBatch:
        """What the task takes."""
        rows = samples["told"]
        return InpaintBatch(
            x_0=self.encoders.latents(samples["rgb"]),
            eps=samples["eps"],
            t=samples["t"],
            ring=samples["ring"].float(),
            masked=self.encoders.latents(samples["masked"]),
            context=self._contexts(torch.where(rows, samples["kind"] + 1, 0)),
            told=rows,
        )

    def kept(self, samples: Batch) -> Batch:
        """x_0, masked float16; ring uint8; kind int64."""
        return {
            "x_0": self.encoders.latents(samples["rgb"]).half(),
            "masked": self.encoders.latents(samples["masked"]).half(),
            "ring": samples["ring"],
            "kind": samples["kind"],
        }

    def again(self, kept: Batch, draws: Draws, options: RefinerOptions) -> InpaintBatch:
        """With words or without."""
        assert isinstance(options, InpaintOptions)
        x_0, count = kept["x_0"].float(), len(kept["x_0"])
        told_now = ~draws.chance(options.text_dropout, count)
        return InpaintBatch(
            x_0=x_0,
            eps=draws.normal(*x_0.shape),
            t=draws.integers(self.train_steps, count),
            ring=kept["ring"].float(),
            masked=kept["masked"].float(),
            context=self._contexts(torch.where(told_now, kept["kind"] + 1, 0)),
            told=told_now,
        )

    def draw(self, samples: Batch, steps: int, seed: int) -> Drawn:
        """Rings painted around the true part, between what is given and the truth."""
        batch, kinds, model = self.encode(samples), samples["kind"], self.task.model
        without, words = self._contexts(torch.zeros_like(kinds)), self._contexts(kinds + 1)
        if without is None or words is None:
            nobody = torch.zeros_like(batch.told)
            without, words = told(model, nobody), told(model, ~nobody)
        factor = self.settings.latent.factor
        free = samples["dilated"][:, None, ::factor, ::factor]
        x_0 = sample_rings(
            model, batch.ring, batch.masked, batch.x_0, free, (without, words), self.settings, steps, seed
        )
        given, truth = (samples[name].cpu().numpy() for name in ("masked", "rgb"))
        return Drawn((given, to_uint8(self.encoders.pictures(x_0)), truth))

    def _contexts(self, prompts: Tensor) -> Tensor | None:
        """Places in `ids`, int64 [B] -> [B, L, D]; the few prompts are read anew, which is nothing beside a step."""
        if self.ids is None:
            return None
        return self.encoders.contexts(self.ids.to(prompts.device)).float()[prompts]


def _channels_first(pictures: Tensor) -> Tensor:
    """uint8 [B, H, W, 3] -> [B, 3, H, W]."""
    return pictures.permute(0, 3, 1, 2).contiguous()


def _unit(rgb: Tensor) -> Tensor:
    """uint8 [B, H, W, 3] -> [B, 3, H, W] in [0, 1]."""
    return rgb.permute(0, 3, 1, 2).float() / 255
