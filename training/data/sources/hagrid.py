"""HaGRID: people who show gestures, with MediaPipe's hand landmarks (github.com/hukenovs/hagrid).

    v2  ROOT/{hagrid_annotations,annotations}/{train,val,test}/GESTURE.json      ROOT/hagrid_dataset/GESTURE/STEM.jpg
    v1  ROOT/{ann_train_val,ann_test,ann_subsample}/GESTURE.json                 ROOT/{train_val,test}/GESTURE/STEM.jpg

A gesture's file is {STEM: {bboxes, labels, hand_landmarks (v1: landmarks), user_id, meta, (v1) leading_hand,
leading_conf}}; boxes (x, y, w, h) and landmarks (x, y) are parts of the picture's width and height. Landmarks were
found by MediaPipe and not checked by the authors: lists may be empty, and may belong to no box.
A gesture that was not downloaded is skipped entry by entry. Captions are read where there are any, line by line in
ROOT or ROOT/captions (line_captions.py). What is not known: which hand is the left one
(`sides_of`; the rule that told is in attributes["side_from"]).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.errors import UserError
from handfirst.runtime.pose.topology import SIDES, Side
from handfirst.runtime.pose.view import hand_view
from handfirst.training.data.record import Record, Skipped, Split, UnreadableError
from handfirst.training.data.sources.entry import (
    NOBODY,
    SPLITS,
    UnusableError,
    inside,
    key_of,
    numbers,
    with_hands,
)
from handfirst.training.data.sources.line_captions import read_line_captions
from handfirst.training.data.sources.pictures import ImageFile
from handfirst.training.data.sources.streams import entries

Rule = Literal["leading_hand", "order", "facing", "position"]
Floats = NDArray[np.float64]

OTHER: dict[Side, Side] = {"left": "right", "right": "left"}
NO_GESTURE = "no_gesture"
PALMS = frozenset({"four", "ok", "one", "palm", "peace", "stop", "three", "three2", "two_up"})
BACKS = frozenset({"peace_inverted", "stop_inverted", "two_up_inverted"})
"""How HaGRID's gestures face the camera, after its pictures of them; those that are shown either way are left out."""


def sides_of(boxes: Floats, labels: list[str], leading: Side | None, hand: Floats | None) -> tuple[list[Side], Rule]:
    """The side of the hand in each box.

    Key points alone cannot tell: a left palm and the back of a right hand look alike. So each rule leans on something
    else:

    - "leading_hand": the data set says which hand shows the gesture; the other one is the other hand;
    - "order": of two boxes, the one further left in the picture is the person's right hand. This is the advice of
      HaGRID's authors (github.com/hukenovs/hagrid/issues/57); crossed arms break it;
    - "facing": the gesture is shown with the palm (or the back) to the camera, so thumb and little finger tell;
    - "position": a single hand in the left half of the picture is taken for a right hand. Little more than a guess.

    How often the last two are right on HaGRID has not been measured.

    Args:
        boxes: one or two hands, [N, 4]: x, y, width, height as parts of the picture's size.
        labels: the gesture of each, "no_gesture" for none.
        leading: the hand that shows the gesture, None where it is not known.
        hand: with one box, its hand's points [21, 2] in pixels, MediaPipe's order.

    Returns:
        One side per box, and the rule that told.
    """
    gesturing = [label != NO_GESTURE for label in labels]
    if leading and (gesturing.count(True) == 1 or gesturing == [False]):
        return [leading if g else OTHER[leading] for g in gesturing], "leading_hand"
    middles = boxes[:, 0] + boxes[:, 2] / 2
    if len(boxes) == 2:
        return (["right", "left"] if middles[0] < middles[1] else ["left", "right"]), "order"
    side = facing_side(hand, labels[0]) if hand is not None else None
    if side:
        return [side], "facing"
    return ["right" if middles[0] < 0.5 else "left"], "position"


