"""The rows that table I compares with, from the weights of a run of `train demo`: one network, no hands before it.

    text only       the base UNet alone, told nothing but the prompt
    single stage    base and ControlNet with the whole skeleton, hands included, nothing kept
    repaired        the single stage's hands painted again, HandRefiner's way (arXiv 2311.17957): a crop around each,
                    noised by STRENGTH, drawn by the run's own hand generator from the true key points; outside the
                    hand's outline the crop is kept at every step

The first two are one training: it goes on from the run's body network with nothing kept and everything to be painted
(so that it never sees hands that are there already), residuals dropped now and then. The outline is that of capsules
around the true points, where HandRefiner has a mesh that it estimates: an advantage for this row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import CLIPTextModel

from handfirst.runtime.diffusion.masks import dilate, reduce_mask
from handfirst.runtime.diffusion.noise import Streams, part_seed
from handfirst.runtime.diffusion.sampler import Known, Latents, Prediction, denoise
from handfirst.runtime.diffusion.table import Schedule, StepTable, ddim_table
from handfirst.runtime.geometry import paste
from handfirst.runtime.running import host
from handfirst.runtime.systems.part_refiner.capsule import draw_hands
from handfirst.runtime.systems.two_stage.canvas import Canvas
from handfirst.runtime.systems.two_stage.hands import Hand, find_hands
from handfirst.runtime.systems.two_stage.request import Request
from handfirst.training.data.procedural.sample import Sample
from handfirst.training.evaluate.judging.held_out import HeldOut, seen_through
from handfirst.training.loop.machine import autocast, pick_device
from handfirst.training.models.encoders import normalise
from handfirst.training.recipe import bodies, text
from handfirst.training.recipe.pool import to_pictures
from handfirst.training.recipe.recipe import train, train_autoencoder
from handfirst.training.recipe.run import (
    Recipe,
    body_data,
    load_tensor,
    polished_autoencoder,
    trained_body,
    trained_hand,
)
from handfirst.training.systems.two_stage.body_outpainter import BodyOutpainter
from handfirst.training.systems.two_stage.conditions import to_pose
from handfirst.training.systems.two_stage.options import BodyPhase
from handfirst.training.systems.two_stage.stages import hint
from handfirst.training.systems.two_stage.tasks import BodyTask

STRENGTH = 0.55
"""HandRefiner's default."""
AROUND = 6
"""Pixels of a crop by which the outline is widened."""
FEATHER = 2.0
Picture = NDArray[np.uint8]


def train_single_stage(run: Recipe, single: Recipe, minutes: float, steps: int | None = None) -> None:
    """Trains `single`/body from the run's body network; the same call goes on with it.

    Raises:
        StoppedError: the phase was asked to stop.
    """
    torch.manual_seed(run.seed)
    settings, data = train_autoencoder(run), body_data(run)
    options = run.options("body", BodyPhase).model_copy(update={"minutes": minutes, "steps": steps})
    model = trained_body(run.config, run.out).train()
    alone = replace(data, reach=torch.full_like(data.reach, torch.inf), hands=torch.zeros_like(data.hands))
    train(single, BodyTask(model, settings, options), bodies.body_feed(alone, settings, options), options)


