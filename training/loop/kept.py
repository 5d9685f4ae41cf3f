"""What is computed of each example once and kept on disk: latents of pictures that do not change from step to step.

    RUN/latents.sqlite     by a hash of the example, of the networks that made them and of how

Every process fills in its share of what is missing, before the first step; training then reads no pictures at all.
Knows nothing about what is kept: a Keeper does.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader, Dataset

from handfirst.engines.errors import UserError
from handfirst.engines.installed import usable_cores
from handfirst.runtime.cli.bars import Throughput
from handfirst.training.data.example import Example
from handfirst.training.data.shards import Shards
from handfirst.training.data.store import Store, key_of
from handfirst.training.loop.samples import TRAINING, Order, Pick, Sample, alone

FILE = "latents.sqlite"
TOGETHER = 8
"""Examples that are encoded at once."""


class Keeper(Protocol):
    """What a stage keeps of its examples; picklable but for `finish`."""

    @property
    def identity(self) -> bytes:
        """A hash of all that the kept bytes follow from, but for the example."""
        ...

    def prepare(self, example: Example, place: int) -> Sample:
        """In a process of the CPU: what the networks are shown, and what else is kept.

        Args:
            place: of the example among those of all sources, for what is drawn for it once and for all.
        """
        ...

    def finish(self, prepared: Sequence[Sample], device: torch.device) -> list[bytes]:
        """Past the networks, of each what is kept."""
        ...


class DrawingKeeper(Keeper, Protocol):
    """A Keeper of what every step's samples are made of."""

    def drawer(self) -> Drawer:
        """What makes samples of kept bytes, without any network."""
        ...


class Drawer(Protocol):
    """Makes samples for training of what was kept; picklable."""

    def draw(self, kept: bytes, rng: np.random.Generator) -> Sample:
        """The same sample as of the example itself, but for latents in the place of pictures."""
        ...


@dataclass
class KeptSamples(Dataset[Sample]):
    """Samples by their place in the run, out of a store. See TrainingSamples."""

    sources: Sequence[Shards]
    mixture: Order
    make: Drawer
    seed: int
    store: Store
    identity: bytes

    def __getitem__(self, place: int) -> Sample:
        """
        Raises:
            UserError: what was kept is gone.
        """
        kept = kept_bytes(self.store, example_key(self.identity, self.sources, self.mixture.pick(place)))
        return self.make.draw(kept, np.random.default_rng((self.seed, TRAINING, place)))


def kept_bytes(store: Store, key: bytes) -> bytes:
    """What is kept under a key.

    Raises:
        UserError: it is gone.
    """
    if (kept := store.get(key)) is None:
        raise UserError(f"{store.path}: latents are missing; run the same command again to make them")
    return kept


def packed(arrays: Sample) -> bytes:
    """Arrays by name as bytes."""
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]  # none of them is called allow_pickle
    return file.getvalue()


def unpacked(kept: bytes) -> Sample:
    """The inverse."""
    with np.load(io.BytesIO(kept), allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def hash_of(network: nn.Module) -> bytes:
    """16 bytes that follow from a network's weights."""
    digest = blake2b(digest_size=16)
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.digest()


def every(sources: Sequence[Shards]) -> list[Pick]:
    """All examples, by their place."""
    return [Pick(i, k) for i, shards in enumerate(sources) for k in range(len(shards))]


def example_key(identity: bytes, sources: Sequence[Shards], pick: Pick) -> bytes:
    """Of an example in its shard, as long as that file is as it is."""
    shards = sources[pick.source]
    file = shards.files[int(shards.shard[pick.example])]
    stat = file.stat()
    state = f"{file.absolute()} {stat.st_size} {stat.st_mtime_ns}".encode()
    return key_of(identity, state, str(shards.keys[pick.example]).encode())


def fill(
    folder: Path,
    keeper: Keeper,
    sources: Sequence[Shards],
    accelerator: Accelerator,
    workers: int,
    show: bool,
) -> tuple[Store, bytes]:
    """Keeps every example of the sources that is not kept yet; all processes have their share of it.

    Returns:
        The store, and the keeper's identity.
    """
    store, identity = Store(folder / FILE), keeper.identity
    mine = list(enumerate(every(sources)))[accelerator.process_index :: accelerator.num_processes]
    missing = [(place, pick) for place, pick in mine if store.get(example_key(identity, sources, pick)) is None]
    accelerator.wait_for_everyone()  # all have looked before anybody writes
    if missing:
        loader = DataLoader(
            _Missing(sources, missing, keeper), TOGETHER, num_workers=min(workers, usable_cores()), collate_fn=list,
            worker_init_fn=alone,
        )  # fmt: skip
        shown = None if show and accelerator.is_main_process else False
        with Throughput("latents", len(mine), len(mine) - len(missing), show=shown) as bar:
            for number, prepared in enumerate(loader):
                some = missing[number * TOGETHER : (number + 1) * TOGETHER]
                with accelerator.autocast():
                    kept = keeper.finish(prepared, accelerator.device)
                store.put(dict(zip((example_key(identity, sources, pick) for _, pick in some), kept, strict=True)))
                bar.advance(len(some))
    accelerator.wait_for_everyone()
    return store, identity


@dataclass
class _Missing(Dataset[Sample]):
    sources: Sequence[Shards]
    missing: Sequence[tuple[int, Pick]]
    keeper: Keeper

    def __len__(self) -> int:
        return len(self.missing)

    def __getitem__(self, index: int) -> Sample:
        place, pick = self.missing[index]
        return self.keeper.prepare(self.sources[pick.source].read(pick.example), place)
