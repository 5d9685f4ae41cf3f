"""LAION-Human and Human-Art as HumanSD lays them out (github.com/IDEA-Research/HumanSD).

    ROOT/mapping_file_training.json     {ID: {img_path, pose_path, prompt}}, paths below ROOT; _validation for tests
    ROOT/images/00000/000000000.jpg     ROOT/pose/00000/000000000.npz

A pose file is a pickled list of people, {"keypoints": [17, 3] x, y, score, "score", "area"}, found by HigherHRNet. It
is read without running it (plain_pickle.py). There are body points only: hands have to be found. The mapping names
pictures that have to be fetched from LAION; those that are not there are skipped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.errors import UserError
from handfirst.runtime.pose.topology import BODY, POINTS
from handfirst.training.data.record import Record, Skipped, Split
from handfirst.training.data.sources.entry import SPLITS, UnusableError, inside, key_of, numbers
from handfirst.training.data.sources.pictures import ImageFile
from handfirst.training.data.sources.plain_pickle import Value, read_objects
from handfirst.training.data.sources.streams import entries

KNOWN = 0.02  # HumanSD's own threshold on a point's score [configs/humansd/humansd-finetune.yaml, keypoint_thresh]
_MAPPINGS: tuple[tuple[str, Split], ...] = (
    ("mapping_file_training.json", "train"),
    ("mapping_train.json", "train"),
    ("mapping_file_validation.json", "val"),
    ("mapping_validation.json", "val"),
)


class HumanSD:
    """The pictures that a mapping file names."""

    name = "humansd"

    def __init__(self, root: Path, splits: Sequence[Split] = SPLITS) -> None:
        """
        Raises:
            UserError: no mapping file in `root`.
        """
        self.root = root
        wanted = [(split, root / name) for name, split in _MAPPINGS if split in splits]
        self.mappings = [(split, file) for split, file in wanted if file.is_file()]
        if not self.mappings:
            raise UserError(
                f"{root}: expected {_MAPPINGS[0][0]} beside images/ and pose/, found none; "
                "give the folder that HumanSD calls Aesthetics_Human"
            )

    def __iter__(self) -> Iterator[Record | Skipped]:
        """In the order of the mapping; each pose file is read when its picture's turn comes.

        Raises:
            UserError: a mapping file that is damaged.
        """
        for split, mapping in self.mappings:
            for name, entry in entries(mapping):
                try:
                    yield self._record(split, name, entry)
                except UnusableError as error:
                    yield Skipped(f"{split}/{name}", str(error))

    def _record(self, split: Split, name: str, entry: Any) -> Record:
        if not isinstance(entry, dict):
            raise UnusableError("not an object")
        image = inside(self.root, entry.get("img_path"))
        if not image.is_file():
            raise UnusableError("no picture file")
        people = [_person(found) for found in read_objects(inside(self.root, entry.get("pose_path")))]
        known = [person for person in people if person[:, 2].any()]
        if not known:
            raise UnusableError("no person")
        caption = entry.get("prompt")
        return Record(
            source=self.name,
            key=key_of(split, name),
            image=ImageFile(image),
            people=np.stack(known),
            caption=" ".join(caption.split()) or None if isinstance(caption, str) else None,
            attributes={"people": str(len(known))},
            split=split,
        )


def _person(found: dict[str, Value]) -> NDArray[np.float32]:
    """{"keypoints": [17, 3]} -> float32 [133, 3]; pixel i is centred at i in the file and at i + .5 here."""
    body = numbers(found.get("keypoints"), (17, 3), "key points")
    known = body[:, 2] > KNOWN
    person = np.zeros((POINTS, 3), np.float32)
    person[BODY][known, :2] = body[known, :2] + 0.5
    person[BODY][known, 2] = 1
    return person
