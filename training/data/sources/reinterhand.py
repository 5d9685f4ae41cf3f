"""Re:InterHand: two hands under many lights, rendered from real captures (mks0601.github.io/ReInterHand).

    ROOT/m--...--two-hands/                      (ROOT may be one such folder)
        frame_list.txt                           "SEGMENT FRAME" a line; optional
        keypoints_orig/[keypoints_orig/]FRAME.json                      42 joints, millimetres
        Mugsy_cameras/cam_params.json                                   {CAMERA: {R, t, focal, princpt}}
        Mugsy_cameras/{envmap_per_frame,envmap_per_segment}/images/CAMERA/NNNNNN.png
        Ego_cameras/{envmap_per_frame,envmap_per_segment}/{images/NNNNNN.png,cam_params/NNNNNN.json}   with fisheye D

What is on the disk is what is read: the frame list only tells a frame's segment. Where the masks lie and which value
means which hand could not be confirmed, so masks are used only when told (`MaskFolder`). The split is the one of the
authors' own code: three captures are for tests [facebookresearch/InterWild, ReInterHand.py].
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.errors import UserError
from handfirst.training.data.record import Record, Skipped, UnreadableError
from handfirst.training.data.sources.camera import Camera, camera_of
from handfirst.training.data.sources.entry import UnusableError, key_of, numbers
from handfirst.training.data.sources.joints import JOINTS, LEFT, RIGHT, person_of, side_word
from handfirst.training.data.sources.pictures import ImageFile, MaskFile
from handfirst.training.data.sources.streams import whole

LIGHTS = ("envmap_per_frame", "envmap_per_segment")
TEST_CAPTURES = (
    "m--20221215--0949--RNS217--",
    "m--20221216--0953--NKC880--",
    "m--20230317--1130--QZX685--",
)


@dataclass(frozen=True)
class MaskFolder:
    """Where the masks lie: a folder beside `images` with the same files in it, and the grey values of the hands."""

    name: str
    left: int
    right: int


@dataclass(frozen=True)
class _Rig:
    """The pictures of one kind of cameras under one kind of light."""

    capture: Path
    cameras: str  # Mugsy_cameras or Ego_cameras
    light: str

    @property
    def folder(self) -> Path:
        return self.capture / self.cameras / self.light


class ReInterHand:
    """Re:InterHand: the captures that are there."""

    name = "reinterhand"

    def __init__(self, root: Path, masks: MaskFolder | None = None) -> None:
        """
        Raises:
            UserError: no capture with pictures and key points; a mask folder that is nowhere.
        """
        self.masks = masks
        root = root.absolute()  # a capture's name is part of its keys
        captures = [root, *sorted(p for p in root.glob("m--*") if p.is_dir())]
        self.rigs = [
            _Rig(capture, cameras, light)
            for capture in captures
            for cameras in ("Mugsy_cameras", "Ego_cameras")
            for light in LIGHTS
            if (capture / cameras / light / "images").is_dir()
        ]
        if not self.rigs:
            raise UserError(
                f"{root}: expected m--*/Mugsy_cameras/envmap_per_frame/images/ (or Ego_cameras, envmap_per_segment), "
                "found none; give the folder that holds Re:InterHand's captures"
            )
        for rig in self.rigs:
            if not (rig.capture / "keypoints_orig").is_dir():
                raise UserError(f"{rig.capture}: expected keypoints_orig/; unpack Re:InterHand's key points there")
        if masks and not any((rig.folder / masks.name).is_dir() for rig in self.rigs):
            raise UserError(f"{self.rigs[0].folder}: expected masks in {masks.name}/ beside images/, found none")

    def __iter__(self) -> Iterator[Record | Skipped]:
        """Frame by frame, all cameras of a frame together; of each picture only the header is read.

        Raises:
            UserError: Mugsy_cameras/cam_params.json is missing or damaged.
        """
        for rig in self.rigs:
            fixed = whole(rig.capture / rig.cameras / "cam_params.json") if rig.cameras == "Mugsy_cameras" else None
            segments = _segments(rig.capture / "frame_list.txt")
            for frame, files in _frames(rig):
                for camera, file in files:
                    try:
                        yield self._record(rig, camera, frame, file, fixed, segments)
                    except (UnusableError, UnreadableError) as error:
                        yield Skipped(str(file.relative_to(rig.capture.parent)), str(error))

    def _record(self, rig: _Rig, camera: str, frame: str, file: Path, fixed: Any, segments: dict[str, str]) -> Record:
        world = _keypoints(rig.capture, frame)
        points = _camera(rig, camera, file, fixed).project(world)
        for hand in (LEFT, RIGHT):
            points[hand] *= bool(world[hand].any())  # a hand that was not tracked lies at the origin
        image = ImageFile(file)
        side = side_word(points[:, 2] > 0)
        if side is None:
            raise UnusableError("no hand before the camera")
        if not ((points[:, :2] >= 0) & (points[:, :2] < image.size()) & (points[:, 2:] > 0)).all(axis=1).any():
            raise UnusableError("no joint in the picture")
        capture = rig.capture.name
        number = frame.lstrip("0") or "0"
        attributes = {"side": side, "capture": capture, "camera": camera, "frame": number, "light": rig.light}
        if number in segments:
            attributes["sequence"] = segments[number]
        return Record(
            source=self.name,
            key=key_of(capture, rig.cameras, rig.light, camera, frame),
            image=image,
            people=person_of(points)[None],
            masks=self._mask(rig, file),
            attributes=attributes,
            split="test" if capture.startswith(TEST_CAPTURES) else "train",
        )

    def _mask(self, rig: _Rig, file: Path) -> MaskFile | None:
        if self.masks is None:
            return None
        path = rig.folder / self.masks.name / file.relative_to(rig.folder / "images")
        return MaskFile(path, self.masks.left, self.masks.right)


def _frames(rig: _Rig) -> Iterator[tuple[str, list[tuple[str, Path]]]]:
    """Each frame's name with its pictures, (camera, file); cameras sorted."""
    images = rig.folder / "images"
    fixed = rig.cameras == "Mugsy_cameras"
    folders = [p for p in sorted(images.iterdir()) if p.is_dir()] if fixed else [images]
    found: dict[str, list[tuple[str, Path]]] = {}
    for folder in folders:
        for file in folder.glob("*.png"):
            found.setdefault(file.stem, []).append((folder.name if fixed else "ego", file))
    yield from sorted(found.items())


