"""Small data sets in the layouts in which the real ones are published, with known truth.

Each `write_*` renders `count` pictures and returns a Written. With `broken` it adds entries that must be skipped, and
counts them. Sizes are pixels a side.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from support.dataset_cameras import interhand_order, into_world, random_lens
from support.dataset_truth import LEFT, RIGHT, Truth, Written, boxes, hand, hands_known, known, person, save, spoil

PALMS = ("palm", "peace", "four")


def write_hagrid(
    folder: Path, count: int = 4, seed: int = 0, size: int = 96, version: int = 2, broken: bool = False
) -> Written:
    """Palms of one hand (even ones) and people with two hands (odd ones)."""
    truths, files, skips = {}, {}, Counter[str]()
    for i in range(count):
        two = i % 2 == 1
        gesture = "fist" if two else PALMS[i // 2 % len(PALMS)]
        sample = person(seed + i, size) if two else hand(seed + i, size, gesture=gesture)
        side = "both" if two else sample.attributes["side"]
        stem = f"0000{i:04d}-aaaa"
        split = "train" if version == 1 or i % 3 < 2 else "test"
        image = save(_hagrid_image(folder, version, split, gesture, stem), sample.rgb)
        entry = _hagrid_entry(sample, side, gesture, version)
        files.setdefault((split, gesture), {})[stem] = entry
        truths[stem] = Truth(stem, image, sample, hands_known(sample), {"gesture": gesture, "side": side})
    if broken:
        good = next(iter(files[("train", "palm")].values()))
        key = "hand_landmarks" if version == 2 else "landmarks"
        hands = [h for h in good[key] if h]
        for name, change, reason in (
            ("empty", {key: []}, "no landmarks"),
            ("empties", {key: [[], []]}, "no landmarks"),
            ("few", {key: [hands[0][:20]]}, "landmarks: wrong count"),
            ("words", {key: [[["a", "b"]] * 21]}, "landmarks: not numbers"),
            ("pixels", {key: [[[300.0, 200.0]] * 21]}, "landmarks: not parts of the picture's size"),
            ("huge", {key: [[[1e300, 0.5]] * 21]}, "landmarks: not finite"),
            ("elsewhere", {"bboxes": [[0.0, 0.0, 0.01, 0.01]], "labels": ["palm"]}, "landmarks in no box"),
            ("unlabelled", {"labels": []}, "boxes and labels: different counts"),
            ("missing", {}, "no picture file"),
            ("spoilt", {}, "not a picture"),
        ):
            files[("train", "palm")][name] = good | change
            path = _hagrid_image(folder, version, "train", "palm", name)
            if name == "spoilt":
                spoil(path)
            elif name != "missing":
                save(path, np.zeros((8, 8, 3), np.uint8))
            skips[reason] += 1
        files[("train", "palm")]["list"] = [1, 2]
        files[("train", "nowhere")] = {"x": good}
        skips += Counter({"not an object": 1, "no folder of its gesture": 1})
    for (split, gesture), entries in files.items():
        name = f"hagrid_annotations/{split}" if version == 2 else "ann_train_val"
        _write(folder / name / f"{gesture}.json", entries)
    return Written(folder, truths, skips)


def _hagrid_image(folder: Path, version: int, split: str, gesture: str, stem: str) -> Path:
    base = "hagrid_dataset" if version == 2 else {"train": "train_val", "test": "test"}[split]
    return folder / base / gesture / f"{stem}.jpg"


def _hagrid_entry(sample: Any, side: str, gesture: str, version: int) -> dict[str, Any]:
    """Two hands: the right one shows the gesture. v1 keeps an empty list for a hand that MediaPipe did not find."""
    wanted = [w for w, s in ((LEFT, "left"), (RIGHT, "right")) if side in (s, "both")]
    found = [(sample.keypoints[w, :2] / len(sample.rgb)).astype(float).tolist() for w in wanted]
    rectangles = [b for b, s in zip(boxes(sample), ("left", "right"), strict=True) if side in (s, "both")]
    labels = ["no_gesture", gesture] if side == "both" else [gesture]
    entry: dict[str, Any] = {"bboxes": rectangles, "labels": labels, "user_id": "bb138d5d"}
    if version == 1:
        leading = "right" if side == "both" else side
        return entry | {"landmarks": found, "leading_hand": leading, "leading_conf": 1.0}
    meta = {"age": [24.41], "gender": ["female"], "race": ["White"]}
    united = {"united_bbox": None, "united_label": None}
    return entry | united | {"hand_landmarks": found[::-1], "meta": meta}  # v2 promises no order


def write_interhand(
    folder: Path, count: int = 4, seed: int = 0, size: int = 96, split: str = "train", broken: bool = False
) -> Written:
    """Left, right and interacting hands in turn; one frame and one camera each."""
    rng = np.random.default_rng((7, seed))
    images, annotations, truths, skips = [], [], {}, Counter[str]()
    joints: dict[str, Any] = {"0": {}, "5": {}}
    cameras: dict[str, Any] = {c: {k: {} for k in ("campos", "camrot", "focal", "princpt")} for c in joints}
    for i in range(count + 6 * broken):
        kind = ("right", "left", "interacting")[i % 3] if i < count else "right"
        sample = person(seed + i, size) if kind == "interacting" else hand(seed + i, size, side=kind)
        capture, camera, frame, lens = ("0", "5")[i % 2], f"40000{i}", str(1200 + 3 * i), random_lens(rng, size)
        world = into_world(rng, interhand_order(sample.keypoints[LEFT], sample.keypoints[RIGHT])[:, :2], lens)
        valid = (interhand_order(sample.keypoints[LEFT], sample.keypoints[RIGHT])[:, 2] > 0).astype(int)
        world[valid == 0] = 1e9  # nobody promises anything about them
        for key, value in zip(cameras[capture], (lens.position, lens.rotation, lens.focal, lens.centre), strict=True):
            cameras[capture][key][camera] = value.tolist()
        joints[capture][frame] = {
            "world_coord": world.tolist(), "joint_valid": valid[:, None].tolist(), "hand_type": kind,
            "hand_type_valid": True,
        }  # fmt: skip
        name = f"Capture{capture}/0000_neutral_rigid/cam{camera}/image{frame}.jpg"
        image = {
            "id": i, "file_name": name, "width": size, "height": size, "capture": int(capture), "subject": 3,
            "seq_name": "0000_neutral_rigid", "camera": camera, "frame_idx": int(frame),
        }  # fmt: skip
        annotation: dict[str, Any] = {
            "id": 900 + i, "image_id": i, "bbox": [0.0, 0.0, 1.0, 1.0], "joint_valid": valid.tolist(),
            "hand_type": kind, "hand_type_valid": 1,
        }  # fmt: skip
        path = folder / "images" / split / name
        if i < count:
            save(path, sample.rgb)
            attributes = {"hand_type": kind, "side": kind if kind != "interacting" else "both"}
            truths[Path(name).stem] = Truth(Path(name).stem, path, sample, hands_known(sample), attributes)
        images.append(image)
        annotations.append(annotation)
    if broken:
        for j, (what, change, reason) in enumerate((
            ("annotation", {"joint_valid": [0] * 42}, "no valid joints"),
            ("annotation", {"joint_valid": [1] * 41}, "joint_valid: wrong count"),
            ("annotation", {"hand_type": "foot"}, "unknown hand type"),
            ("image", {"camera": "none"}, "no such camera"),
            ("image", {"frame_idx": 1}, "no joints of its frame"),
            ("image", {}, "no picture file"),
        )):  # fmt: skip
            (annotations if what == "annotation" else images)[count + j].update(change)
            skips[reason] += 1
        images.append({"id": 77, "file_name": "a.jpg"})
        annotations.append({"id": 78, "image_id": 79})
        skips += Counter({"picture without an annotation": 1, "annotation without a picture": 1})
    base = folder / "annotations" / split / f"InterHand2.6M_{split}"
    _write(base.with_name(f"{base.name}_data.json"), {"images": images, "annotations": annotations[::-1]})
    _write(base.with_name(f"{base.name}_camera.json"), cameras)
    _write(base.with_name(f"{base.name}_joint_3d.json"), joints)
    return Written(folder, truths, skips)


def write_wholebody(
    folder: Path, count: int = 3, seed: int = 0, size: int = 96, split: str = "val", broken: bool = False
) -> Written:
    """People with all 133 points; the annotations in an order of their own."""
    truths, images, annotations, skips = {}, [], [], Counter[str]()
    for i in range(count):
        sample, stem = person(seed + i, size), f"{139 + i:012d}"
        image = save(folder / f"{split}2017" / f"{stem}.jpg", sample.rgb)
        images.append({"id": 139 + i, "file_name": f"{stem}.jpg", "width": size, "height": size})
        annotations.append(coco_annotation(sample, 139 + i))
        truths[stem] = Truth(stem, image, sample, known(sample), {"people": "1"})
    if broken:
        for j, (change, reason) in enumerate((
            ({"lefthand_kpts": [1.0] * 62}, "key points: wrong count"),
            ({"keypoints": [None] * 51}, "key points: not numbers"),
            ({"keypoints": [0] * 51, "foot_kpts": [0] * 18, "face_kpts": [0] * 204, "lefthand_kpts": [0] * 63,
              "righthand_kpts": [0] * 63}, "no person"),
            ({"iscrowd": 1}, "no person"),
            ({}, "no picture file"),
        )):  # fmt: skip
            images.append({"id": j, "file_name": f"{j}.jpg", "width": size, "height": size})
            annotations.append(annotations[0] | {"image_id": j} | change)
            skips[reason] += 1
        images.append({"id": 50, "file_name": "50.jpg", "width": size, "height": size})
        skips["no person"] += 1
    whole = {"info": {}, "licenses": [], "images": images, "annotations": annotations[::-1], "categories": []}
    _write(folder / "annotations" / f"coco_wholebody_{split}_v1.0.json", whole)
    return Written(folder, truths, skips)


def coco_annotation(sample: Any, image: int) -> dict[str, Any]:
    """COCO-WholeBody's annotation of a sample's person; pixels counted from 0 at their centres."""
    points = np.where(sample.keypoints[:, 2:] > 0, sample.keypoints - (0.5, 0.5, 0), 0).astype(float)
    parts = {
        "keypoints": points[:17], "foot_kpts": points[17:23], "face_kpts": points[23:91],
        "lefthand_kpts": points[91:112], "righthand_kpts": points[112:],
    }  # fmt: skip
    flags = dict.fromkeys(("face_valid", "lefthand_valid", "righthand_valid", "foot_valid"), True)
    flat = {key: value.ravel().tolist() for key, value in parts.items()}
    return {"id": image, "image_id": image, "iscrowd": 0, "category_id": 1, "bbox": [0, 0, 9, 9]} | flat | flags


def _write(path: Path, data: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
