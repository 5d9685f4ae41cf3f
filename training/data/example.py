"""One training example: a square picture with its hands, key points and caption; and its form inside a shard.

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
        rgb: uint8 [S, S, 3]: a hand crop (stage 1) or a canvas (stage 2).
        hands: uint8 [S, S]: 0 nothing, 1 the left hand, 2 the right hand.
        keypoints: float32 [133, 3] in the picture's pixels (pixel i centred at i + .5), third column > 0 where known.
        caption: what the picture shows.
        attributes: "source", "gesture", "view", "side" and whatever else was known.
        point_depths: float32 [133], of the key points, smaller is nearer, in any unit; None where nobody knows.
        pictures: further pictures of the same size by name, uint8 [S, S, 3] or [S, S]: "pose", a pose picture that is
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
    depths = example.point_depths
    truth = {
        "keypoints": [[round(float(v), 2) for v in row] for row in example.keypoints],
        **({} if depths is None else {"point_depths": [round(float(v), 2) for v in depths]}),
        "caption": example.caption,
        "attributes": example.attributes,
        "size": len(example.rgb),
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


def fit(example: Example, size: int) -> Example:
    """The example at another size: pixels by area where it shrinks and bilinearly where it grows, masks by majority."""
    has = len(example.rgb)
    other = None if example.other is None else fit(example.other, size)
    if has == size:
        return example if other is example.other else replace(example, other=other)
    how = cv2.INTER_AREA if size < has else cv2.INTER_LINEAR
    hands = np.zeros((size, size), np.uint8)
    for label in (1, 2):
        share = cv2.resize((example.hands == label).astype(np.float32), (size, size), interpolation=how)
        hands[share >= 0.5] = label

    def resized(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.asarray(cv2.resize(picture, (size, size), interpolation=how), np.uint8)

    return replace(
        example,
        rgb=resized(example.rgb),
        hands=hands,
        keypoints=example.keypoints * np.array([size / has, size / has, 1], np.float32),
        pictures={name: resized(picture) for name, picture in example.pictures.items()},
        other=other,
    )


def _picture(data: bytes) -> NDArray[np.uint8]:
    picture = decode_image(data, colour=False)
    return np.ascontiguousarray(picture[..., ::-1]) if picture.ndim == 3 else picture
