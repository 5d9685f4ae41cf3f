"""One training example: a square picture with its hands, key points and caption; and its form inside a shard.

A shard is a tar in WebDataset's manner. An example is three members: `KEY.rgb.jpg`, `KEY.mask.png` (bit 1: left hand,
bit 2: right hand; bit 0, the person, may be there) and `KEY.json`. Shards of procedural people hold these and more, so
that one reader serves both.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from handfirst.training.data.images import decode_image, encode_jpeg, encode_png

LEFT_BIT, RIGHT_BIT = 2, 4
MEMBERS = ("rgb.jpg", "mask.png", "json")


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
    """

    key: str
    rgb: NDArray[np.uint8]
    hands: NDArray[np.uint8]
    keypoints: NDArray[np.float32]
    caption: str
    attributes: dict[str, str] = field(default_factory=dict)


def encode(example: Example) -> dict[str, bytes]:
    """An example as the contents of its members, in the order of MEMBERS; equal examples give equal bytes."""
    mask = np.zeros(example.hands.shape, np.uint8)
    mask[example.hands == 1] = LEFT_BIT
    mask[example.hands == 2] = RIGHT_BIT
    truth = {
        "keypoints": [[round(float(v), 2) for v in row] for row in example.keypoints],
        "caption": example.caption,
        "attributes": example.attributes,
        "size": len(example.rgb),
    }
    return {
        "rgb.jpg": encode_jpeg(example.rgb),
        "mask.png": encode_png(mask),
        "json": json.dumps(truth, separators=(",", ":"), ensure_ascii=False).encode(),
    }


def decode(key: str, members: Mapping[str, bytes]) -> Example:
    """The inverse of `encode`, up to JPEG and rounding; members that it does not know are left alone.

    Raises:
        ValueError: a member is damaged.
        KeyError: a member is missing.
    """
    truth = json.loads(members["json"])
    mask = decode_image(members["mask.png"], colour=False)
    return Example(
        key=key,
        rgb=decode_image(members["rgb.jpg"]),
        hands=np.where(mask & RIGHT_BIT, 2, np.where(mask & LEFT_BIT, 1, 0)).astype(np.uint8),
        keypoints=np.array(truth["keypoints"], dtype=np.float32).reshape(133, 3),
        caption=str(truth["caption"]),
        attributes={str(k): str(v) for k, v in truth["attributes"].items()},
    )
