"""The sheet of a judged folder, pixel by pixel of pictures that are known; the table; the command that makes both."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from handfirst.engines.errors import UserError
from handfirst.training.evaluate.cli import app
from handfirst.training.evaluate.judging import judges, readme
from handfirst.training.evaluate.judging.held_out import HeldOut, held_out, render
from handfirst.training.evaluate.judging.painting import Painted, read_painted, write_painted
from handfirst.training.evaluate.judging.table import Row

POSES = held_out(4, 6)
HAND, PERSON = 8, 10
WHITE = (255, 255, 255)


def colour(pose: HeldOut, what: int) -> tuple[int, int, int]:
    """One of its own: what 0 is the picture's, 1 the render's."""
    return 10 + POSES.index(pose), 100 * what, 7


def flat(rgb: tuple[int, int, int], size: int) -> np.ndarray:
    return np.full((size, size, 3), rgb, np.uint8)


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder of flat pictures of all POSES but the second person; a hand's mask is its left half."""
    monkeypatch.setattr(readme, "COLUMNS", 3)
    monkeypatch.setattr(readme, "WIDTH", 3 * HAND)
    monkeypatch.setattr(readme, "render", lambda pose, size: SimpleNamespace(rgb=flat(colour(pose, 1), size)))
    mask = np.arange(HAND) < np.full((HAND, 1), HAND // 2)
    for pose in POSES:
        size = PERSON if pose.kind == "people" else HAND
        painted = Painted(flat(colour(pose, 0), size), mask=mask if pose.kind == "hands" else None)
        if pose.key != "person-001":
            write_painted(tmp_path / "pictures", pose.key, painted)
    return tmp_path


def test_hands_stand_above_masks_and_renders_and_people_below(judged: Path) -> None:
    sheet = readme.sheet_of(judged, POSES)
    assert sheet.shape == (2 * 3 * HAND + 2 * PERSON, 3 * HAND, 3)
    for i, pose in enumerate(pose for pose in POSES if pose.kind == "hands"):
        y, x = 3 * HAND * (i // 3), HAND * (i % 3)
        drawn, mask, true = np.split(sheet[y : y + 3 * HAND, x : x + HAND], 3)
        assert (drawn == colour(pose, 0)).all() and (true == colour(pose, 1)).all()
        assert (mask[:, : HAND // 2] == WHITE).all() and not mask[:, HAND // 2 :].any()
    people = sheet[2 * 3 * HAND :]
    for i, pose in enumerate((POSES[0], POSES[2])):  # as many as are as wide as the hands
        made, true = np.split(people[:, PERSON * i : PERSON * (i + 1)], 2)
        assert (made == colour(pose, 0)).all() and (true == colour(pose, 1)).all()
    assert (people[:, 2 * PERSON :] == WHITE).all()


def test_a_row_ends_where_the_pictures_do(judged: Path) -> None:
    hands = [pose for pose in POSES if pose.kind == "hands"]
    sheet = readme.sheet_of(judged, hands[:4])
    assert sheet.shape == (2 * 3 * HAND, 3 * HAND, 3)
    assert (sheet[3 * HAND : 4 * HAND, :HAND] == colour(hands[3], 0)).all()
    assert (sheet[3 * HAND :, HAND:] == WHITE).all()
    assert readme.sheet_of(judged, POSES[:1]).shape == (2 * PERSON, PERSON, 3)
    with pytest.raises(UserError, match="found none"):
        readme.sheet_of(judged, POSES[1:2])


def test_what_was_painted_is_read_as_it_was_written(tmp_path: Path) -> None:
    image, mask = np.arange(192, dtype=np.uint8).reshape(8, 8, 3), np.eye(8, dtype=bool)
    write_painted(tmp_path, "a", Painted(image, given=255 - image, kept=mask))
    found = read_painted(tmp_path, "a")
    assert found is not None and found.given is not None and found.kept is not None and found.mask is None
    assert np.array_equal(found.image, image) and np.array_equal(found.given, 255 - image)
    assert np.array_equal(found.kept, mask)
    assert read_painted(tmp_path, "b") is None


def test_the_table_tells_whole_sets_beside_their_renders() -> None:
    def row(set_: str, judge: str, metric: str, **figures: object) -> Row:
        return Row.model_validate(
            {"system": "a", "digest": "d", "set": set_, "judge": judge, "metric": metric, "better": "higher"} | figures
        )

    rows = [
        row("hands", "MediaPipe 0.10", "hand_found", value=0.5, low=0.25, high=0.75, renders=1.0),
        row("hands-palm", "MediaPipe 0.10", "hand_found", value=0.4),
        row("people", "pixels", "top_colour", value=0.8125),
        row("people", "rtmlib", "face_found", why="not here"),
    ]
    assert readme.markdown(rows).splitlines() == [
        "| measure | drawn (95 % interval) | true renders |",
        "|---|---|---|",
        "| hands: hands found ↑ (MediaPipe) | 0.500 (0.250 .. 0.750) | 1.000 |",
        "| people: top as named ↑ | 0.812 | - |",
    ]


def test_the_command_writes_the_sheet_and_prints_the_table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(judges, "find_spec", lambda _: None)
    (pose,) = held_out(1, 0)
    true = render(pose, 64).rgb
    (tmp_path / "made").mkdir()
    Image.fromarray(true[::-1]).save(tmp_path / "made" / f"{pose.key}.png")
    words = ["judge", "--pictures", str(tmp_path / "made"), "--people", "1", "--hands", "0", "--resamples", "0"]
    words += ["--out", str(tmp_path / "out"), "--markdown", "--sheet"]
    done = CliRunner().invoke(app, [*words, str(tmp_path / "sheet.png")])
    assert done.exit_code == 0, done.output
    assert "| people: background as named ↑ |" in done.output and "not measured" not in done.output
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert np.array_equal(sheet, np.concatenate([true[::-1], true]))
    refused = CliRunner().invoke(app, [*words, str(tmp_path / "sheet.gif")])
    assert isinstance(refused.exception, UserError) and ".png or .jpg" in str(refused.exception)
