"""A pose from a photo: MediaPipe Holistic looks at it (the `eval` extra, an environment of its own).

It finds one person at most and does not say whether there are more. Landmarks that it only guesses (visibility below
0.5) count as missing.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.errors import UserError
from handfirst.runtime.errors import PoseError
from handfirst.runtime.photos import decode_photo
from handfirst.runtime.pose.landmarks import whole_body
from handfirst.runtime.pose.marks import VISIBLE
from handfirst.runtime.pose.person import Person, Pose

SMALLEST = 384
"""Pictures whose shorter side is below this are enlarged: MediaPipe misses hands that are small."""
BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")

Picture = NDArray[np.uint8]


def is_photo(content: bytes) -> bool:
    """Whether the bytes begin like a JPEG, PNG or WebP file."""
    return content.startswith(BEGINNINGS) or (content[:4] == b"RIFF" and content[8:12] == b"WEBP")


def read_photo(content: bytes) -> Pose:
    """The person whom MediaPipe finds in a JPEG, PNG or WebP file, in the photo's pixels; nobody if it finds none.

    Raises:
        PoseError: a damaged picture, one that is too large, or MediaPipe is not installed.
    """
    solutions()  # said before anything else, where it is missing
    try:
        image = decode_photo(content).pixels
    except UserError as error:
        raise PoseError(str(error)) from error
    return look(image)


def look(image: Picture) -> Pose:
    """The same for a picture uint8 RGB [H, W, 3].

    Raises:
        PoseError: MediaPipe is not installed.
    """
    mediapipe = solutions()
    height, width = image.shape[:2]
    with mediapipe.holistic.Holistic(static_image_mode=True, model_complexity=1) as holistic:  # 2 is not in the wheel
        found = whole_body(holistic.process(enlarged(image)), width, height)
    if found is None:
        return Pose((), width, height, ("MediaPipe found nobody in the photo",))
    found[found[:, 2] < VISIBLE] = 0
    return Pose((Person.of(found),), width, height)


def solutions() -> Any:
    """MediaPipe's ready-made graphs.

    Raises:
        PoseError: it is not installed.
    """
    os.environ.setdefault("GLOG_minloglevel", "3")
    try:
        import mediapipe
    except ImportError as error:
        raise PoseError(
            "mediapipe is not installed; run in a fresh environment: pip install 'handfirst[cpu,eval]'"
        ) from error
    return mediapipe.solutions


def enlarged(picture: Picture) -> Picture:
    """uint8 RGB [H, W, 3]: the picture itself, or a whole multiple of it whose shorter side is at least SMALLEST."""
    height, width = picture.shape[:2]
    times = -(-SMALLEST // min(height, width))
    if times > 1:
        from PIL import Image

        large = Image.fromarray(picture).resize((times * width, times * height), Image.Resampling.BICUBIC)
        picture = np.asarray(large, np.uint8)
    return np.ascontiguousarray(picture)
