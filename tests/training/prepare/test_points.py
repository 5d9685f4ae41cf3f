"""Key points found in another environment: the step between plan and shards."""

from pathlib import Path

import numpy as np
import pytest
from support.painted import Painted, person
from support.preparing import contents, run, settings

from handfirst.engines.errors import UserError
from handfirst.training.data.prepare import prepare as prepare_step
from handfirst.training.data.prepare import trial
from handfirst.training.data.prepare.prepare import find_points
from handfirst.training.data.record import Record
from handfirst.training.data.shards import read_shard

SOURCE = Painted(20, points=False, clean=True)
MEDIAPIPE = {"key_points": "mediapipe", "val": 2}


@pytest.fixture
def finder(monkeypatch) -> None:
    """In MediaPipe's place: knows the painted pictures by their first pixel, and finds nothing in one of them."""
    known = {}
    for blind, seeing in zip(SOURCE, Painted(20, clean=True), strict=True):
        assert isinstance(blind, Record) and isinstance(seeing, Record)
        known[bytes(blind.image.read()[0, 0])] = None if seeing.key == "000004" else seeing.people[0]
    monkeypatch.setattr(trial, "open_holistic", lambda: lambda image: known[bytes(image[0, 0])])


def without_mediapipe(monkeypatch) -> None:
    monkeypatch.setattr(prepare_step, "find_spec", lambda _name: None)


def test_the_other_environment_is_named_and_its_points_are_used(finder, monkeypatch, tmp_path: Path) -> None:
    """The same shards as from a source that has the key points itself, but for the picture in which none were found."""
    without_mediapipe(monkeypatch)
    out = tmp_path / "out"
    with pytest.raises(UserError, match=r"20 pictures have no key points yet.*handfirst prepare points"):
        run(out, SOURCE, **MEDIAPIPE)
    assert find_points(out, 1, show=False) == 20
    report = run(out, SOURCE, **MEDIAPIPE)
    source = report["sources"]["painted"]
    assert (source["looked_at"], source["failed"]) == (20, {"MediaPipe found no hand": 1})
    assert source["drawn"] == {"train": 18, "val": 1}
    run(tmp_path / "given", Painted(20, clean=True), val=2)
    given = {k: m for tar in (tmp_path / "given").rglob("*.tar") for k, m in read_shard(tar)}
    found = {k: m for tar in out.rglob("*.tar") for k, m in read_shard(tar)}
    assert {key for key in given if key not in found} == {k for k in given if "-000004-" in k}
    assert all(found[key] == given[key] for key in found)


def test_where_mediapipe_is_one_command_does_it_all(finder, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(prepare_step, "find_spec", lambda _name: object())
    assert run(tmp_path / "out", SOURCE, **MEDIAPIPE)["train"]["examples"] > 10


def test_found_points_are_not_looked_for_again(finder, monkeypatch, tmp_path: Path) -> None:
    without_mediapipe(monkeypatch)
    with pytest.raises(UserError):
        run(tmp_path / "out", SOURCE, **MEDIAPIPE)
    find_points(tmp_path / "out", 1, show=False)
    before = contents(tmp_path / "out")
    monkeypatch.setattr(trial, "open_holistic", None)
    find_points(tmp_path / "out", 1, show=False)
    assert contents(tmp_path / "out") == before


def test_points_without_a_plan_say_what_comes_first(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no plan yet; run 'handfirst prepare hand'"):
        find_points(tmp_path, 1)


def test_a_body_without_hands_is_looked_at_again(finder, monkeypatch, tmp_path: Path) -> None:
    """LAION-Human's people have a body only: they need hands, and are left out where nobody looks."""
    body_only = np.where(np.arange(133)[:, None] < 17, person((1, 1), None), 0).astype(np.float32)

    class Bodies:
        name = "painted"

        def __iter__(self):
            for record in SOURCE:
                object.__setattr__(record, "people", body_only[None])
                yield record

    without_mediapipe(monkeypatch)
    with pytest.raises(UserError, match="20 of them: no hand among the key points; --key-points mediapipe"):
        prepare_step.prepare(tmp_path / "a", settings(), lambda: [Bodies()], 1, show=False)
    with pytest.raises(UserError, match="20 pictures have no key points yet"):
        prepare_step.prepare(tmp_path / "b", settings(**MEDIAPIPE), lambda: [Bodies()], 1, show=False)
