"""Pose files of every format, and ways to spoil them: bytes, JSON values, arrays, headers. Knows no reader."""

from __future__ import annotations

import io
import json
import random
import zipfile
from typing import Any

import numpy as np
from support.named_person import COCO_17
from support.poses import random_pose

from handfirst.runtime.pose.formats import WRITABLE
from handfirst.runtime.pose.write import encode_pose

ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 0.5, 1e-300, 1e6, 1e7, -1e308, 10**400, 2**63, float("nan"), float("inf"), "", "1",
    "Left", "\u0000", [], {}, [[]], [{}], [None], {"landmark": []}, {"x": 0.5, "y": 0.5}, [0.5] * 42, [[0.5, 0.5]] * 42,
    [[[0.5, 0.5]] * 134], [0] * 51, [0] * 54, [0] * 63, [0] * 75,
)  # fmt: skip
KEYS = (
    "people", "keypoints", "scores", "candidate", "subset", "bodies", "hands", "faces", "hands_score", "kpts",
    "hand_mask", "joints", "joint_valid", "arr_0", "annotations", "images", "image_id", "canvas_width", "width",
    "height", "W", "H", "pose_landmarks", "left_hand_landmarks", "multi_hand_landmarks", "multi_handedness",
    "hand_landmarks", "handedness", "landmarks", "handednesses", "poseLandmarks", "categoryName", "index",
    "poses", "frames", "instances", "instance_info", "predictions", "pred_instances", "keypoint_scores", "score",
    "position", "file_name", "id", "handedness", "lefthand_kpts", "joints", "image_width", "frame_id",
    "pose_keypoints_2d", "face_keypoints_2d", "landmark", "label", "classification", "x", "visibility",
    "image_size", "img_shape", "canvas", "data", "result", "hands", "name", "side", "presence", "categories",
    "category_id", "meta_info", "keypoint_id2name", "keypoint_names", "keypoints_scores", "leftHandLandmarks",
)  # fmt: skip
BEGINNINGS = (
    b"", b"PK\x03\x04", b"\x93NUMPY", b"\x93NUMPY\x01\x00", b"\x80\x04", b"\xef\xbb\xbf", b"[", b'{"people": ',
)  # fmt: skip
SWAPS = (
    (b"f8", b"O8"), (b"f8", b"f2"), (b"f8", b"c9"), (b"f8", b"V8"), (b"f8", b"i8"), (b"(", b"(9999"), (b"(", b"-("),
    (b"(", b"["), (b"(", b"(1e9,"), (b"False", b"True "), (b"descr", b"dtype"), (b"3", b"99999999999999999999"),
)  # fmt: skip
DTYPES = ("<f8", "<f4", "<f2", ">f8", "<i8", "|u1", "|b1", "<c16", "<U3", "|S2", "<M8[s]", "|O")


def corpus() -> list[bytes]:
    """Small valid files of every format; fewer than 70 kB each."""
    files = [encode_pose(random_pose(seed), format) for seed, format in enumerate(WRITABLE)]
    files += [encode_pose(random_pose(seed, people=2), "dwpose") for seed in (20, 21)]
    rng = np.random.default_rng(0)
    hand = [{"x": 0.1 * (i % 9), "y": 0.5, "z": 0.0} for i in range(21)]
    body, hands, faces = rng.random((2, 18, 2)), rng.random((4, 21, 2)), rng.random((1, 68, 2))
    parts = {"candidate": body.reshape(36, 2), "subset": np.arange(36.0).reshape(2, 18), "hands": hands}
    bodies = {"candidate": body[0].tolist(), "subset": [list(range(18))]}
    sides = [{"classification": [{"index": 0, "score": 0.9, "label": "Left"}]}, {"label": "Right"}]
    named = [[{"index": 0, "category_name": "Right"}], [{"index": 1, "category_name": "Left"}]]
    body_marks = [{"x": 0.02 * i, "y": 0.5, "visibility": 0.9} for i in range(33)]
    texts: list[Any] = [
        *_results(rng, hand),
        {"hand_landmarks": [hand, hand], "handedness": named, "hand_world_landmarks": [hand, hand]},
        {"landmarks": [hand], "handednesses": [[{"score": 0.9, "index": 1, "categoryName": "Left"}]]},
        {"landmarks": [body_marks, body_marks]},
        {"poseLandmarks": [body_marks], "leftHandLandmarks": [hand], "rightHandLandmarks": []},
        {"multi_hand_landmarks": [{"landmark": hand}, hand], "multi_handedness": sides},
        {"bodies": bodies, "hands": hands[:2].tolist(), "faces": faces.tolist(), "W": 64, "H": 48},
        {"keypoints": rng.random((1, 134, 2)).tolist(), "scores": rng.random((1, 134)).tolist()},
        rng.random((42, 2)).tolist(),
    ]
    files += [json.dumps(text).encode() for text in texts]
    files += [json.dumps(texts[0]).encode("utf-16")]
    files += [packed(parts), packed({"kpts": rng.random((42, 2)), "hand_mask": np.zeros((64, 48), np.uint8)})]
    for array in (rng.random((42, 3)), rng.random((2, 134, 3)), rng.random((1, 133, 3))):
        file = io.BytesIO()
        np.save(file, array)
        files.append(file.getvalue())
    return files


