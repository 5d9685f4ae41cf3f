"""Rendered pictures with their truth, from which the data sets of datasets.py are made."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from handfirst.runtime.pose.topology import HANDS, Side
from handfirst.runtime.pose.view import hand_view
from handfirst.training.data.procedural.sample import Sample, sample_hand, sample_person

LEFT, RIGHT = slice(91, 112), slice(112, 133)


@dataclass(frozen=True)
class Truth:
    """What one written picture must be read as.

    `people` is float32 [P, 133, 3] with 1 where known; `sample` has the pixels (rgb), the hands (0, 1 left, 2 right),
    a caption and attributes; `name` is the file's stem.
    """

    name: str
    image: Path
    sample: Sample
    people: np.ndarray
    attributes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Written:
    """A data set on disk: its root, the truth by the file's stem, and how many skips of which reason are due."""

    root: Path
    truths: dict[str, Truth]
    skips: Counter[str]


@cache
def hand(seed: int, size: int, side: str | None = None, gesture: str | None = None) -> Sample:
    """A hand whose palm faces the camera, the first one from `seed` on that is not seen from the side."""
    for tried in range(seed, seed + 100):
        sample = sample_hand(tried, size, view="palm", side=side, gesture=gesture, supersample=1)
        where: Side = "left" if sample.attributes["side"] == "left" else "right"
        if hand_view(sample.keypoints[HANDS[where], :2].astype(float), where) == "palm":
            return sample
    raise AssertionError("no such hand among 100")


@cache
def person(seed: int, size: int) -> Sample:
    """A person from the waist up, right hand on the left side of the picture."""
    for tried in range(seed, seed + 100):
        sample = sample_person(tried, size, frame="half", supersample=1)
        if (sample.keypoints[91:, 2] > 0).all() and boxes(sample)[1][0] + 0.05 < boxes(sample)[0][0]:
            return sample
    raise AssertionError("no such person among 100")


def boxes(sample: Sample) -> tuple[list[float], list[float]]:
    """(x, y, w, h) of the left and the right hand's points as parts of the picture, a little room around them."""
    out = []
    for where in (LEFT, RIGHT):
        points = sample.keypoints[where, :2] / len(sample.rgb)
        low, high = points.min(0) - 0.02, points.max(0) + 0.02
        out.append([*low.tolist(), *(high - low).tolist()])
    return out[0], out[1]


def known(sample: Sample, parts: slice | np.ndarray = slice(0, 133)) -> np.ndarray:
    """One person, float32 [1, 133, 3], of whom only `parts` are known."""
    out = np.zeros((1, 133, 3), np.float32)
    out[0, parts] = sample.keypoints[parts]
    out[..., 2] = out[..., 2] > 0
    return out


def hands_known(sample: Sample) -> np.ndarray:
    """One person of whom only the hands are known."""
    return known(sample, np.arange(91, 133))


def save(path: Path, image: np.ndarray) -> Path:
    """Writes RGB or grey pixels; the suffix tells the format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = image[..., ::-1] if image.ndim == 3 else image
    done, data = cv2.imencode(path.suffix, np.ascontiguousarray(stored), [cv2.IMWRITE_JPEG_QUALITY, 95])
    assert done
    path.write_bytes(data.tobytes())
    return path


def spoil(path: Path) -> Path:
    """A file that is no picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\xff\xd8\xff\xe0 this is no picture")
    return path
