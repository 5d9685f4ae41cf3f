"""From a source to shards: what is in them, what was rejected, what it looks like."""

import dataclasses
import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import webdataset
from support.painted import RADIUS, Painted, discs
from support.preparing import COUNT, run, settings

from handfirst.engines.errors import UserError
from handfirst.training.data.example import MEMBERS, Example, decode
from handfirst.training.data.prepare.prepare import prepare
from handfirst.training.data.prepare.report import TINTS, draw_example
from handfirst.training.data.sources.pictures import MaskFile


def read(out: Path, part: str = "train") -> list[Example]:
    """All examples of a part, as WebDataset itself reads them."""
    shards = [str(path) for path in sorted((out / part).glob("*.tar"))]
    return [
        decode(found["__key__"], {name: found[name] for name in MEMBERS})
        for found in webdataset.WebDataset(shards, shardshuffle=False)
    ]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A data set made without interruption, by one process."""
    out = tmp_path_factory.mktemp("whole") / "out"
    run(out)
    return out


def test_examples_are_crops_of_their_pictures(whole: Path) -> None:
    """A hand of 18 pixels, a square of 27: a disc of radius 9 x 64 / 27 about the middle, and key points to match."""
    examples = [e for e in read(whole) if e.attributes["side"] != "both"]
    assert examples
    y, x = np.mgrid[:64, :64] + 0.5
    away = np.hypot(x - 32, y - 32)
    for example in examples:
        label = 1 if example.attributes["side"] == "left" else 2
        assert (example.hands[away < RADIUS * 64 / 27 - 2] == label).all()
        assert not example.hands[away > RADIUS * 64 / 27 + 2].any()
        first = 91 if label == 1 else 112
        assert np.flatnonzero(example.keypoints[:, 2]).tolist() == list(range(first, first + 21))
        np.testing.assert_allclose(example.keypoints[first, :2], [32, 32], atol=0.02)


def test_pixels_are_those_of_the_picture(whole: Path) -> None:
    """Against OpenCV's own resampling of the same square, within what JPEG costs noise."""
    given = {r.key: r for r in Painted(COUNT) if hasattr(r, "image")}
    for example in [e for e in read(whole) if e.attributes["side"] == "left"][:5]:
        record = given[example.key.split("-")[1]]
        centre, scale = record.people[0, 91, :2], 64 / 27
        # OpenCV centres pixel i at i
        move = np.c_[np.eye(2) * scale, 32 - scale * centre - 0.5 + scale / 2]
        wanted = cv2.warpAffine(record.image.read(), move, (64, 64), borderMode=cv2.BORDER_REPLICATE)
        assert np.abs(example.rgb.astype(float) - wanted).mean() < 4


def test_what_fails_is_counted(whole: Path) -> None:
    """60 pictures: 6 unusable, 6 of two people, 6 broken; of the others one example each."""
    report = json.loads((whole / "prepare.json").read_text())
    source = report["sources"]["painted"]
    assert source["skipped"] == {"no picture file": 6, "more than one person": 6}
    assert (source["looked_at"], source["failed"]) == (48, {"not a picture": 6})
    assert "painted: 6 of 48 pictures that were looked at failed; 6: not a picture" in report["remarks"]
    parts = [report[part]["sources"]["painted"] for part in ("train", "val")]
    assert sum(part["pictures"] for part in parts) == sum(part["examples"] for part in parts) == 42
    assert all(part["skipped"] == {} for part in parts)
    assert report["train"]["examples"] == len(read(whole))
    sides = Counter(e.attributes["side"] for e in read(whole))
    assert report["train"]["sources"]["painted"]["side"] == dict(sides)
    assert sides["both"] == sum(e.attributes["hand_px"].count("and") for e in read(whole)) > 0


def test_other_options_are_refused(whole: Path) -> None:
    with pytest.raises(UserError, match=r"size 64 \(now 96\)"):
        run(whole, size=96)


def test_both_hands_where_all_are_wanted(tmp_path: Path) -> None:
    """Ten pictures: six with hands apart give two each, two with hands that meet and two with one hand give one."""
    report = run(tmp_path / "out", Painted(10, clean=True), hands="all", val=0)
    assert report["train"]["sources"]["painted"]["side"] == {"left": 8, "right": 6, "both": 2}


