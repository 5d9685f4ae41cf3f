"""What holds for each source: the truth comes back, always in the same order; nothing is left out in silence."""

from __future__ import annotations

import pickle
import re
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from support.dataset_truth import Written
from support.datasets import write_hagrid, write_interhand, write_wholebody
from support.more_datasets import write_folder, write_humansd, write_reinterhand

from handfirst.training.data.procedural.writer import read_dataset, render_dataset
from handfirst.training.data.record import Record, Skipped, Source
from handfirst.training.data.sources.opening import KINDS, open_source
from handfirst.training.data.sources.pictures import ImageFile

Writer = Callable[..., Written]
WRITERS: dict[str, tuple[str, Writer]] = {
    "hagrid-v2": ("hagrid", write_hagrid),
    "hagrid-v1": ("hagrid", partial(write_hagrid, version=1)),
    "interhand": ("interhand", write_interhand),
    "reinterhand": ("reinterhand", write_reinterhand),
    "humansd": ("humansd", write_humansd),
    "wholebody": ("wholebody", write_wholebody),
    "folder": ("folder", write_folder),
}


def read(source: Source) -> tuple[list[Record], Counter[str]]:
    entries = list(source)
    return [e for e in entries if isinstance(e, Record)], Counter(e.reason for e in entries if isinstance(e, Skipped))


def test_every_kind_is_tested() -> None:
    assert {kind for kind, _ in WRITERS.values()} | {"shards"} == set(KINDS)


@pytest.mark.parametrize("name", WRITERS)
def test_truth_comes_back(name: str, tmp_path: Path) -> None:
    kind, write = WRITERS[name]
    written = write(tmp_path, count=6, seed=11)
    records, skips = read(open_source(kind, tmp_path))
    assert not skips
    assert len(records) == len(written.truths) == 6
    for record in records:
        assert isinstance(record.image, ImageFile)
        truth = written.truths[record.image.path.stem]
        assert record.source == kind
        assert record.people.dtype == np.float32
        np.testing.assert_array_equal(record.people[..., 2], truth.people[..., 2])
        np.testing.assert_allclose(record.people, truth.people, atol=2e-3)
        assert {k: record.attributes[k] for k in truth.attributes} == truth.attributes
        error = np.abs(record.image.read().astype(int) - truth.sample.rgb)
        assert error.mean() < 8  # the files are lossy; a picture with red and blue swapped differs by more


@pytest.mark.parametrize("name", WRITERS)
def test_what_cannot_be_used_is_counted(name: str, tmp_path: Path) -> None:
    kind, write = WRITERS[name]
    written = write(tmp_path, count=3, seed=3, broken=True)
    records, skips = read(open_source(kind, tmp_path))
    assert skips == written.skips
    assert {r.image.path.stem for r in records if isinstance(r.image, ImageFile)} == set(written.truths)


@pytest.mark.parametrize("name", WRITERS)
def test_keys_are_unique_the_same_again_and_fit_for_shards(name: str, tmp_path: Path) -> None:
    kind, write = WRITERS[name]
    write(tmp_path, count=4, seed=5, broken=True)
    first, second = ([r.key for r in read(open_source(kind, tmp_path))[0]] for _ in range(2))
    assert first == second
    assert len(set(first)) == len(first) == 4
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+", key) for key in first)


@pytest.mark.parametrize("name", WRITERS)
def test_records_travel_to_another_process(name: str, tmp_path: Path) -> None:
    kind, write = WRITERS[name]
    write(tmp_path, count=2, seed=5)
    for record in read(open_source(kind, tmp_path))[0]:
        data = pickle.dumps(record)
        assert len(data) < 20_000 + record.people.nbytes
        again = pickle.loads(data)
        assert again.image == record.image
        np.testing.assert_array_equal(again.people, record.people)


def test_shards_come_back_as_they_were_rendered(tmp_path: Path) -> None:
    render_dataset("hand", tmp_path, 3, 48, workers=1, shard_size=2, progress=False)
    records, skips = read(open_source("shards", tmp_path))
    assert not skips
    for record, sample in zip(records, read_dataset(tmp_path), strict=True):
        assert record.caption == sample.caption
        assert record.attributes == sample.attributes
        np.testing.assert_array_equal(record.image.read(), sample.rgb)
        assert record.masks is not None
        np.testing.assert_array_equal(record.masks.read(), sample.hands)
        np.testing.assert_array_equal(record.people[0, :, :2], sample.keypoints[:, :2])
        assert set(np.unique(record.people[0, :, 2])) == {0, 1}
        assert pickle.loads(pickle.dumps(record)).image == record.image
