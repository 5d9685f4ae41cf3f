"""COCO-WholeBody: people with body, feet, face and both hands (github.com/jin-s13/COCO-WholeBody).

    ROOT/annotations/coco_wholebody_{train,val}_v1.0.json       (or beside the pictures' folders)
    ROOT/{train2017,val2017}/FILE_NAME                          (or below ROOT/images)

COCO counts pixels from 0 at their centres; here pixel i is centred at i + .5. A hand that the annotators found too
blurred is not there (`lefthand_valid`). Crowds are left out. Pictures without people are skipped: COCO has many.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.errors import UserError
from handfirst.runtime.pose.coco import PARTS
from handfirst.runtime.pose.topology import POINTS
from handfirst.training.data.record import Record, Skipped, Split
from handfirst.training.data.sources.entry import SPLITS, UnusableError, inside, key_of, numbers
from handfirst.training.data.sources.pictures import ImageFile
from handfirst.training.data.sources.streams import items

_VALID = {"lefthand_kpts": "lefthand_valid", "righthand_kpts": "righthand_valid", "face_kpts": "face_valid",
          "foot_kpts": "foot_valid"}  # fmt: skip


class WholeBody:
    """COCO-WholeBody's training and validation pictures."""

    name = "wholebody"

    def __init__(self, root: Path, splits: Sequence[Split] = SPLITS) -> None:
        """
        Raises:
            UserError: no annotations or no pictures under `root`.
        """
        self.files: list[tuple[Split, Path, Path]] = []
        for split in splits:
            name = f"coco_wholebody_{split}_v1.0.json"
            file = next((f for f in (root / "annotations" / name, root / name) if f.is_file()), None)
            if file is None:
                continue
            folder = next((d for d in (root / f"{split}2017", root / "images" / f"{split}2017") if d.is_dir()), None)
            if folder is None:
                raise UserError(f"{root}: expected the pictures of {name} in {split}2017/; unzip COCO's pictures there")
            self.files.append((split, file, folder))
        if not self.files:
            raise UserError(
                f"{root}: expected annotations/coco_wholebody_train_v1.0.json or ..._val_..., found none; "
                "put COCO-WholeBody's annotations there"
            )

    def __iter__(self) -> Iterator[Record | Skipped]:
        """In the order of `images`. The points of all people of one split are held (1.6 kB each), since COCO's
        annotations of one picture lie far apart.

        Raises:
            UserError: an annotation file that is damaged or has no pictures.
        """
        for split, file, folder in self.files:
            people = _people(file)
            count = 0
            for image in items(file, "images"):
                count += 1
                try:
                    yield self._record(split, folder, image, people)
                except UnusableError as error:
                    name = image.get("file_name", image.get("id")) if isinstance(image, dict) else "?"
                    yield Skipped(f"{split}/{name}", str(error))
            if not count:
                raise UserError(f"{file}: expected a list `images`, found nothing in it")

    def _record(self, split: Split, folder: Path, image: Any, people: _People) -> Record:
        if not isinstance(image, dict) or not isinstance(image.get("id"), int | str):
            raise UnusableError("picture without an id")
        found = people.get(image["id"], [])
        wrong = [person for person in found if isinstance(person, str)]
        if wrong:
            raise UnusableError(wrong[0])
        known = [person for person in found if isinstance(person, np.ndarray)]
        if not known:
            raise UnusableError("no person")
        path = inside(folder, image.get("file_name"))
        if not path.is_file():
            raise UnusableError("no picture file")
        return Record(
            source=self.name,
            key=key_of(split, str(image["id"])),
            image=ImageFile(path),
            people=np.stack(known),
            attributes={"people": str(len(known))},
            split=split,
        )


_People = dict[int | str, list[NDArray[np.float32] | str]]


def _people(file: Path) -> _People:
    """Per image id its people, float32 [133, 3] each, or the reason why one cannot be used."""
    people: _People = {}
    for annotation in items(file, "annotations"):
        if not isinstance(annotation, dict) or annotation.get("iscrowd"):
            continue
        try:
            person: NDArray[np.float32] | str = _person(annotation)
        except UnusableError as error:
            person = str(error)
        if isinstance(person, str) or person[:, 2].any():
            people.setdefault(annotation.get("image_id", ""), []).append(person)
    return people


def _person(annotation: dict[str, Any]) -> NDArray[np.float32]:
    person = np.zeros((POINTS, 3), np.float32)
    for key, where, count in PARTS:
        flat = annotation.get(key)
        if not flat or not annotation.get(_VALID.get(key, ""), True):
            continue
        points = numbers(flat, (3 * count,), "key points").reshape(count, 3)
        known = points[:, 2] > 0
        person[where][known, :2] = points[known, :2] + 0.5
        person[where][known, 2] = 1
    return person
