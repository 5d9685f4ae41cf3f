"""The rest of datasets.py: Re:InterHand, HumanSD's layout of LAION-Human, a plain folder."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from support.dataset_cameras import Lens, interhand_order, into_world, random_lens
from support.dataset_truth import LEFT, RIGHT, Truth, Written, hand, hands_known, known, person, save, spoil
from support.datasets import coco_annotation

CAPTURE = "m--20210701--1058--0000000--pilot--relightablehandsy--participant0--two-hands"
MASK_VALUES = (128, 255)  # left, right


def write_reinterhand(
    folder: Path, count: int = 4, seed: int = 0, size: int = 96, masks: bool = False, broken: bool = False
) -> Written:
    """People's two hands; even ones before Mugsy's cameras, odd ones before the fisheye of Ego's. A frame each."""
    rng = np.random.default_rng((8, seed))
    root, truths, fixed, segments = folder / CAPTURE, {}, {}, []
    for i in range(count):
        ego = i % 2 == 1
        sample, lens, frame = person(seed + i, size), random_lens(rng, size, fisheye=ego), 1234 + 5 * i
        joints = interhand_order(sample.keypoints[LEFT], sample.keypoints[RIGHT])
        _write(root / "keypoints_orig" / f"{frame}.json", into_world(rng, joints[:, :2], lens).tolist())
        base = root / ("Ego_cameras/envmap_per_segment" if ego else "Mugsy_cameras/envmap_per_frame")
        name = f"{frame:06d}.png" if ego else f"40{i:04d}/{frame:06d}.png"
        if ego:
            _write(base / "cam_params" / f"{frame:06d}.json", _camera(lens))
        else:
            fixed[f"40{i:04d}"] = _camera(lens)
        image = save(base / "images" / name, sample.rgb)
        if masks:
            save(base / "masks" / name, np.array([0, *MASK_VALUES], np.uint8)[sample.hands])
        segments.append(f"segment{i} {frame}")
        attributes = {"side": "both", "frame": str(frame), "sequence": f"segment{i}"}
        truths[f"{frame:06d}"] = Truth(f"{frame:06d}", image, sample, hands_known(sample), attributes)
    skips = _broken_frames(root, fixed) if broken else Counter[str]()
    _write(root / "Mugsy_cameras" / "cam_params.json", fixed)
    (root / "frame_list.txt").write_text("\n".join(segments) + "\n")
    return Written(folder, truths, skips)


def _broken_frames(root: Path, fixed: dict[str, Any]) -> Counter[str]:
    lens = next(iter(fixed.values()))
    behind = (np.array(lens["R"]).T @ ([0, 0, -500] - np.array(lens["t"]))).tolist()
    fixed |= {"squashed": lens | {"R": np.eye(3).tolist()[:2]}, "flat": lens | {"R": np.ones((3, 3)).tolist()}}
    camera, frames = next(iter(fixed)), root / "keypoints_orig"
    for name, points in {1: [[0.0, 0.0]] * 42, 2: [[float("nan")] * 3] * 42, 3: [behind] * 42, 4: "x"}.items():
        _write(frames / f"{name}.json", points)
    (frames / "5.json").write_text("[[1, 2")
    for folder, frame in ((camera, 1), (camera, 2), (camera, 3), (camera, 4), (camera, 5), (camera, 6), ("squashed", 3),
                          ("flat", 3), ("unknown", 3)):  # fmt: skip
        save(root / f"Mugsy_cameras/envmap_per_frame/images/{folder}/{frame:06d}.png", np.zeros((8, 8, 3), np.uint8))
    return Counter({
        "key points: wrong count": 2, "key points: not finite": 1, "no hand before the camera": 1,
        "key points: not JSON": 1, "no key points of its frame": 1, "camera: wrong count": 1, "camera: no rotation": 1,
        "no such camera": 1,
    })  # fmt: skip


def _camera(lens: Lens) -> dict[str, Any]:
    camera = {"R": lens.rotation, "t": lens.translation, "focal": lens.focal, "princpt": lens.centre}
    return {k: v.tolist() for k, v in camera.items()} | (
        {"D": lens.fisheye.tolist()} if lens.fisheye is not None else {}
    )