def facing_side(hand: Floats, label: str) -> Side | None:
    """The side of a hand [21, 2] whose gesture says how it faces the camera; None where it does not, or edge-on."""
    if label not in PALMS | BACKS:
        return None
    shown = "palm" if label in PALMS else "back"
    as_left = hand_view(hand, "left")
    if as_left == "side":
        return None
    return "left" if as_left == shown else "right"


SURE = 0.5  # leading_conf above which leading_hand is believed
MOST_INSIDE = 11  # of a hand's 21 points, so many must lie in a box for the box to be that hand's
FURTHEST = 2.0  # landmarks may leave the picture; beyond this they are no parts of its size

_ANNOTATIONS: tuple[tuple[str, Split], ...] = (
    ("train", "train"),
    ("ann_train_val", "train"),
    ("ann_subsample", "train"),
    ("val", "val"),
    ("test", "test"),
    ("ann_test", "test"),
)
_ANNOTATION_ROOTS = ("hagrid_annotations", "annotations", ".")
_IMAGE_ROOTS = ("hagrid_dataset", "dataset", "images", ".", "train_val", "train", "test", "val", "subsample")
_SUFFIXES = (".jpg", ".jpeg", ".png")


class Hagrid:
    """HaGRID v1 or v2, whole or in part."""

    name = "hagrid"

    def __init__(self, root: Path, splits: Sequence[Split] = SPLITS, landmarks: bool = True) -> None:
        """
        Args:
            landmarks: whether the data set's own are read; else nobody's key points are known.

        Raises:
            UserError: no annotations under `root`, or none of their pictures; captions that do not fit their names.
        """
        self.root = root
        self.landmarks = landmarks
        self.files = [(split, file) for split, file in _annotation_files(root) if split in splits]
        if not self.files:
            raise UserError(
                f"{root}: expected hagrid_annotations/{{{','.join(splits)}}}/GESTURE.json (v2) or "
                "ann_train_val/GESTURE.json (v1), found none; unzip HaGRID's annotations there"
            )
        if not any(self._images(file.stem) for _, file in self.files):
            raise UserError(
                f"{root}: expected pictures in hagrid_dataset/{self.files[0][1].stem}/ or another gesture's folder, "
                "found none; unzip HaGRID's pictures there"
            )
        gestures = {file.stem for _, file in self.files}
        self._captions = {gesture: _captions(root, gesture) for gesture in sorted(gestures)}

    def __iter__(self) -> Iterator[Record | Skipped]:
        """One annotation file after the other; of each picture's file only the header is read."""
        for split, file in self.files:
            folders, captions = self._images(file.stem), self._captions[file.stem]
            for stem, entry in entries(file):
                try:
                    record = _record(split, file.stem, stem, entry, folders, self.landmarks)
                    yield replace(record, caption=captions.get(stem))
                except (UnusableError, UnreadableError) as error:
                    yield Skipped(f"{split}/{file.stem}/{stem}", str(error))

    def _images(self, gesture: str) -> list[Path]:
        """The folders that may hold a gesture's pictures."""
        names = [self.root / base / gesture for base in _IMAGE_ROOTS] + [self.root / f"train_val_{gesture}"]
        return [folder for folder in names if folder.is_dir()]


def _captions(root: Path, gesture: str) -> dict[str, str]:
    return read_line_captions(root, gesture) or read_line_captions(root / "captions", gesture)


def _annotation_files(root: Path) -> Iterator[tuple[Split, Path]]:
    for folder, split in _ANNOTATIONS:
        for base in _ANNOTATION_ROOTS:
            for file in sorted((root / base / folder).glob("*.json")):
                yield split, file


