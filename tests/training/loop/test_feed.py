"""Which process gets what, and that workers change nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from handfirst.engines.errors import UserError
from handfirst.training.data.example import Example
from handfirst.training.data.shards import Shards
from handfirst.training.loop.feed import Share, StepFeed
from handfirst.training.loop.samples import (
    HeldOutSamples,
    Mixture,
    Sample,
    TrainingSamples,
    held_out_batches,
    training_batches,
)


@dataclass(frozen=True, eq=False)
class CountedShards(Shards):
    """Examples that are only numbers."""

    def read(self, index: int) -> Example:
        if index == 999:
            raise UserError("shard.tar: cannot read the example '999': damaged")
        zeros = np.zeros((1, 1, 3), np.uint8)
        return Example(str(index), zeros, zeros[..., 0], np.zeros((133, 3), np.float32), str(index))


@dataclass
class NumberSamples:
    """A sample that says which example it came from and what its generator drew first."""

    seen: list[int] = field(default_factory=list)

    def draw(self, example: Example, rng: np.random.Generator) -> Sample:
        return {"example": np.array(int(example.key)), "draw": np.array(rng.random())}

    def fix(self, example: Example, rng: np.random.Generator, t: int) -> Sample:
        return {**self.draw(example, rng), "t": np.array(t)}


def numbers(count: int) -> Shards:
    keys = np.array([str(i) for i in range(count)])
    return CountedShards((Path("a.tar"),), keys, np.zeros(count, np.int32), np.zeros((count, 3, 2), np.int64))


def samples(count: int = 10) -> TrainingSamples:
    return TrainingSamples([numbers(count)], Mixture([count], [1.0], 0), NumberSamples(), 0)


@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.integers(0, 5), st.integers(1, 3))
def test_processes_and_parts_share_every_step_without_overlap(
    size: int, parts: int, processes: int, first: int, steps: int
) -> None:
    batch = size * parts * processes
    shares = [Share(batch, parts, processes, rank) for rank in range(processes)]
    places = sorted(place for share in shares for place in share.places(first, first + steps))
    assert places == list(range(first * batch, (first + steps) * batch))


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(UserError, match="2 processes x 3 parts divide, got 8"):
        Share(8, 3, 2, 0)


def test_going_on_at_a_step_sees_the_same_samples_with_any_workers() -> None:
    share = Share(4)
    whole = [b["draw"].tolist() for b in training_batches(samples(), share, (0, 6), 0, False)]
    rest = [b["draw"].tolist() for b in training_batches(samples(), share, (3, 6), 2, False)]
    assert rest == whole[3:]
    assert len({draw for batch in whole for draw in batch}) == 24


def test_parts_are_the_batch_in_smaller_pieces() -> None:
    whole = [b["example"].tolist() for b in training_batches(samples(), Share(6), (2, 4), 0, False)]
    parts = [b["example"].tolist() for b in training_batches(samples(), Share(6, parts=3), (2, 4), 0, False)]
    assert [x for batch in parts for x in batch] == [x for batch in whole for x in batch]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_example_is_one_line_from_a_worker_too(workers: int) -> None:
    held = HeldOutSamples(numbers(1000), NumberSamples(), 1000, 1000)
    with pytest.raises(UserError) as caught:
        list(held_out_batches(held, 100, workers))
    assert str(caught.value) == "shard.tar: cannot read the example '999': damaged"


def test_held_out_samples_are_spread_over_examples_and_times() -> None:
    held = HeldOutSamples(numbers(900), NumberSamples(), 90, 1000)
    found = [held[i] for i in range(len(held))]
    assert [int(s["example"]) for s in found] == list(range(0, 900, 10))
    times = sorted(int(s["t"]) for s in found)
    assert times[0] < 20 and times[-1] > 980
    assert max(np.diff(times)) < 3 * 1000 / 90
    assert [held[i]["draw"] for i in range(9)] == [s["draw"] for s in found[:9]]


@dataclass(frozen=True)
class Numbered:
    """A batch whose samples are their own places."""

    place: torch.Tensor
    other: torch.Tensor


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(0, 5))
def test_a_whole_batch_is_shared_as_samples_of_shards_are(processes: int, parts: int, size: int, first: int) -> None:
    batch = processes * parts * size
    whole = torch.arange(batch)
    feed = StepFeed(lambda step: Numbered(step * batch + whole, -whole))
    for rank in range(processes):
        share = Share(batch, parts, processes, rank)
        batches = feed.batches(first, share, torch.device("cpu"))
        got = [next(batches) for _ in range(2 * parts)]
        assert torch.cat([each.place for each in got]).tolist() == list(share.places(first, first + 2))
        assert all(len(each.place) == size and ((each.place + each.other) % batch == 0).all() for each in got)


def test_a_batch_that_cannot_be_cut_is_refused() -> None:
    feed = StepFeed(lambda step: [step])
    assert next(feed.batches(3, Share(4), torch.device("cpu"))) == [3]
    with pytest.raises(UserError, match="expected one process that takes its batch in one part, got 2 x 1"):
        next(feed.batches(0, Share(4, processes=2), torch.device("cpu")))
