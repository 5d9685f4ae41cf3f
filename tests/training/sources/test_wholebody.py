"""COCO-WholeBody's own questions: several people, parts that were not labelled, COCO's tools as a reference."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from support.datasets import write_wholebody

from handfirst.training.data.record import Record
from handfirst.training.data.sources.opening import open_source

LEFT, RIGHT = slice(91, 112), slice(112, 133)


def changed(folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    path = folder / "annotations/coco_wholebody_val_v1.0.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    return path


def test_a_hand_that_is_not_valid_is_not_known(tmp_path: Path) -> None:
    write_wholebody(tmp_path, count=1)
    changed(tmp_path, lambda data: data["annotations"][0].update(lefthand_valid=False))
    (record,) = open_source("wholebody", tmp_path)
    assert isinstance(record, Record)
    assert not record.people[0, LEFT].any() and (record.people[0, RIGHT, 2] == 1).all()


def test_points_without_a_label_are_not_known_and_hidden_ones_are(tmp_path: Path) -> None:
    write_wholebody(tmp_path, count=1)

    def change(data: dict[str, Any]) -> None:
        points = data["annotations"][0]["righthand_kpts"]
        points[0:3] = [0, 0, 0]
        points[3:6] = [7, 9, 1]

    changed(tmp_path, change)
    (record,) = open_source("wholebody", tmp_path)
    assert isinstance(record, Record)
    assert record.people[0, 112:114].tolist() == [[0, 0, 0], [7.5, 9.5, 1]]


def test_people_are_those_that_cocos_tools_find(tmp_path: Path) -> None:
    """Two people in the first picture, their annotations far apart."""
    write_wholebody(tmp_path, count=3)

    def change(data: dict[str, Any]) -> None:
        first = data["images"][0]["id"]
        other = json.loads(json.dumps(data["annotations"][1]))
        data["annotations"].insert(0, other | {"id": 7, "image_id": first})

    coco = COCO(str(changed(tmp_path, change)))
    for record in open_source("wholebody", tmp_path):
        assert isinstance(record, Record)
        found = coco.loadAnns(coco.getAnnIds(imgIds=int(record.key.removeprefix("val-"))))
        assert len(found) == len(record.people) == int(record.attributes["people"])
        for annotation, person in zip(found, record.people, strict=True):
            body = np.array(annotation["keypoints"]).reshape(17, 3)
            seen = body[:, 2] > 0
            np.testing.assert_allclose(person[:17][seen, :2], body[seen, :2] + 0.5, atol=1e-3)
            assert ((person[:17, 2] > 0) == seen).all()
