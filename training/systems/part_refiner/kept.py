"""What both stages keep of an example: its samples' latents, drawn and encoded once as it is and once mirrored.

On a CPU the frozen autoencoder costs as much as a step of a small network. Noise, time and dropout are drawn anew at
every step; colours, rings and shifts are those of the copy. Knows nothing about where it is kept.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator

from handfirst.training.data.arrays import mirror_keypoints, mirror_words
from handfirst.training.data.example import Example
from handfirst.training.data.store import key_of
from handfirst.training.loop.feed import Draws, StepFeed
from handfirst.training.loop.kept import every, example_key, fill, hash_of, kept_bytes, packed, unpacked
from handfirst.training.loop.options import ShardOptions
from handfirst.training.loop.samples import Sample, TrainingSamples
from handfirst.training.loop.task import Stage
from handfirst.training.systems.part_refiner.samples import InpaintSamples, RefineSamples
from handfirst.training.systems.part_refiner.stages import OnShards

KEPT, STEPS = 11, 12
"""Second words of the seeds: of the copies, and of the steps."""
VERSION = b"part 1"


@dataclass(frozen=True, eq=False)
class PartKeeper:
    """See Keeper; two rows an example, left and right exchanged in the second."""

    stage: OnShards
    samples: RefineSamples | InpaintSamples
    seed: int

    @property
    def identity(self) -> bytes:
        """Of what an example is drawn by; how long and how fast is learnt from it changes nothing here."""
        said = {
            "settings": self.samples.settings.model_dump(mode="json"),
            "options": self.samples.options.model_dump(mode="json", exclude=set(ShardOptions.model_fields)),
            "seed": self.seed,
        }
        return key_of(VERSION, json.dumps(said, sort_keys=True).encode(), hash_of(self.stage.encoders.autoencoder))

    def prepare(self, example: Example, place: int) -> Sample:
        copies = [
            self.samples.draw(each, np.random.default_rng((self.seed, KEPT, 2 * place + turn)))
            for turn, each in enumerate((example, mirrored(example)))
        ]
        return {name: np.stack([copy[name] for copy in copies]) for name in copies[0]}

    @torch.no_grad()
    def finish(self, prepared: Sequence[Sample], device: torch.device) -> list[bytes]:
        stacked = {name: np.concatenate([sample[name] for sample in prepared]) for name in prepared[0]}
        with torch.autocast(device.type, enabled=False):
            kept = self.stage.kept({name: torch.from_numpy(rows).to(device) for name, rows in stacked.items()})
        arrays = {name: rows.cpu().numpy() for name, rows in kept.items()}
        return [packed({name: rows[2 * i : 2 * i + 2] for name, rows in arrays.items()}) for i in range(len(prepared))]


def kept_feed(
    stage: Stage, samples: TrainingSamples, folder: Path, accelerator: Accelerator, show: bool = False
) -> StepFeed:
    """Batches of a stage of the part refiner, out of a store that is filled first, as far as it is not.

    Args:
        samples: of the stage; those of its options that drop something are asked at every step.
        folder: of the store.
        show: whether to draw a progress bar.
    """
    assert isinstance(stage, OnShards) and isinstance(samples.make, RefineSamples | InpaintSamples)
    keeper, options = PartKeeper(stage, samples.make, samples.seed), samples.make.options
    store, identity = fill(folder, keeper, samples.sources, accelerator, 0, show)
    keys = [example_key(identity, samples.sources, pick) for pick in every(samples.sources)]

    def make(step: int) -> object:
        device = next(stage.task.parameters()).device
        draws = Draws(device, options.seed, STEPS, step)
        picked = draws.integers(2 * len(keys), options.batch).tolist()
        pairs = [unpacked(kept_bytes(store, keys[row // 2])) for row in picked]
        rows = {
            name: np.stack([pair[name][row % 2] for pair, row in zip(pairs, picked, strict=True)]) for name in pairs[0]
        }
        few = {name: torch.from_numpy(array).to(device) for name, array in rows.items()}
        return stage.again(few, draws, options)

    return StepFeed(make, epoch=2 * len(keys))


def mirrored(example: Example) -> Example:
    """Left and right exchanged, in pictures, key points and words; its other one as well."""
    hands = np.array([0, 2, 1], np.uint8)[example.hands[:, ::-1]]
    return replace(
        example,
        rgb=np.ascontiguousarray(example.rgb[:, ::-1]),
        hands=hands,
        keypoints=mirror_keypoints(example.keypoints, example.rgb.shape[1]),
        caption=mirror_words(example.caption),
        attributes={name: mirror_words(words) for name, words in example.attributes.items()},
        pictures={name: np.ascontiguousarray(picture[:, ::-1]) for name, picture in example.pictures.items()},
        other=None if example.other is None else mirrored(example.other),
    )
