"""The table: shares, reasons, joining, reading back; and the digest of what decides a bundle's pictures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from handfirst.engines.bundle import demo_bundle_path
from handfirst.engines.errors import UserError
from handfirst.engines.manifest import read_manifest
from handfirst.training.evaluate.judging.table import Judged, Row, Table, model_digest, read_table, row_of, write_table
from handfirst.training.evaluate.measure import Figure

WHERE = ("two-stage", "d1", "people", "MediaPipe 1")


def row(value: float | None = 0.6, renders: float | None = 0.8, where: tuple[str, str, str, str] = WHERE) -> Row:
    made = None if value is None else Figure(value, 0.5, 0.7, 30)
    true = None if renders is None else Figure(renders, None, None, 30)
    return row_of(where, "hand_found", "higher", made, true, "no judge")


def test_a_figure_stands_beside_that_of_the_renders() -> None:
    assert row().share == pytest.approx(0.75)
    assert (row(renders=None).share, row(renders=0).share) == (None, None)
    assert (row().value, row().low, row().high, row().n, row().why) == (0.6, 0.5, 0.7, 30, None)


def test_no_figure_has_a_reason() -> None:
    assert (row(None).value, row(None).why, row(None).n) == (None, "no judge", 0)
    with pytest.raises(ValueError, match='either a value or a "why"'):
        Row.model_validate(row().model_dump() | {"why": "both"})


def test_joining_keeps_one_row_of_each_thing() -> None:
    """A newer MediaPipe's figure takes the place of the older one's; other bundles stay."""
    facts = Judged(system="two-stage", name="a", model=None, settings={}, machine={})
    first = Table(
        judged={"d1": facts}, rows=(row(None, where=(*WHERE[:3], "mediapipe")), row(0.1, where=("x", *WHERE[1:])))
    )
    both = first.joined(Table(judged={"d2": facts}, rows=(row(), row(where=("two-stage", "d2", *WHERE[2:])))))
    assert [(r.system, r.digest, r.value) for r in both.rows] == [
        ("two-stage", "d1", 0.6), ("x", "d1", 0.1), ("two-stage", "d2", 0.6),
    ]  # fmt: skip
    assert set(both.judged) == {"d1", "d2"}


def test_what_could_not_be_had_this_time_stays_as_it_was() -> None:
    facts = Judged(system="two-stage", name="a", model=None, settings={"people": 24}, machine={})
    first = Table(judged={"d1": facts}, rows=(row(0.6),))
    later = Table(judged={"d1": facts}, rows=(row(None, where=(*WHERE[:3], "mediapipe")),))
    assert [r.value for r in first.joined(later).rows] == [0.6]
    assert [r.value for r in later.joined(first).rows] == [0.6]


def test_figures_of_another_number_of_pictures_go() -> None:
    few, all_ = (
        Judged(system="two-stage", name="a", model=None, settings={"people": n}, machine={}) for n in (24, 384)
    )
    first = Table(judged={"d1": few}, rows=(row(0.6), row(0.2, where=("two-stage", "d2", *WHERE[2:]))))
    later = Table(judged={"d1": all_}, rows=(row(None, where=(*WHERE[:3], "mediapipe")),))
    assert [(r.digest, r.value) for r in first.joined(later).rows] == [("d2", 0.2), ("d1", None)]


def test_a_file_comes_back_as_it_was_or_says_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    write_table(path, Table(rows=(row(),)))
    assert read_table(path).rows == (row(),)
    path.write_text('{"rows": [{"system": 3}]}')
    with pytest.raises(UserError, match="not a table of judged figures"):
        read_table(path)
    with pytest.raises(UserError, match="cannot be read"):
        read_table(tmp_path / "none.json")


def test_what_decides_pictures_and_nothing_else_changes_the_digest() -> None:
    content = (demo_bundle_path() / "manifest.json").read_bytes()
    plain = json.loads(content)

    def digest(**changes: object) -> str:
        return model_digest(read_manifest(json.dumps(plain | changes).encode(), "test"))

    first = model_digest(read_manifest(content, "test"))
    assert digest(name="other", decisions={}, training={}) == first
    counted = json.loads(content)["engines"]
    for entry in counted.values():
        entry["flops"] = []
    assert digest(engines=counted) == first
    files = json.loads(content)["files"]
    golden, graph = plain["golden"], plain["engines"]["mask_head"]["file"]
    files[golden]["sha256"] = "0" * 64
    assert digest(files=files) == first
    files[graph]["sha256"] = "0" * 64
    assert digest(files=files) != first
    settings = json.loads(content)["settings"]
    settings["defaults"]["steps"] += 1
    assert digest(settings=settings) != first
