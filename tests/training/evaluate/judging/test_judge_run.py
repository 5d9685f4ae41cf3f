"""The whole recipe on the true renders themselves, with stand-in judges: shares of 1, resumed runs, missing judges."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from support.judging import Blind, open_hand, seen
from typer.testing import CliRunner

from handfirst.engines.errors import UserError
from handfirst.training.evaluate.cli import app
from handfirst.training.evaluate.judging import hands, judges, run
from handfirst.training.evaluate.judging.held_out import held_out, render
from handfirst.training.evaluate.judging.judges import NO_MEDIAPIPE, NO_MODELS, SeenHand
from handfirst.training.evaluate.judging.paired import differences
from handfirst.training.evaluate.judging.run import Recipe, judge_all
from handfirst.training.evaluate.judging.table import Table, read_table
from handfirst.training.evaluate.score import Sampling

SIZE = 64
cached_render = functools.cache(render)
COUNT = {"people": 2, "hands": 2}


@dataclass
class Counting:
    """Sees one open hand wherever it looks, and a face in every picture; counts how often it is asked."""

    name: str = "stand-in 1"
    asked: int = 0

    def hands(self, square: NDArray[np.uint8]) -> tuple[SeenHand, ...]:
        """One."""
        self.asked += 1
        return (seen(open_hand(80, 80)),)

    def face(self, image: NDArray[np.uint8], points: NDArray[np.float64]) -> bool:
        """Always."""
        return True

    def body(self, image: NDArray[np.uint8], shoulders: NDArray[np.float64]) -> bool:
        """Always."""
        return True


@pytest.fixture(scope="module")
def renders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("renders")
    for pose in held_out(**COUNT):
        Image.fromarray(cached_render(pose, SIZE).rgb).save(folder / f"{pose.key}.png")
    return folder


@pytest.fixture(autouse=True)
def _rendered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "render", cached_render)


def judge_with(monkeypatch: pytest.MonkeyPatch, found: dict, renders: Path, out: Path) -> Table:
    absent = {name: "not here" for name in judges.NAMES if name not in found}
    monkeypatch.setattr(run, "open_judges", lambda _: (found, absent))
    recipe = Recipe(pictures=renders, system="renders", sampling=Sampling(50), **COUNT)
    return judge_all(recipe, out, lambda *_: None)


def rows_of(table: Table, judge: str) -> dict[tuple[str, str], float | None]:
    return {(row.set, row.metric): row.value for row in table.rows if row.judge.startswith(judge)}


def test_the_renders_are_as_good_as_themselves(monkeypatch, renders, tmp_path) -> None:
    table = judge_with(monkeypatch, {"mediapipe": Counting()}, renders, tmp_path)
    rows = [row for row in table.rows if row.judge == "stand-in 1"]
    assert {row.metric for row in rows if row.set == "people"} == set(hands.METRICS)
    assert {row.set for row in rows} == {"people", "people-bust", "hands", "hands-palm", "hands-back"}
    for row in table.rows:
        if row.value is not None and row.renders is not None:
            assert row.value == row.renders
            assert row.share == (1 if row.renders else None)
    found = rows_of(table, "stand-in")
    assert found["people", "face_found"] == found["people", "body_found"] == found["hands", "hand_found"] == 1
    assert rows_of(table, "pixels")["people", "background_colour"] == 1
    assert rows_of(table, "pixels")["hands", "mask_iou"] is None  # pictures of others come without masks
    assert (table.rows[0].system, set(table.judged)) == ("renders", {table.rows[0].digest})
    assert read_table(tmp_path / "table.json") == table


def test_a_second_run_asks_for_what_is_missing_alone(monkeypatch, renders, tmp_path) -> None:
    judge = Counting()
    table = judge_with(monkeypatch, {"mediapipe": judge}, renders, tmp_path)
    asked = judge.asked
    # four pictures with their renders: a hand's has one square, a person's one for each whole hand
    assert asked >= 2 * 2 + 2
    assert judge_with(monkeypatch, {"mediapipe": judge}, renders, tmp_path).rows == table.rows
    assert judge.asked == asked
    (tmp_path / "looks" / "mediapipe" / "hand-001.json").unlink()
    assert judge_with(monkeypatch, {"mediapipe": judge}, renders, tmp_path).rows == table.rows
    assert judge.asked == asked + 2  # the picture and its render


def test_a_judge_is_added_later_and_what_it_saw_stays(monkeypatch, renders, tmp_path) -> None:
    first = judge_with(monkeypatch, {}, renders, tmp_path)
    assert rows_of(first, "mediapipe")["hands", "hand_found"] is None
    assert {row.why for row in first.rows if row.judge == "mediapipe"} == {"not here"}
    both = judge_with(monkeypatch, {"rtmlib": Blind()}, renders, tmp_path)
    assert rows_of(both, "stand-in 0")["hands", "hand_found"] == 0
    again = judge_with(monkeypatch, {}, renders, tmp_path)  # in the environment without it
    assert rows_of(again, "stand-in 0")["hands", "hand_found"] == 0


def test_a_folder_holds_one_bundle(monkeypatch, renders, tmp_path) -> None:
    judge_with(monkeypatch, {}, renders, tmp_path)
    with pytest.raises(UserError, match="another bundle"):
        judge_all(Recipe(**COUNT), tmp_path, lambda *_: None)


def test_two_versions_of_a_judge_are_not_mixed(monkeypatch, renders, tmp_path) -> None:
    judge_with(monkeypatch, {"mediapipe": Counting()}, renders, tmp_path)
    file = tmp_path / "looks" / "mediapipe" / "person-000.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"judge": "stand-in 2"}))
    with pytest.raises(UserError, match="stand-in 1 and by stand-in 2"):
        judge_with(monkeypatch, {"mediapipe": Counting()}, renders, tmp_path)
    file.write_text("{")
    with pytest.raises(UserError, match="delete it"):
        judge_with(monkeypatch, {"mediapipe": Counting()}, renders, tmp_path)


def test_a_picture_of_another_size_is_named(monkeypatch, renders, tmp_path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for file in renders.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    Image.new("RGB", (32, 32)).save(folder / "person-001.png")
    with pytest.raises(UserError, match=r"person-001.png: expected 64 x 64 pixels, got 32 x 32"):
        judge_with(monkeypatch, {}, folder, tmp_path / "out")
    with pytest.raises(UserError, match="found none of the list's"):
        judge_all(Recipe(pictures=_one_picture(tmp_path / "other"), **COUNT), tmp_path / "out-2", lambda *_: None)


def _one_picture(folder: Path) -> Path:
    folder.mkdir()
    Image.new("RGB", (32, 32)).save(folder / "cat.png")
    return folder


def test_the_command_says_what_is_missing_and_joins_tables(monkeypatch, renders, tmp_path) -> None:
    monkeypatch.setattr(judges, "find_spec", lambda _: None)
    common = tmp_path / "common.json"
    arguments = ["judge", "--pictures", str(renders), "--people", "1", "--hands", "0", "--resamples", "0"]
    for name in ("one", "two"):
        done = CliRunner().invoke(
            app, [*arguments, "--system", name, "--out", str(tmp_path / name), "--into", str(common)]
        )
        assert done.exit_code == 0, done.output
    assert NO_MEDIAPIPE in done.output and NO_MODELS in done.output
    table = read_table(common)
    assert {row.system for row in table.rows} == {"one", "two"}
    assert len({row.key for row in table.rows}) == len(table.rows)


def test_differences_are_taken_pose_by_pose(monkeypatch, renders, tmp_path) -> None:
    """Of pictures with themselves nothing differs; of a judge that sees nothing, all that the other saw."""
    judge_with(monkeypatch, {"mediapipe": Counting(), "rtmlib": Blind()}, renders, tmp_path / "a")
    judge_with(monkeypatch, {"mediapipe": Blind(), "rtmlib": Blind()}, renders, tmp_path / "b")
    same = differences(tmp_path / "a", tmp_path / "a", Sampling(0))
    assert {each.judge for each in same} == {"mediapipe", "rtmlib", "pixels"}
    assert all(each.value == 0 for each in same)
    other = {(d.set_, d.judge, d.metric): d for d in differences(tmp_path / "a", tmp_path / "b", Sampling(0))}
    assert other["hands", "mediapipe", "hand_found"].value == 1
    assert other["people", "rtmlib", "hand_found"].value == 0
    assert ("people", "mediapipe", "fingers_right") not in other  # the second found none to judge
    with pytest.raises(UserError, match="found none"):
        differences(tmp_path / "a", tmp_path / "nothing", Sampling(0))