def write_humansd(folder: Path, count: int = 3, seed: int = 0, size: int = 96, broken: bool = False) -> Written:
    """People with their 17 body points, scores as a detector gives them."""
    truths, mapping, skips = {}, {}, Counter[str]()
    for i in range(count):
        sample, stem = person(seed + i, size), f"{i:09d}"
        image = save(folder / "images" / "00000" / f"{stem}.jpg", sample.rgb)
        write_humansd_pose(folder / "pose" / "00000" / f"{stem}.npz", [sample.keypoints[:17]])
        mapping[stem] = _mapped(stem, sample.caption)
        truths[stem] = Truth(stem, image, sample, known(sample, slice(0, 17)), {"people": "1"})
    if broken:
        pose = folder / "pose" / "00000"
        write_humansd_pose(pose / "nobody.npz", [np.zeros((17, 3))])
        write_humansd_pose(pose / "few.npz", [np.zeros((16, 3))])
        write_humansd_pose(pose / "nan.npz", [np.full((17, 3), np.nan)])
        np.savez(pose / "numbers.npz", np.zeros((1, 17, 3)))
        (pose / "torn.npz").write_bytes((pose / f"{0:09d}.npz").read_bytes()[:300])
        write_humansd_pose(pose / "unseen.npz", [np.ones((17, 3))])
        for name, reason in (
            ("nobody", "no person"), ("few", "key points: wrong count"), ("nan", "key points: not finite"),
            ("numbers", "pose file: no objects"), ("torn", "pose file: damaged"), ("poseless", "no pose file"),
            ("unseen", "no picture file"),
        ):  # fmt: skip
            if name != "unseen":
                save(folder / "images" / "00000" / f"{name}.jpg", np.zeros((8, 8, 3), np.uint8))
            mapping[name] = _mapped(name, "a person")
            skips[reason] += 1
        mapping["outside"] = {"img_path": "../../etc/passwd", "pose_path": "x", "prompt": ""}
        mapping["text"] = "text"
        skips += Counter({"a file name that leaves its folder": 1, "not an object": 1})
    _write(folder / "mapping_file_training.json", mapping)
    return Written(folder, truths, skips)


def write_humansd_pose(path: Path, people: list[np.ndarray]) -> None:
    """arr_0: dicts of keypoints [n, 3] (pixels from 0 at their centres), score and area, pickled by NumPy."""
    path.parent.mkdir(parents=True, exist_ok=True)
    found = np.empty(len(people), dtype=object)
    for i, points in enumerate(people):
        shifted = (points - (0.5, 0.5, 0)).astype(np.float32)
        shifted[:, 2] = np.where(points[:, 2] > 0, 0.6, 0.01)
        shifted[np.isnan(points).any(axis=1)] = np.nan
        found[i] = {"keypoints": shifted, "score": np.float32(0.5), "area": np.float64(900.0)}
    np.savez(path, found)


def _mapped(name: str, caption: str) -> dict[str, str]:
    return {"img_path": f"images/00000/{name}.jpg", "pose_path": f"pose/00000/{name}.npz", "prompt": caption}


def write_folder(folder: Path, count: int = 4, seed: int = 0, size: int = 96, broken: bool = False) -> Written:
    """Hands with pose, mask and caption; every fourth picture stands alone."""
    truths, skips = {}, Counter[str]()
    for i in range(count):
        sample = person(seed + i, size) if i % 2 else hand(seed + i, size)
        path = save(folder / f"picture {i}{('.png', '.jpg', '.webp')[i % 3]}", sample.rgb)
        people, alone = known(sample), i % 4 == 3
        if not alone:
            _write(path.with_suffix(".json"), pose_file(sample, size, size))
            save(path.with_suffix(".mask.png"), sample.hands if i % 2 else (sample.hands > 0).astype(np.uint8) * 255)
            path.with_suffix(".txt").write_text(sample.caption + "\n", encoding="utf-8")
        truths[path.stem] = Truth(path.stem, path, sample, people[:0] if alone else people)
    if broken:
        good = next(iter(truths.values()))
        for name, pose in {"torn": "{", "wide": json.dumps(pose_file(good.sample, 3 * size, size))}.items():
            save(folder / f"{name}.png", good.sample.rgb)
            (folder / f"{name}.json").write_text(pose)
        (folder / "lonely.json").write_text("{}")
        spoil(folder / "spoilt.jpg")
        (folder / "spoilt.json").write_text("{}")
        save(folder / f"{good.name}.jpeg", good.sample.rgb)
        (save(folder / "latin.png", good.sample.rgb)).with_suffix(".txt").write_bytes(b"caf\xe9")
        skips = Counter({
            "pose: cannot be read": 1, "pose: on a canvas of another shape": 1, "no picture file": 1,
            "not a picture": 1, "another picture of the same name": 1, "caption: cannot be read": 1,
        })  # fmt: skip
    return Written(folder, truths, skips)


def pose_file(sample: Any, width: int, height: int) -> dict[str, Any]:
    """A COCO-WholeBody annotation file of one picture of that size, in continuous pixels."""
    annotation = coco_annotation(sample, 1)
    for key, value in annotation.items():
        if key == "keypoints" or key.endswith("_kpts"):
            points = np.array(value).reshape(-1, 3)
            annotation[key] = np.where(points[:, 2:] > 0, points + np.array([0.5, 0.5, 0]), 0).ravel().tolist()
    return {"images": [{"id": 1, "width": width, "height": height}], "annotations": [annotation]}


def _write(path: Path, data: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