def test_one_hand_is_left_as_often_as_right(tmp_path: Path) -> None:
    """Of 60 pictures with two hands apart, 30 expected; 15 is four standard deviations off."""
    source = [r for r in Painted(100, clean=True) if int(r.key) % 5 not in (1, 2)]
    report = prepare(tmp_path / "out", settings(val=0), lambda: [_Some(source)], 1, show=False)
    side = report["train"]["sources"]["some"]["side"]
    assert side["left"] + side["right"] == 60 and 15 < side["left"] < 45


@dataclasses.dataclass
class _Some:
    records: list
    name: str = "some"

    def __iter__(self):
        return (dataclasses.replace(record, source="some") for record in self.records)


def test_bodies_keep_all_points_and_both_hands(tmp_path: Path) -> None:
    run(tmp_path / "out", Painted(20, clean=True), stage="body", val=0)
    for example in read(tmp_path / "out"):
        two = example.attributes["side"] == "both"
        assert set(np.unique(example.hands)) == ({0, 1, 2} if two else {0, 1})
        assert (example.keypoints[[5, 6], 2] == 1).all()
        for label, middle in ((1, 91), (2, 112)) if two else ((1, 91),):
            x, y = example.keypoints[middle, :2].astype(int)
            assert example.hands[y, x] == label


def test_crops_that_leave_their_picture_are_rejected(tmp_path: Path) -> None:
    """A hand about (119, 45): its square of 27 lies 12.5 / 27 = 46 % outside 120 pixels."""
    record = next(iter(Painted(1, clean=True)))
    people = record.people.copy()
    people[0, 91:112, :2] += np.array([119, 45]) - people[0, 91, :2]
    people[0, 112:] = 0
    source = _Some([dataclasses.replace(record, people=people, masks=discs((119, 45), None))])
    with pytest.raises(UserError, match="none of 1 pictures is of use; 1 of them: crop leaves the picture"):
        prepare(tmp_path / "a", settings(val=0, outside=0.46), lambda: [source], 1, show=False)
    assert not (tmp_path / "a").exists()
    report = prepare(tmp_path / "b", settings(val=0, outside=0.47), lambda: [source], 1, show=False)
    assert report["train"]["examples"] == 1


def test_a_picture_without_mask_is_left_out_and_the_remedy_named(tmp_path: Path) -> None:
    source = _Some([dataclasses.replace(r, masks=None if i else r.masks) for i, r in enumerate(Painted(3, clean=True))])
    report = prepare(tmp_path / "out", settings(val=0), lambda: [source], 1, show=False)
    assert report["remarks"] == ["some: 2 pictures left out (no hand mask); --sam FOLDER makes masks"]


def test_a_mask_of_another_size_is_rejected(tmp_path: Path) -> None:
    record = next(iter(Painted(1, clean=True)))
    small = tmp_path / "small.png"
    cv2.imwrite(str(small), np.zeros((4, 4), np.uint8))
    source = _Some([dataclasses.replace(record, masks=MaskFile(small))])
    with pytest.raises(UserError, match="mask of another size than its picture"):
        prepare(tmp_path / "out", settings(val=0), lambda: [source], 1, show=False)


def test_the_sheet_has_a_row_of_six_and_its_captions(whole: Path) -> None:
    sheet = cv2.imread(str(whole / "sheet.png"))
    assert sheet.shape == (2 * (256 + 34 + 8) + 8, 6 * (256 + 8) + 8, 3)
    picture, caption = sheet[8 : 8 + 256, 8 : 8 + 256], sheet[8 + 256 : 8 + 256 + 34, 8 : 8 + 256]
    assert picture.std() > 20 and 0 < (caption < 100).mean() < 0.3


def test_a_drawn_example_is_tinted_where_its_hands_are() -> None:
    """Six tenths of the grey and four of the tint, away from outlines."""
    hands = np.zeros((64, 64), np.uint8)
    hands[:, :16], hands[:, 48:] = 1, 2
    example = Example("k", np.full((64, 64, 3), 128, np.uint8), hands, np.zeros((133, 3), np.float32), "")
    drawn = draw_example(example, 128)
    np.testing.assert_array_equal(drawn[64, 64], [128, 128, 128])
    np.testing.assert_allclose(drawn[64, 10], 0.6 * 128 + 0.4 * np.array(TINTS[1]), atol=0.5)
    np.testing.assert_allclose(drawn[64, 118], 0.6 * 128 + 0.4 * np.array(TINTS[2]), atol=0.5)
