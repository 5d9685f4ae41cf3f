"""One training example: a picture with its hands, key points and caption; its form inside a shard; and other sizes.

A shard is a tar in WebDataset's manner. An example is three members: `KEY.rgb.jpg`, `KEY.mask.png` (bit 1: left hand,
bit 2: right hand; bit 0, the person, may be there) and `KEY.json`. Where there are further pictures of it, they are
`KEY.picture.NAME.png`; where it is one of a pair, the other's members are there under `KEY.other.`. Shards of
procedural people hold more, so that one reader serves both.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from handfirst.engines.errors import UserError
from handfirst.training.data.images import decode_image, encode_jpeg, encode_png

LEFT_BIT, RIGHT_BIT = 2, 4
MEMBERS = ("rgb.jpg", "mask.png", "json")
OTHER, PICTURE = "other.", "picture."
_FURTHER = re.compile(rf"{OTHER}(rgb\.jpg|mask\.png|json)|({OTHER})?{PICTURE}\w+\.png", re.ASCII)


@dataclass(frozen=True, eq=False)
class Example:
    """What the stage models are trained on.

    Attributes:
        key: unique within its data set.
        rgb: uint8 [H, W, 3]: a hand crop (stage 1), always a square, or a canvas (stage 2).
        hands: uint8 [H, W]: 0 nothing, 1 the left hand, 2 the right hand.
        keypoints: float32 [133, 3] in the picture's pixels (pixel i centred at i + .5), third column > 0 where known.
        caption: what the picture shows.
        attributes: "source", "gesture", "view", "side" and whatever else was known.
        point_depths: float32 [133], of the key points, smaller is nearer, in any unit; None where nobody knows.
        pictures: further pictures of the same size by name, uint8 [H, W, 3] or [H, W]: "pose", a pose picture that is
            not drawn from key points.
        other: the other one of a pair, such as the same hand in another pose; it is in no pair of its own.
    """

    key: str
    rgb: NDArray[np.uint8]
    hands: NDArray[np.uint8]
    keypoints: NDArray[np.float32]
    caption: str
    attributes: dict[str, str] = field(default_factory=dict)
    point_depths: NDArray[np.float32] | None = None
    pictures: dict[str, NDArray[np.uint8]] = field(default_factory=dict)
    other: Example | None = None


def is_further(member: str) -> bool:
    """Whether a member, by the name behind its key, is one that an example need not have."""
    return _FURTHER.fullmatch(member) is not None


def encode(example: Example) -> dict[str, bytes]:
    """An example as the contents of its members, those of MEMBERS first; equal examples give equal bytes."""
    mask = np.zeros(example.hands.shape, np.uint8)
    mask[example.hands == 1] = LEFT_BIT
    mask[example.hands == 2] = RIGHT_BIT
    depths, (height, width) = example.point_depths, example.hands.shape
    truth = {
        "keypoints": [[round(float(v), 2) for v in row] for row in example.keypoints],
        **({} if depths is None else {"point_depths": [round(float(v), 2) for v in depths]}),
        "caption": example.caption,
        "attributes": example.attributes,
        "size": width if width == height else [width, height],
    }
    return {
        "rgb.jpg": encode_jpeg(example.rgb),
        "mask.png": encode_png(mask),
        "json": json.dumps(truth, separators=(",", ":"), ensure_ascii=False).encode(),
        **{f"{PICTURE}{name}.png": encode_png(picture) for name, picture in sorted(example.pictures.items())},
        **({} if example.other is None else {OTHER + name: data for name, data in encode(example.other).items()}),
    }


def decode(key: str, members: Mapping[str, bytes]) -> Example:
    """The inverse of `encode`, up to JPEG and rounding; members that it does not know are left alone.

    Raises:
        ValueError: a member is damaged.
        KeyError: a member is missing.
    """
    truth = json.loads(members["json"])
    mask = decode_image(members["mask.png"], colour=False)
    depths = truth.get("point_depths")
    pictures = {name.split(".")[1]: data for name, data in members.items() if name.startswith(PICTURE)}
    other = {name.removeprefix(OTHER): data for name, data in members.items() if name.startswith(OTHER)}
    return Example(
        key=key,
        rgb=decode_image(members["rgb.jpg"]),
        hands=np.where(mask & RIGHT_BIT, 2, np.where(mask & LEFT_BIT, 1, 0)).astype(np.uint8),
        keypoints=np.array(truth["keypoints"], dtype=np.float32).reshape(133, 3),
        caption=str(truth["caption"]),
        attributes={str(k): str(v) for k, v in truth["attributes"].items()},
        point_depths=None if depths is None else np.array(depths, np.float32).reshape(133),
        pictures={name: _picture(data) for name, data in pictures.items()},
        other=decode(key, other) if other else None,
    )


def fit(example: Example, side: int) -> Example:
    """The example, a square, at another size; see `resized`.

    Raises:
        UserError: it is no square.
    """
    height, width = example.hands.shape
    if width != height:
        raise UserError(
            f"expected square examples, got {width}x{height} ({example.key!a}); canvases of several shapes are for "
            "the body alone: train two-stage body --set buckets=2"
        )
    return resized(example, (side, side))


def cover(example: Example, size: tuple[int, int]) -> Example:
    """The example on a canvas of that width and height, all of which it covers; see `resized`.

    What does not fit is cut off on both sides alike, but as little of its hands as can be. Key points that were cut off
    are unknown.
    """
    height, width = example.hands.shape
    scale = max(size[0] / width, size[1] / height)
    across, down = min(width, round(size[0] / scale)), min(height, round(size[1] / scale))
    left, top = _start(np.asarray(example.hands.any(0)), across), _start(np.asarray(example.hands.any(1)), down)
    if (across, down) != (width, height):
        example = _window(example, slice(top, top + down), slice(left, left + across))
    return resized(example, size)


def _start(hands: NDArray[np.bool_], length: int) -> int:
    """Where a part of `length` begins: in the middle, moved as little as the hands, bool [N], ask for."""
    whole, seen = len(hands), np.flatnonzero(hands)
    start = (whole - length) // 2
    if len(seen) and seen[-1] + 1 - seen[0] <= length:
        start = min(max(start, int(seen[-1]) + 1 - length), int(seen[0]))
    return start


def _window(example: Example, rows: slice, columns: slice) -> Example:
    points = example.keypoints - np.array([columns.start, rows.start, 0], np.float32)
    points = np.where(example.keypoints[:, 2:] > 0, points, 0)
    end = (columns.stop - columns.start, rows.stop - rows.start)
    points[((points[:, :2] < 0) | (points[:, :2] > end)).any(1)] = 0
    return replace(
        example,
        rgb=example.rgb[rows, columns],
        hands=example.hands[rows, columns],
        keypoints=points,
        pictures={name: picture[rows, columns] for name, picture in example.pictures.items()},
        other=None if example.other is None else _window(example.other, rows, columns),
    )


def resized(example: Example, size: tuple[int, int]) -> Example:
    """At another width and height: pixels by area where it shrinks and bilinearly where it grows, masks by majority."""
    height, width = example.hands.shape
    other = None if example.other is None else resized(example.other, size)
    if (width, height) == size:
        return example if other is example.other else replace(example, other=other)
    how = cv2.INTER_AREA if size[0] < width else cv2.INTER_LINEAR
    hands = np.zeros(size[::-1], np.uint8)
    for label in (1, 2):
        share = cv2.resize((example.hands == label).astype(np.float32), size, interpolation=how)
        hands[share >= 0.5] = label

    def moved(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.asarray(cv2.resize(picture, size, interpolation=how), np.uint8)

    return replace(
        example,
        rgb=moved(example.rgb),
        hands=hands,
        keypoints=example.keypoints * np.array([size[0] / width, size[1] / height, 1], np.float32),
        pictures={name: moved(picture) for name, picture in example.pictures.items()},
        other=other,
    )


def _picture(data: bytes) -> NDArray[np.uint8]:
    picture = decode_image(data, colour=False)
    return np.ascontiguousarray(picture[..., ::-1]) if picture.ndim == 3 else picture