@dataclass(frozen=True)
class Baselines:
    """Painters of the three rows: held-out poses in, pictures of the body's size out.

    Attributes:
        run: whose autoencoder, words and hand generator they use.
        single: what `train_single_stage` wrote.
        steps: of DDIM; guidance and eta are the model's defaults.
    """

    run: Recipe
    single: Recipe
    steps: int

    @property
    def size(self) -> int:
        """Side of a picture in pixels."""
        return int(self._settings.body.height)

    def text_only(self, poses: Sequence[HeldOut], samples: Sequence[Sample]) -> list[Picture]:
        """From the prompt alone."""
        return self._paint(poses, samples, 0.0)

    def single_stage(self, poses: Sequence[HeldOut], samples: Sequence[Sample]) -> list[Picture]:
        """From prompt and skeleton."""
        return self._paint(poses, samples, 1.0)

    def repaired(self, poses: Sequence[HeldOut], samples: Sequence[Sample], before: Sequence[Picture]) -> list[Picture]:
        """The single stage's pictures `before`, each with its hands painted again."""
        return [self._repair(*each) for each in zip(poses, samples, before, strict=True)]

    @torch.no_grad()
    def _paint(self, poses: Sequence[HeldOut], samples: Sequence[Sample], strength: float) -> list[Picture]:
        latent, size = self._settings.latent, self.size
        skeletons = torch.from_numpy(np.stack([bodies.one_skeleton(s.keypoints, size) for s in samples]))
        shown = hint(skeletons, torch.zeros(len(samples), size, size, dtype=torch.uint8)).to(pick_device())
        weight = torch.full((2 * len(samples),), strength, device=pick_device())

        def network(x: torch.Tensor, t: torch.Tensor, both: torch.Tensor) -> torch.Tensor:
            prediction: torch.Tensor = self._body(x, t, both, torch.cat([shown, shown]), weight)
            return prediction

        shape = (latent.channels, size // latent.factor, size // latent.factor)
        table = self._table(self._settings.defaults.guidance)
        streams = Streams([part_seed(pose.seed, "body") for pose in poses], shape, table.noisy)
        prompts = [sample.caption for sample in samples]
        return list(self._denoised(network, prompts, streams.x_T, table, streams))

    @torch.no_grad()
    def _repair(self, pose: HeldOut, sample: Sample, picture: Picture) -> Picture:
        for hand in find_hands(Request(to_pose(sample.keypoints, len(picture)), sample.caption, seed=pose.seed),
                               self._settings):  # fmt: skip
            picture = self._repainted(hand, picture)
        return picture

    def _repainted(self, hand: Hand, picture: Picture) -> Picture:
        """One crop anew, put back inside its outline."""
        settings, crop = self._settings, hand.crop
        region = self._outline(hand)
        c_p = torch.from_numpy(hand.c_p[None]).to(pick_device())

        def network(x: torch.Tensor, t: torch.Tensor, both: torch.Tensor) -> torch.Tensor:
            prediction: torch.Tensor = self._hand(torch.cat([x, torch.cat([c_p, c_p])], 1), t, both)[0]
            return prediction

        x_c = self._encoded(seen_through(picture, crop.similarity, crop.size))
        table = self._table(settings.defaults.hand_guidance).last(max(1, round(STRENGTH * self.steps)))
        streams = Streams([hand.seed], x_c.shape[1:], table.noisy)
        eps_0 = streams.x_T
        kept = ~reduce_mask(region, settings.latent.factor, "max")
        known = Known(x_c, eps_0, np.broadcast_to(kept, (1, len(table), *kept.shape)))
        a = float(table.alpha_bar[0])
        x_t = np.float32(a**0.5) * x_c + np.float32((1 - a) ** 0.5) * eps_0
        (drawn,) = self._denoised(network, [hand.prompt], x_t, table, streams, known)
        canvas = Canvas.empty(settings.body).place(drawn, region, crop.similarity)
        return paste(picture, canvas.image, canvas.mask, FEATHER)

    def _outline(self, hand: Hand) -> NDArray[np.bool_]:
        """Where the crop's hands are by their true points, bool [S, S]."""
        points = [(hand.crop.similarity.apply(hand.found.hands.hand(side)), side) for side in hand.crop.sides]
        return dilate(draw_hands(points, hand.crop.size)[..., 0] > 0, AROUND)

    def _denoised(
        self, network: Any, prompts: Sequence[str], x_t: Latents, table: StepTable, streams: Streams,
        known: Known | None = None,
    ) -> NDArray[np.uint8]:  # fmt: skip
        """The runtime's loop around a torch network (x_t, t, contexts; the empty prompt first): uint8 [B, S, S, 3]."""
        context = text.encode_contexts(self._text, text.encode_ids(self._tokenizer, self._settings.text, prompts))
        both = torch.cat([self._empty.expand_as(context), context]).float().to(pick_device())

        def predict(x_t: Latents, t: int) -> Prediction:
            x = torch.from_numpy(x_t).to(pick_device())
            with autocast(x.device):
                out = network(torch.cat([x, x]), torch.full((2 * len(x),), t, device=x.device), both)
            unconditional, conditional = out.float().cpu().numpy().reshape(2, *x_t.shape)
            return Prediction(conditional, unconditional)

        *_, last = denoise(predict, x_t, table, known, streams.fresh)
        return to_pictures(self._codec, torch.from_numpy(host(last.x_t)), self._settings.latent)

    def _encoded(self, picture: Picture) -> Latents:
        """Standardised latents [1, C, h, w]."""
        image = torch.from_numpy(picture.astype(np.float32))[None].permute(0, 3, 1, 2) / 127.5 - 1
        latents: Latents = normalise(self._codec.encode(image).float(), self._settings.latent).numpy()
        return latents

    def _table(self, guidance: float) -> StepTable:
        return ddim_table(Schedule(self._settings.schedule), self.steps, guidance, self._settings.defaults.eta)

    @cached_property
    def _settings(self) -> Any:
        return train_autoencoder(self.run)

    @cached_property
    def _body(self) -> BodyOutpainter:
        return trained_body(self.single.config, self.single.out).to(pick_device())

    @cached_property
    def _hand(self) -> Any:
        return trained_hand(self.run.config, self.run.out).to(pick_device())

    @cached_property
    def _codec(self) -> Any:
        return polished_autoencoder(self.run.config, self.run.out)

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return Tokenizer.from_file(str(self.run.out / "tokenizer.json"))

    @cached_property
    def _text(self) -> CLIPTextModel:
        return CLIPTextModel.from_pretrained(self.run.out / "text" / "encoder", local_files_only=True)

    @cached_property
    def _empty(self) -> torch.Tensor:
        return load_tensor(self.run.out / "arrays" / "empty.pt")
