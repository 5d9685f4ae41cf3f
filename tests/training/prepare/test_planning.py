"""The plan: what is left out, what is drawn, what is remembered."""

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from support.painted import Painted, person

from handfirst.engines.errors import UserError
from handfirst.training.data.prepare.plan import PARTS, Plan, check_same, folder, read_plan
from handfirst.training.data.prepare.planning import make_plan, missing
from handfirst.training.data.prepare.pool import make_pool
from handfirst.training.data.prepare.settings import Origin, PrepareSettings
from handfirst.training.data.prepare.trial import Trial, judge, known_so_far
from handfirst.training.data.record import Record


def settings(*counts: int | None, **changes) -> PrepareSettings:
    origins = tuple(Origin(kind="folder", path=f"source {i}", count=n) for i, n in enumerate(counts))
    return PrepareSettings(**{"stage": "hand", "origins": origins, "size": 64, "val": 5, "shard": 8, **changes})


def quiet(_label: str, _count: int) -> None:
    """No bar."""


def planned(out: Path, chosen: PrepareSettings, sources: list) -> Plan:
    """The plan, all candidates looked at by this process."""
    pool, trial = make_pool(out, chosen, sources, quiet), Trial(out, chosen)
    while len(places := missing(pool, known_so_far(trial, pool)[0])):
        for block in trial.ask(places):
            judge(trial, block)
    return make_plan(pool, trial, *known_so_far(trial, pool))


def planned_keys(plan) -> dict[str, list[str]]:
    return {part: [r.key for s in plan.shards if s.part == part for r in plan.records(plan.slice(s))] for part in PARTS}


def test_every_picture_is_drawn_once_or_left_out_with_a_reason(tmp_path: Path) -> None:
    plan = planned(tmp_path / "out", settings(None), [Painted(100)])
    source = plan.sources["painted"]
    assert source.found == 100
    assert source.skipped == {"no picture file": 10, "more than one person": 10}
    assert (source.looked_at, source.failed) == (80, {"not a picture": 10})
    assert source.drawn == {"train": 65, "val": 5}
    keys = planned_keys(plan)
    wanted = {f"{i:06d}" for i in range(100) if i % 10 not in (0, 3, 7)}
    assert {*keys["train"], *keys["val"]} == wanted
    assert len(keys["train"]) + len(keys["val"]) == len(wanted)
    lines = [json.loads(line) for line in (folder(plan.out) / "skipped.jsonl").read_text().splitlines()]
    assert {line["key"] for line in lines} == {f"picture {i}" for i in range(7, 100, 10)} | {
        f"{i:06d}" for i in range(3, 100, 10)
    }
    failed = [json.loads(line) for line in (folder(plan.out) / "failed.jsonl").read_text().splitlines()]
    assert {line["key"] for line in failed} == {f"{i:06d}" for i in range(0, 100, 10)}
    assert {line["reason"] for line in failed} == {"not a picture"}


def test_as_many_as_were_asked_for_although_some_fail(tmp_path: Path) -> None:
    """Of 200 pictures 160 are candidates and every eighth of these is broken: 40 and 5 are drawn all the same."""
    plan = planned(tmp_path / "out", settings(40), [Painted(200)])
    source = plan.sources["painted"]
    assert source.drawn == {"train": 40, "val": 5} and plan.count("train") == 40
    assert 45 + source.failed["not a picture"] <= source.looked_at < 70
    drawn = [record.key for shard in plan.shards for record in plan.records(plan.slice(shard))]
    assert len(set(drawn)) == 45 and not any(key.endswith("0") for key in drawn)


def test_records_survive_the_disk(tmp_path: Path) -> None:
    plan = planned(tmp_path / "out", settings(None), [Painted(20, clean=True)])
    given = {r.key: r for r in Painted(20, clean=True) if isinstance(r, Record)}
    for shard in plan.shards:
        for record in plan.records(plan.slice(shard)):
            np.testing.assert_array_equal(record.people, given[record.key].people)
            np.testing.assert_array_equal(record.image.read(), given[record.key].image.read())
            assert record.attributes == given[record.key].attributes


def test_counts_weigh_the_sources_and_every_shard_is_a_mixture(tmp_path: Path) -> None:
    sources = [Painted(300, clean=True), Painted(300, name="other", clean=True)]
    plan = planned(tmp_path / "out", settings(60, 180, val=0, shard=80), sources)
    assert {label: s.drawn["train"] for label, s in plan.sources.items()} == {"painted": 60, "other": 180}
    for shard in plan.shards:
        names = [record.source for record in plan.records(plan.slice(shard))]
        assert len(names) == 80
        assert 8 <= names.count("painted") <= 32  # 20 expected, standard deviation 3.2


def test_a_source_that_comes_twice_is_numbered(tmp_path: Path) -> None:
    plan = planned(tmp_path / "out", settings(None, None), [Painted(10), Painted(10)])
    assert list(plan.sources) == ["painted", "painted-2"]


def test_nobody_is_learnt_from_and_held_out(tmp_path: Path) -> None:
    """40 users of 5 pictures, 20 held out: four whole users."""
    plan = planned(tmp_path / "out", settings(None, val=20), [Painted(200, clean=True, users=40)])
    users = {
        p: {r.attributes["user"] for s in plan.shards if s.part == p for r in plan.records(plan.slice(s))}
        for p in PARTS
    }
    assert len(users["val"]) == 4 and not users["train"] & users["val"]


@pytest.mark.parametrize(
    ("source", "changes", "reason"),
    [
        (Painted(10, masks=False), {}, "no hand mask; --sam FOLDER makes masks"),
        (Painted(10, points=False), {}, "no key points; --key-points mediapipe looks for them"),
        (Painted(10, caption=None), {"stage": "body"}, "no caption; --captioner FOLDER makes captions"),
        (Painted(0), {}, "no pictures found in source 0"),
    ],
)
def test_nothing_of_use_is_one_line_and_leaves_nothing(source, changes, reason: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=reason):
        make_pool(tmp_path / "out", settings(None, **changes), [source], quiet)
    assert list(tmp_path.iterdir()) == []


def test_other_settings_are_refused_and_named(tmp_path: Path) -> None:
    planned(tmp_path / "out", settings(None), [Painted(10)])
    plan = read_plan(tmp_path / "out")
    assert plan is not None
    check_same(plan.out, plan.settings, settings(None))
    with pytest.raises(UserError, match=r"size 64 \(now 128\), seed 0 \(now 3\)"):
        check_same(plan.out, plan.settings, settings(None, size=128, seed=3))


def test_a_damaged_plan_is_refused(tmp_path: Path) -> None:
    planned(tmp_path / "out", settings(None), [Painted(10)])
    (tmp_path / "out" / "plan" / "plan.json").write_text('{"version": 1}')
    with pytest.raises(UserError, match="no plan of version 3"):
        read_plan(tmp_path / "out")


def test_memory_does_not_grow_with_the_records(tmp_path: Path) -> None:
    """2,000 records more cost less than 120 bytes each; their key points alone are 1,596."""
    assert person((1, 1), None).nbytes == 1596
    peaks = []
    for count in (500, 2500):
        tracemalloc.start()
        make_pool(tmp_path / str(count), settings(100), [Painted(count, clean=True)], quiet)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 2000 * 120


def test_damaged_records_are_one_line(tmp_path: Path) -> None:
    plan = planned(tmp_path / "out", settings(None), [Painted(10)])
    (folder(plan.out) / "train.bin").write_bytes(b"nothing that was written here")
    with pytest.raises(UserError, match=r"the plan in .* cannot be read"):
        list(plan.records(plan.slice(plan.shards[0])))
