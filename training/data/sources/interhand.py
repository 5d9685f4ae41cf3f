"""InterHand2.6M: hands in a dome of cameras (mks0601.github.io/InterHand2.6M), 5 or 30 pictures a second.

    ROOT/images/SPLIT/FILE_NAME
    ROOT/annotations/{SPLIT,all,human_annot,machine_annot}/InterHand2.6M_SPLIT_{data,camera,joint_3d}.json

Key points are the 3D joints seen through the picture's camera. One picture shows one person, with one hand or both; a
joint counts as known where the picture's and the frame's `joint_valid` agree and it lies in front of the camera. It may
still be hidden behind the other hand. In "interacting" pictures one hand's joints may be missing altogether: the hand
is there, attributes["hand_type"] says so. There are no masks and no captions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from handfirst.engines.errors import UserError
from handfirst.training.data.record import Record, Skipped, Split
from handfirst.training.data.sources.camera import Camera, camera_at
from handfirst.training.data.sources.entry import SPLITS, UnusableError, inside, key_of
from handfirst.training.data.sources.joints import FrameJoints, flags, person_of, side_word
from handfirst.training.data.sources.pictures import ImageFile
from handfirst.training.data.sources.streams import items, whole

HAND_TYPES = ("right", "left", "interacting")
_PARTS = ("data", "camera", "joint_3d")


class InterHand:
    """InterHand2.6M, whole or in part."""

    name = "interhand"

    def __init__(self, root: Path, splits: Sequence[Split] = SPLITS) -> None:
        """
        Raises:
            UserError: no annotations or no pictures under `root`; annotations that are not complete.
        """
        self.root = root
        self.folders = {split: folder for split in splits if (folder := _folder(root, split))}
        if not self.folders:
            raise UserError(
                f"{root}: expected annotations/SPLIT/InterHand2.6M_SPLIT_data.json for a SPLIT of {', '.join(splits)}, "
                "found none; give the folder that holds annotations/ and images/"
            )
        for split, folder in self.folders.items():
            for part in _PARTS:
                if not (file := _file(folder, split, part)).is_file():
                    raise UserError(f"{file}: missing; InterHand2.6M's annotations are {', '.join(_PARTS)}")
        if not (root / "images").is_dir():
            raise UserError(f"{root}: expected pictures in images/; unpack InterHand2.6M's pictures there")

    def __iter__(self) -> Iterator[Record | Skipped]:
        """Pictures in the order of the data file. The joints of one split are held, 600 bytes a frame.

        Raises:
            UserError: an annotation file that is damaged.
        """
        for split, folder in self.folders.items():
            data = _file(folder, split, "data")
            cameras = _Cameras(_file(folder, split, "camera"))
            joints = FrameJoints.read(_file(folder, split, "joint_3d"))
            count = 0
            for image, annotation in paired(items(data, "images"), items(data, "annotations"), "id", "image_id"):
                count += 1
                try:
                    yield self._record(split, image, annotation, cameras, joints)
                except UnusableError as error:
                    yield Skipped(f"{split}/{_name(image, annotation)}", str(error))
            if not count:
                raise UserError(f"{data}: expected lists `images` and `annotations`, found nothing in them")

    def _record(self, split: Split, image: Any, annotation: Any, cameras: _Cameras, joints: FrameJoints) -> Record:
        if not isinstance(image, dict):
            raise UnusableError("annotation without a picture")
        if not isinstance(annotation, dict):
            raise UnusableError("picture without an annotation")
        if annotation.get("hand_type") not in HAND_TYPES:
            raise UnusableError("unknown hand type")
        path = inside(self.root / "images" / split, image.get("file_name"))
        capture, camera, frame = (str(image.get(key)) for key in ("capture", "camera", "frame_idx"))
        valid = flags(annotation.get("joint_valid"))
        world, sure = joints.at(capture, frame)
        points = cameras.at(capture, camera).project(world)
        points[~(valid & sure)] = 0
        side = side_word(points[:, 2] > 0)
        if side is None:
            raise UnusableError("no valid joints")
        if not path.is_file():
            raise UnusableError("no picture file")
        return Record(
            source=self.name,
            key=key_of(split, str(image["id"])),
            image=ImageFile(path),
            people=person_of(points)[None],
            attributes={
                "hand_type": annotation["hand_type"],
                "side": side,
                "capture": capture,
                "camera": camera,
                "frame": frame,
                "user": str(image.get("subject")),
                "sequence": str(image.get("seq_name")),
            },
            split=split,
        )


class _Cameras:
    """The camera file: {CAPTURE: {campos, camrot, focal, princpt: {CAMERA: numbers}}}; a few megabytes."""

    def __init__(self, path: Path) -> None:
        self.path, self.data = path, whole(path)
        self.made: dict[tuple[str, str], Camera] = {}
        if not isinstance(self.data, dict):
            raise UserError(f"{path}: expected an object of captures; is it another file?")

    def at(self, capture: str, camera: str) -> Camera:
        """One camera.

        Raises:
            UnusableError: the file has none of that name, or no sensible one.
        """
        if (capture, camera) not in self.made:
            try:
                given = [self.data[capture][key][camera] for key in ("campos", "camrot", "focal", "princpt")]
            except (KeyError, TypeError) as error:
                raise UnusableError("no such camera") from error
            self.made[capture, camera] = camera_at(*given)
        return self.made[capture, camera]


def _folder(root: Path, split: Split) -> Path | None:
    for name in (split, "all", "human_annot", "machine_annot"):
        folder = root / "annotations" / name
        if _file(folder, split, "data").is_file():
            return folder
    return None


def _file(folder: Path, split: Split, part: str) -> Path:
    return folder / f"InterHand2.6M_{split}_{part}.json"


def _name(image: Any, annotation: Any) -> str:
    if isinstance(image, dict):
        return str(image.get("file_name", image.get("id")))
    return f"annotation {annotation.get('id')}" if isinstance(annotation, dict) else "?"


_NOTHING = object()


def paired(images: Iterator[Any], annotations: Iterator[Any], image_id: str, annotation_id: str) -> Iterator[Any]:
    """Pairs (image, annotation) of the same id, each as soon as both have come; at the end, what is left.

    Only what waits for its partner is held: nothing where both lists have the same order. A second annotation of an
    image, and entries without an id, come without a partner.

    Args:
        images, annotations: JSON objects, or anything.
        image_id, annotation_id: the keys under which each has the image's id.

    Returns:
        Pairs; None stands for a partner that never came.
    """
    waiting: tuple[dict[Any, Any], dict[Any, Any]] = ({}, {})
    for entries in zip_longest(images, annotations, fillvalue=_NOTHING):
        for mine, (entry, key) in enumerate(zip(entries, (image_id, annotation_id), strict=True)):
            if entry is _NOTHING:
                continue
            name = _id(entry, key)
            if name is None or name in waiting[mine]:
                yield _alone(entry, mine)
            elif name in waiting[1 - mine]:
                partner = waiting[1 - mine].pop(name)
                yield (partner, entry) if mine else (entry, partner)
            else:
                waiting[mine][name] = entry
    for mine, left in enumerate(waiting):
        for entry in left.values():
            yield _alone(entry, mine)


def _alone(entry: Any, mine: int) -> tuple[Any, Any]:
    return (None, entry) if mine else (entry, None)


def _id(entry: Any, key: str) -> int | str | None:
    value = entry.get(key) if isinstance(entry, dict) else None
    return value if isinstance(value, int | str) else None
