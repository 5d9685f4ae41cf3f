"""Rendered shards as plain arrays on disk: what the demo's phases index at random, mirrored copies included.

Knows nothing about networks. A mirrored picture swaps the left and right hand, in the key points and in the caption.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.files import atomic_path
from handfirst.training.data.procedural.writer import read_dataset

# COCO-WholeBody: where each of the 133 points goes when the picture is mirrored.
_FACE_68 = [
    *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1),
    45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65,
]  # fmt: skip
MIRRORED = np.array(
    [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15, 20, 21, 22, 17, 18, 19]
    + [23 + i for i in _FACE_68]
    + [*range(112, 133), *range(91, 112)]
)


@dataclass(frozen=True)
class Pictures:
    """N pictures and as many mirrored ones after them.

    rgb uint8 [2N, S, S, 3]; hands uint8 [2N, S, S] (1 left, 2 right); keypoints float32 [2N, 133, 3];
    captions and attributes, 2N of each.
    """

    rgb: NDArray[np.uint8]
    hands: NDArray[np.uint8]
    keypoints: NDArray[np.float32]
    captions: tuple[str, ...]
    attributes: tuple[dict[str, str], ...]

    def __len__(self) -> int:
        return len(self.captions)

    @property
    def size(self) -> int:
        """Side of the pictures in pixels."""
        return int(self.rgb.shape[1])


def mirror_words(text: str) -> str:
    """Swaps the words left and right."""
    return re.sub(r"\b(left|right)\b", lambda m: "right" if m.group() == "left" else "left", text)


def mirror_keypoints(keypoints: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """keypoints [..., 133, 3] of a picture `width` pixels wide -> those of its mirror image."""
    out = keypoints[..., MIRRORED, :].copy()
    out[..., 0] = np.where(out[..., 2] > 0, width - out[..., 0], out[..., 0])
    return out


def _mirror_attributes(attributes: dict[str, str]) -> dict[str, str]:
    out = {mirror_words(k.replace("_", " ")).replace(" ", "_"): v for k, v in attributes.items()}
    return out | ({"side": mirror_words(out["side"])} if "side" in out else {})


def load_pictures(shards: Path, cache: Path) -> Pictures:
    """A folder of shards as arrays; decoded once into `cache`, memory-mapped afterwards."""
    done = cache / "texts.json"
    if not done.exists():
        _decode(shards, cache)
    texts = json.loads(done.read_text())
    maps = {name: np.load(cache / f"{name}.npy", mmap_mode="c") for name in ("rgb", "hands", "keypoints")}
    return Pictures(
        rgb=maps["rgb"],
        hands=maps["hands"],
        keypoints=maps["keypoints"],
        captions=tuple(texts["captions"]),
        attributes=tuple(texts["attributes"]),
    )


def _decode(shards: Path, cache: Path) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    samples = list(read_dataset(shards))
    rgb = np.stack([s.rgb for s in samples])
    hands = np.stack([s.hands for s in samples])
    keypoints = np.stack([s.keypoints for s in samples]).astype(np.float32)
    flipped = hands[:, :, ::-1]
    swapped = np.where(flipped > 0, 3 - flipped, 0).astype(np.uint8)
    arrays = {
        "rgb": np.concatenate([rgb, rgb[:, :, ::-1]]),
        "hands": np.concatenate([hands, swapped]),
        "keypoints": np.concatenate([keypoints, mirror_keypoints(keypoints, rgb.shape[2])]),
    }
    for name, array in arrays.items():
        with atomic_path(cache / f"{name}.npy") as temporary, temporary.open("wb") as file:
            np.save(file, array)
    captions = [s.caption for s in samples]
    attributes = [s.attributes for s in samples]
    texts = {
        "captions": captions + [mirror_words(c) for c in captions],
        "attributes": attributes + [_mirror_attributes(a) for a in attributes],
    }
    with atomic_path(cache / "texts.json") as temporary:
        temporary.write_text(json.dumps(texts))
