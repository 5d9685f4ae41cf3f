"""Both stages from arrays on disk: every example is drawn and encoded once as it is and once mirrored.

On a CPU the frozen autoencoder costs as much as a step of a small network: what does not change from step to step is
made once and mapped from disk. Noise, time and dropout are drawn anew at every step; colours, rings and shifts are
those of the copy. Knows nothing about the loop.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from handfirst.engines.files import atomic_path
from handfirst.training.data.arrays import mirror_keypoints, mirror_words
from handfirst.training.data.example import Example
from handfirst.training.data.shards import Shards
from handfirst.training.loop.feed import Draws, StepFeed
from handfirst.training.loop.samples import Batch, Sample, TrainingSamples
from handfirst.training.loop.task import Stage
from handfirst.training.systems.part_refiner.samples import InpaintSamples, RefineSamples
from handfirst.training.systems.part_refiner.stages import OnShards

AT_ONCE = 32
"""Examples that are encoded together, and lost when a kill comes between."""
DONE = "done.json"
KEPT, STEPS = 11, 12
"""Second words of the seeds: of the copies, and of the steps."""

Update = Callable[[int, int], None]


def kept_feed(stage: Stage, samples: TrainingSamples, folder: Path, update: Update) -> StepFeed:
    """Batches of a stage of the part refiner, out of arrays that are made first, as far as they are not there.

    Args:
        samples: of the stage; those of its options that drop something are asked at every step.
        folder: of the arrays, which may be there in part.
        update: told (examples made, all of them).
    """
    assert isinstance(stage, OnShards) and isinstance(samples.make, RefineSamples | InpaintSamples)
    rows = _rows(stage, samples, folder, update)
    options, count = samples.make.options, len(next(iter(rows.values())))

    def make(step: int) -> object:
        device = next(stage.task.parameters()).device
        draws = Draws(device, options.seed, STEPS, step)
        picked = draws.integers(count, options.batch).cpu().numpy()
        few = {name: torch.from_numpy(array[picked]).to(device) for name, array in rows.items()}
        return stage.again(few, draws, options)

    return StepFeed(make, epoch=count)


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


def _rows(
    stage: OnShards, samples: TrainingSamples, folder: Path, update: Update
) -> dict[str, NDArray[np.float16] | NDArray[np.uint8]]:
    """Arrays by name, two rows an example, mapped from disk."""
    total = sum(len(shards) for shards in samples.sources)
    folder.mkdir(parents=True, exist_ok=True)
    done = json.loads((folder / DONE).read_text()) if (folder / DONE).is_file() else 0
    arrays = {file.stem: np.load(file, mmap_mode="r+") for file in folder.glob("*.npy")} if done else {}
    for first in range(done, total, AT_ONCE):
        last = min(first + AT_ONCE, total)
        for name, part in _encoded(stage, samples, first, last).items():
            if name not in arrays:
                shape = (2 * total, *part.shape[1:])
                arrays[name] = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", part.dtype, shape)
            arrays[name][2 * first : 2 * last] = part
            arrays[name].flush()
        with atomic_path(folder / DONE) as temporary:
            temporary.write_text(json.dumps(last))
        update(last, total)
    return arrays


@torch.no_grad()
def _encoded(stage: OnShards, samples: TrainingSamples, first: int, last: int) -> dict[str, NDArray[np.generic]]:
    drawn = list(_drawn(samples, first, last))
    stacked: Batch = {name: torch.from_numpy(np.stack([each[name] for each in drawn])) for name in drawn[0]}
    device = next(stage.task.parameters()).device
    kept = stage.kept({name: tensor.to(device) for name, tensor in stacked.items()})
    return {name: tensor.cpu().numpy() for name, tensor in kept.items()}


def _drawn(samples: TrainingSamples, first: int, last: int) -> Iterator[Sample]:
    """Examples first .. last - 1 of all sources, each as it is and mirrored."""
    for place in range(first, last):
        example = _example(list(samples.sources), place)
        for turn, each in enumerate((example, mirrored(example))):
            yield samples.make.draw(each, np.random.default_rng((samples.seed, KEPT, 2 * place + turn)))


def _example(sources: list[Shards], place: int) -> Example:
    for shards in sources:
        if place < len(shards):
            return shards.read(place)
        place -= len(shards)
    raise IndexError(place)