def _results(rng: np.random.Generator, hand: list[Any]) -> list[Any]:
    """Detectors' results, editors' files, frames inside other things."""
    flat = [value for point in rng.random((21, 2)).round(3).tolist() for value in (*point, 1.0)]
    people = {"people": [{"hand_left_keypoints_2d": flat, "hand_right_keypoints_2d": None}], "canvas_width": "64"}
    frame = people | {"canvas_height": 48}
    nested = {"people": [{"hand_left_keypoints_2d": [flat[i : i + 3] for i in range(0, 63, 3)]}, None]}
    whole, body = rng.uniform(1, 60, (133, 2)).round(2).tolist(), rng.uniform(1, 60, (17, 2)).round(2).tolist()
    named = [{"x": x, "y": y, "score": 0.9, "name": name} for (x, y), name in zip(body, COCO_17, strict=True)]
    person = {"keypoints": whole, "keypoint_scores": [0.9] * 133, "bbox": [[0, 0, 9, 9]]}
    triples = [value for x, y in body for value in (x, y, 2)]
    images = [{"id": i, "file_name": f"{i}.jpg", "width": 64, "height": 48} for i in (1, 2)]
    return [
        {"images": [""], "info": "Success", "poses": [frame]},
        [{"people": []}, None, nested],
        {"width": 64, "height": 48, "keypoints": [rng.uniform(1, 40, (18, 2)).tolist()]},
        [person],
        {"instance_info": [{"frame_id": 0, "instances": []}, {"frame_id": 1, "instances": [person]}]},
        [{"image_id": f"{i}.jpg", "category_id": 1, "keypoints": triples, "score": 2.0} for i in range(2)],
        {"a.jpg": {"version": "AlphaPose", "bodies": [{"joints": [v for x, y in [*body, [3, 4]] for v in (x, y, 1)]}]}},
        [{"score": 0.9, "keypoints": named}],
        [{"handedness": "Left", "score": 0.9, "keypoints": hand}, {"handedness": "Right", "landmarks": hand}],
        [{"poseLandmarks": None, "leftHandLandmarks": hand}, {"rightHandLandmarks": hand}],
        {"images": images, "annotations": [{"image_id": i, "keypoints": triples} for i in (1, 2, 2)]},
    ]


