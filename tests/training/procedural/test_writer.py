"""Rendered data sets as shards: the same for any number of workers, read back, and resumed."""

from pathlib import Path

import numpy as np
from support.rendered import SIZE

from handfirst.training.data.procedural.sample import sample_person
from handfirst.training.data.procedural.writer import read_dataset, render_dataset


def test_shards_are_the_same_for_any_worker_count(tmp_path: Path) -> None:
    one = render_dataset("hand", tmp_path / "one", 6, 32, first_seed=9, workers=1, shard_size=4, progress=False)
    two = render_dataset("hand", tmp_path / "two", 6, 32, first_seed=9, workers=2, shard_size=4, progress=False)
    assert [p.name for p in one] == ["hand-000000.tar", "hand-000001.tar"]
    assert [p.read_bytes() for p in one] == [p.read_bytes() for p in two]


def test_shards_round_trip(tmp_path: Path) -> None:
    render_dataset("person", tmp_path, 2, SIZE, first_seed=4, workers=1, progress=False)
    loaded = list(read_dataset(tmp_path))
    assert [s.seed for s in loaded] == [4, 5]
    for sample in loaded:
        truth = sample_person(sample.seed, SIZE)
        assert np.abs(sample.rgb.astype(int) - truth.rgb.astype(int)).mean() < 3
        assert np.array_equal(sample.person_mask, truth.person_mask) and np.array_equal(sample.hands, truth.hands)
        assert np.abs(sample.depth - truth.depth).max() <= 0.01
        assert np.abs(sample.keypoints - truth.keypoints).max() <= 0.006
        assert (sample.caption, sample.attributes) == (truth.caption, truth.attributes)


def test_rendering_resumes(tmp_path: Path) -> None:
    def run(size: int = 32) -> list[Path]:
        return render_dataset("hand", tmp_path, 5, size, workers=1, shard_size=2, progress=False)

    shards = run()
    before = [p.read_bytes() for p in shards]
    shards[0].write_bytes(before[0][:2000])  # damaged
    shards[1].unlink()  # missing
    kept = shards[2].stat().st_mtime_ns
    assert [p.read_bytes() for p in run()] == before
    assert shards[2].stat().st_mtime_ns == kept, "a complete shard is not rendered again"
    assert [p.read_bytes() for p in run(size=48)] != before, "another size is another data set"
    assert not list(tmp_path.glob("*.part"))
