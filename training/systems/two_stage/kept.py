"""What stage 2 keeps of an example: the latents of its picture and of its canvas, its skeleton, its hands.

Latents are kept as the autoencoder gives them, in its own precision and before they are standardised, so that a step
computes what it would have computed. Of the paper's 36,500 examples in bfloat16 that is 2.4 GB; skeleton and hands, of
rendered people, add 35 kB to each. At 512 pixels a core makes 6.6 times as many samples of them as out of the shards
(benchmarks/results/data-throughput.json).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

from handfirst.runtime.diffusion.masks import kept_radii
from handfirst.runtime.pose.skeleton import draw_skeleton
from handfirst.runtime.systems.two_stage.settings import TwoStageSettings
from handfirst.training.data.augment import recolour
from handfirst.training.data.example import Example
from handfirst.training.data.images import decode_image, encode_png
from handfirst.training.data.store import key_of
from handfirst.training.loop.kept import hash_of, packed, unpacked
from handfirst.training.loop.machine import computes_in
from handfirst.training.loop.samples import Sample
from handfirst.training.models.encoders import Encoders
from handfirst.training.systems.two_stage.conditions import cell_reach, hands_alone, to_pose
from handfirst.training.systems.two_stage.options import BodyOptions
from handfirst.training.systems.two_stage.samples import BodySamples, noise, prompt_ids

VERSION = b"body 1"
_PIXEL = np.zeros((1, 1, 3), np.uint8)


@dataclass(frozen=True, eq=False)
class BodyKeeper:
    """See Keeper; pictures whose colours change cannot be kept."""

    samples: BodySamples
    encoders: Encoders

    @property
    def identity(self) -> bytes:
        settings = self.samples.settings
        said = {
            "body": settings.body.model_dump(mode="json"),
            "factor": settings.latent.factor,
            "buckets": self.samples.buckets,
            "precision": computes_in(self.samples.options.precision),
        }
        return key_of(VERSION, json.dumps(said, sort_keys=True).encode(), hash_of(self.encoders.autoencoder))

    def prepare(self, example: Example, place: int) -> Sample:
        settings = self.samples.settings
        fitted = self.samples.fitted(example)
        hands = fitted.hands > 0
        height, width = hands.shape
        return {
            "rgb": fitted.rgb,
            "canvas": hands_alone(fitted.rgb, hands, settings.body),
            "skeleton": _packed(draw_skeleton(to_pose(fitted.keypoints, width, height), width, height)),
            "hands": _packed(hands.astype(np.uint8)),
            "reach": cell_reach(hands, settings).astype(np.float16),  # whole numbers below 2048
            "caption": np.array(example.caption),
        }

    def finish(self, prepared: Sequence[Sample], device: torch.device) -> list[bytes]:
        kept: list[bytes] = [b""] * len(prepared)
        for shape in {sample["rgb"].shape for sample in prepared}:
            places = [i for i, sample in enumerate(prepared) if sample["rgb"].shape == shape]
            shown = [torch.from_numpy(prepared[i][name]) for name in ("rgb", "canvas") for i in places]
            raw = _bits(self.encoders.raw(torch.stack(shown).to(device)).cpu())
            for i, x_0, canvas in zip(places, raw[: len(places)], raw[len(places) :], strict=True):
                rest = {name: array for name, array in prepared[i].items() if name not in ("rgb", "canvas")}
                kept[i] = packed({"x_0": x_0, "canvas": canvas, **rest})
        return kept

    def drawer(self) -> BodyDrawer:
        return BodyDrawer(self.samples.settings, self.samples.options, self.samples.tokenizer)


@dataclass(frozen=True)
class BodyDrawer:
    """Samples as BodySamples makes them, with raw latents "raw_x_0" and "raw_canvas" [C, h, w] for rgb and canvas."""

    settings: TwoStageSettings
    options: BodyOptions
    tokenizer: Tokenizer

    def draw(self, kept: bytes, rng: np.random.Generator) -> Sample:
        settings = self.settings
        t = int(rng.integers(settings.schedule.train_steps))
        text = bool(rng.random() >= self.options.text_dropout)
        recolour(_PIXEL, self.options.colours, rng)  # draws what it draws for the picture
        found = unpacked(kept)
        hands = decode_image(found["hands"].tobytes(), colour=False)
        return {
            "raw_x_0": _floats(found["x_0"]),
            "raw_canvas": _floats(found["canvas"]),
            "skeleton": decode_image(found["skeleton"].tobytes()),
            "hands": hands,
            "kept": (found["reach"] <= self._radius(t, min(hands.shape)))[None],
            "eps": noise(rng, settings, *hands.shape),
            "t": np.array(t),
            **prompt_ids(self.tokenizer, str(found["caption"]), settings, text),
        }

    def _radius(self, t: int, side: int) -> int:
        """How far the kept region reaches beyond the hands; see `kept_cells`."""
        if self.options.kept_region == "precise":
            return 0
        steps = self.settings.schedule.train_steps
        return int(kept_radii(steps, self.settings.body, side)[steps - 1 - t])


def _bits(latents: Tensor) -> NDArray[np.generic]:
    """[N, C, h, w] as NumPy has it; bfloat16, which it has not, as the same bits in uint16."""
    return latents.view(torch.uint16).numpy() if latents.dtype == torch.bfloat16 else latents.numpy()


def _floats(bits: NDArray[np.generic]) -> NDArray[np.float32]:
    """The inverse, in float32."""
    if bits.dtype == np.uint16:
        return (bits.astype(np.uint32) << 16).view(np.float32)
    return bits.astype(np.float32)


def _packed(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.frombuffer(encode_png(picture), np.uint8)