def packed(arrays: dict[str, Any]) -> bytes:
    """A .npz file; objects are pickled into it."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def spoilt(content: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """The file after one to four mutations that suit its kind."""
    for _ in range(rng.randint(1, 4)):
        way = rng.random()
        try:
            if way < 0.02:
                content = _noise(rng)
            elif way < 0.15:
                content = _bytes(content, others, rng)
            elif content[:1] in (b"P", b"\x93"):
                content = _arrays(content, rng) if way < 0.75 else _header(content, rng)
            else:
                content = _json(content, rng)
        except Exception:  # spoilt beyond what this way can take apart
            content = _bytes(content, others, rng)
    return content


def _bytes(content: bytes, others: list[bytes], rng: random.Random) -> bytes:
    data = bytearray(content)
    a, b = sorted(rng.randint(0, len(data)) for _ in range(2))
    match rng.randrange(6):
        case 0:
            return bytes(data[:a])
        case 1:
            del data[a : min(b, a + 40)]
        case 2:
            data[a:a] = rng.randbytes(rng.randint(1, 8))
        case 3:
            other = rng.choice(others)
            data[a:b] = other[a:b]
        case 4:
            data[a:a] = data[a : min(b, a + 200)]
        case _:
            for _ in range(rng.randint(1, 8)):
                if data:
                    data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def _noise(rng: random.Random) -> bytes:
    if rng.random() < 0.5:
        return rng.choice(BEGINNINGS) + rng.randbytes(rng.randint(0, 80))
    return json.dumps(_value(rng, 4)).encode()


def _value(rng: random.Random, depth: int) -> Any:
    kind = rng.randrange(4) if depth else 0
    if kind == 2:
        return [_value(rng, depth - 1) for _ in range(rng.randint(0, 4))]
    if kind == 3:
        return {rng.choice(KEYS): _value(rng, depth - 1) for _ in range(rng.randint(0, 5))}
    return rng.choice(ODD)


def _json(content: bytes, rng: random.Random) -> bytes:
    data = json.loads(content)
    place = data
    while True:
        inner = [v for v in (place.values() if isinstance(place, dict) else place) if isinstance(v, dict | list) and v]
        if not inner or rng.random() < 0.3:
            break
        place = rng.choice(inner)
    key = rng.choice(list(place)) if isinstance(place, dict) else rng.randrange(len(place))
    match rng.randrange(5):
        case 0:
            del place[key]
        case 1 if isinstance(place, dict):
            place[rng.choice(KEYS)] = place.pop(key)
        case 1 | 2 if isinstance(place, list):
            place.extend(place[: rng.randint(1, 70)])
        case 3 if isinstance(place, dict):
            place[rng.choice(KEYS)] = _value(rng, 2)
        case _:
            place[key] = _value(rng, 2)
    return json.dumps(data).encode()


def _arrays(content: bytes, rng: random.Random) -> bytes:
    loaded = np.load(io.BytesIO(content), allow_pickle=False)
    arrays: dict[str, Any] = {"arr_0": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
    name = rng.choice(list(arrays))
    array = arrays[name]
    match rng.randrange(6):
        case 0:
            arrays[rng.choice(KEYS)] = arrays.pop(name)
        case 1:
            dtype = rng.choice(DTYPES)
            if array.dtype.kind == "S" and "M8" in dtype:
                raise TypeError("NumPy 2.4.6 dies of this cast")
            arrays[name] = array.astype(dtype)
        case 2:
            shape = list(array.shape) or [1]
            shape[rng.randrange(len(shape))] = rng.choice((0, 1, 2, 3, 17, 18, 21, 42, 68, 133, 134))
            arrays[name] = np.resize(array, shape)
        case 3:
            arrays[name] = array[None] if rng.random() < 0.5 else array.reshape(-1)
        case 4:
            arrays[rng.choice(KEYS)] = rng.choice((np.zeros(()), np.full((2, 2), np.nan), array, np.array("text")))
        case _:
            array = array.astype(float)
            array.reshape(-1)[rng.randrange(max(1, array.size))] = rng.choice((np.nan, np.inf, -1, 0, 1e7, 1e-320))
            arrays[name] = array
    return packed(arrays)


def _header(content: bytes, rng: random.Random) -> bytes:
    """One member's header text changed, in a zip that is whole otherwise."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    name = rng.choice(list(members))
    data = bytearray(members[name])
    end = min(len(data), 128)
    text = bytes(data[:end])
    old, new = rng.choice(SWAPS)
    if rng.random() < 0.3:
        data[rng.randrange(end)] = rng.randrange(256)
    else:
        data[:end] = text.replace(old, new)[:end].ljust(end)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for other, member in members.items():
            archive.writestr(other, bytes(data) if other == name else member)
    return file.getvalue()