@lru_cache(maxsize=1)  # all cameras of a frame follow each other
def _keypoints(capture: Path, frame: str) -> NDArray[np.float64]:
    """The joints of a frame, [42, 3] in the world."""
    for folder in (capture / "keypoints_orig" / "keypoints_orig", capture / "keypoints_orig"):
        for name in (frame, frame.lstrip("0") or "0"):
            if (path := folder / f"{name}.json").is_file():
                return numbers(_small(path, "key points"), (JOINTS, 3), "key points")
    raise UnusableError("no key points of its frame")


def _camera(rig: _Rig, camera: str, file: Path, fixed: Any) -> Camera:
    if rig.cameras == "Mugsy_cameras":
        if not isinstance(fixed, dict) or camera not in fixed:
            raise UnusableError("no such camera")
        return camera_of(fixed[camera])
    path = rig.folder / "cam_params" / f"{file.stem}.json"
    if not path.is_file():
        raise UnusableError("no such camera")
    return camera_of(_small(path, "camera"))


def _small(path: Path, what: str) -> Any:
    """One frame's file: damage costs that frame only."""
    try:
        return whole(path)
    except UserError as error:
        raise UnusableError(f"{what}: not JSON") from error


def _segments(path: Path) -> dict[str, str]:
    """frame_list.txt -> the segment of each frame; empty where there is no such file."""
    if not path.is_file():
        return {}
    lines = (line.split() for line in path.read_text(encoding="utf-8", errors="replace").splitlines())
    return {words[1].lstrip("0") or "0": words[0] for words in lines if len(words) == 2}