def _record(split: Split, gesture: str, stem: str, entry: Any, folders: list[Path], known: bool) -> Record:
    if not isinstance(entry, dict):
        raise UnusableError("not an object")
    image = _image(stem, folders)
    attributes = {"gesture": gesture, "user": str(entry.get("user_id", ""))} | _meta(entry.get("meta"))
    landmarks = entry.get("hand_landmarks", entry.get("landmarks")) if known else None
    people = NOBODY
    if landmarks is not None:
        boxes, labels = _boxes(entry)
        hands = _hands(landmarks, boxes)
        people = _person(hands, boxes, labels, image.size(), _leading(entry), attributes)[None]
    return Record("hagrid", key_of(split, gesture, stem), image, people, attributes=attributes, split=split)


def _person(
    hands: dict[int, Floats],
    boxes: Floats,
    labels: list[str],
    size: tuple[int, int],
    leading: Side | None,
    attributes: dict[str, str],
) -> NDArray[np.float32]:
    """One person, [133, 3]; says in `attributes` which hands there are and how that was told."""
    pixels = {box: hand * size for box, hand in hands.items()}
    sides, attributes["side_from"] = sides_of(boxes, labels, leading, pixels.get(0))
    known = {sides[box]: np.hstack([hand, np.ones((21, 1))]) for box, hand in pixels.items()}
    attributes |= {f"{side}_hand": label for side, label in zip(sides, labels, strict=True)}
    attributes["side"] = "both" if len(known) == 2 else next(iter(known))
    return with_hands(known.get("left"), known.get("right"))


def _image(stem: str, folders: list[Path]) -> ImageFile:
    if not folders:
        raise UnusableError("no folder of its gesture")
    for folder in folders:
        for suffix in _SUFFIXES:
            path = inside(folder, stem + suffix)
            if path.is_file():
                return ImageFile(path)
    raise UnusableError("no picture file")


def _boxes(entry: dict[str, Any]) -> tuple[Floats, list[str]]:
    boxes = numbers(entry["bboxes"], (-1, 4), "boxes") if entry.get("bboxes") else np.zeros((0, 4))
    labels = entry.get("labels") or []
    if not isinstance(labels, list) or len(labels) != len(boxes):
        raise UnusableError("boxes and labels: different counts")
    if len(boxes) > 2:
        raise UnusableError("more than two hands")
    return boxes, [str(label) for label in labels]


def _hands(landmarks: Any, boxes: Floats) -> dict[int, Floats]:
    """Per box the hand [21, 2] that has most of its points in it; boxes without one are not there."""
    if not isinstance(landmarks, list):
        raise UnusableError("landmarks: wrong count")
    found = [numbers(hand, (21, 2), "landmarks") for hand in landmarks if hand not in ([], None)]
    if not found:
        raise UnusableError("no landmarks")
    if any((np.abs(hand) > FURTHEST).any() for hand in found):
        raise UnusableError("landmarks: not parts of the picture's size")
    best: dict[int, tuple[int, Floats]] = {}
    for hand in found:
        counts = [int(_within(hand, box).sum()) for box in boxes]
        box = int(np.argmax(counts)) if counts else -1
        if box >= 0 and counts[box] >= MOST_INSIDE and counts[box] > best.get(box, (0, hand))[0]:
            best[box] = (counts[box], hand)
    if not best:
        raise UnusableError("landmarks in no box")
    return {box: best[box][1] for box in sorted(best)}


def _within(hand: Floats, box: Floats) -> NDArray[np.bool_]:
    return np.asarray(((hand >= box[:2]) & (hand <= box[:2] + box[2:])).all(axis=1))


def _leading(entry: dict[str, Any]) -> Side | None:
    side, sure = entry.get("leading_hand"), entry.get("leading_conf")
    return side if side in SIDES and isinstance(sure, int | float) and sure > SURE else None


def _meta(meta: Any) -> dict[str, str]:
    """{"age": [24.4], ...} of a picture of one person -> {"meta_age": "24.4", ...}."""
    found = meta.items() if isinstance(meta, dict) else ()
    return {f"meta_{key}": str(values[0]) for key, values in found if isinstance(values, list) and len(values) == 1}
