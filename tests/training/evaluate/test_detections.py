"""The file between the two environments: what is written is read, and nothing else is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.evaluation import as_detections, random_scenes

from handfirst.engines.errors import UserError
from handfirst.training.evaluate.detections import read_detections, write_detections


def test_what_is_written_is_read(tmp_path: Path) -> None:
    scenes = random_scenes(np.random.default_rng(0), 4)
    detections = as_detections(scenes)
    write_detections(tmp_path / "d.json", detections)
    again = read_detections(tmp_path / "d.json")
    assert again == detections
    for i, scene in enumerate(scenes):
        for person, points in zip(again.pictures[f"s{i}"].people, scene.found, strict=True):
            np.testing.assert_array_equal(person.array(), points)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"format": "other"}, "format"),
        ({"points": [133]}, "points.0"),
        ({"extra": 1}, "extra"),
        ({"pictures": {"a": {"width": 0, "height": 5}}}, "pictures.a.width"),
        ({"pictures": {"a": {"width": 5, "height": 5, "hands": [{"score": 1.5, "side": "left"}]}}}, "hands.0.score"),
        (
            {"pictures": {"a": {"width": 5, "height": 5, "people": [{"score": 1, "points": [[0, 0, 0]] * 132}]}}},
            "points",
        ),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path: Path, change: dict[str, object], place: str) -> None:
    good = {"format": "handfirst-detections-1", "detector": "d", "points": [0], "pictures": {}}
    (tmp_path / "d.json").write_text(json.dumps(good | change))
    with pytest.raises(UserError, match=place) as caught:
        read_detections(tmp_path / "d.json")
    assert "\n" not in str(caught.value)


def test_numbers_that_are_none_are_refused(tmp_path: Path) -> None:
    text = '{"detector": "d", "points": [], "pictures": {"a": {"width": 5, "height": 5, "people": [{"score": NaN}]}}}'
    (tmp_path / "d.json").write_text(text)
    with pytest.raises(UserError, match="not a file of detections"):
        read_detections(tmp_path / "d.json")
