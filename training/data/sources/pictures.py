"""Pictures of records: files and members of tars. All small and picklable; pixels are read when asked for.

A picture's turn (EXIF) is followed only where the source's key points are in the turned picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from handfirst.training.data.example import LEFT_BIT, RIGHT_BIT
from handfirst.training.data.record import UnreadableError

_TURNED = (5, 6, 7, 8)  # EXIF orientations that swap width and height
_ORIENTATION = 0x0112


@dataclass(frozen=True)
class ImageFile:
    """A picture file.

    Attributes:
        path: any format that OpenCV reads.
        upright: whether the file's EXIF orientation is followed; False: rows and columns as they are stored.
    """

    path: Path
    upright: bool = False

    def read(self) -> NDArray[np.uint8]:
        """uint8 RGB [H, W, 3]."""
        flags = cv2.IMREAD_COLOR if self.upright else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        return np.ascontiguousarray(_decoded(_bytes(self.path), flags)[..., ::-1])

    def size(self) -> tuple[int, int]:
        """(width, height) in pixels; reads the file's header only.

        Raises:
            UnreadableError: as `read`.
        """
        from PIL import Image, UnidentifiedImageError  # only the readers that need a size pay for it

        try:
            with Image.open(self.path) as image:
                turned = self.upright and image.getexif().get(_ORIENTATION) in _TURNED
                return (image.height, image.width) if turned else (image.width, image.height)
        except FileNotFoundError as error:
            raise UnreadableError("no such file") from error
        except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError) as error:
            raise UnreadableError("not a picture") from error


@dataclass(frozen=True)
class MaskFile:
    """A mask file: hands as grey values.

    Attributes:
        path: any format that OpenCV reads; colours are turned to grey.
        left, right: the grey values of the two hands.
        only: 1 or 2 where the picture has the left or the right hand only: then every other value that is not 0 is it.
        upright: as of ImageFile.
    """

    path: Path
    left: int = 1
    right: int = 2
    only: int = 0
    upright: bool = False

    def read(self) -> NDArray[np.uint8]:
        """uint8 [H, W]: 0 nothing, 1 the left hand, 2 the right hand."""
        flags = cv2.IMREAD_GRAYSCALE if self.upright else cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION
        return sides_of(_decoded(_bytes(self.path), flags), self.left, self.right, self.only)


@dataclass(frozen=True)
class TarImage:
    """A picture that lies uncompressed in a tar, `size` bytes from `offset`."""

    path: Path
    offset: int
    size: int

    def read(self) -> NDArray[np.uint8]:
        """uint8 RGB [H, W, 3]."""
        return np.ascontiguousarray(_decoded(_bytes(self.path, self.offset, self.size), cv2.IMREAD_COLOR)[..., ::-1])


@dataclass(frozen=True)
class TarMask:
    """A mask of a shard (bit 1: left hand, bit 2: right hand), `size` bytes from `offset`."""

    path: Path
    offset: int
    size: int

    def read(self) -> NDArray[np.uint8]:
        """uint8 [H, W]: 0 nothing, 1 the left hand, 2 the right hand."""
        bits = _decoded(_bytes(self.path, self.offset, self.size), cv2.IMREAD_GRAYSCALE)
        return np.where(bits & RIGHT_BIT, 2, np.where(bits & LEFT_BIT, 1, 0)).astype(np.uint8)


def _bytes(path: Path, offset: int = 0, size: int = -1) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(size)
    except FileNotFoundError as error:
        raise UnreadableError("no such file") from error
    except OSError as error:
        raise UnreadableError("a file that cannot be read") from error


def _decoded(data: bytes, flags: int) -> NDArray[np.uint8]:
    """OpenCV's picture, BGR or grey."""
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    except cv2.error as error:  # more pixels than OpenCV allows
        raise UnreadableError("not a picture") from error
    if image is None:
        raise UnreadableError("not a picture")
    if cut_off(data):
        raise UnreadableError("a picture that is cut off")
    return np.asarray(image, np.uint8)


_JPEG, _SCAN, _END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"


def cut_off(data: bytes) -> bool:
    """Whether a JPEG ends in the middle of its pixels: OpenCV reads such a file and paints the rest grey.

    Neither marker can be in the pixels themselves, so that the end of the picture comes after its last scan.
    """
    return data.startswith(_JPEG) and data.rfind(_END) < data.rfind(_SCAN)


def sides_of(grey: NDArray[np.uint8], left: int, right: int, only: int) -> NDArray[np.uint8]:
    """Which hand each pixel is on.

    Args:
        grey: uint8 [H, W].
        left, right: the values that mean the left and the right hand.
        only: 1 or 2 where the picture has only the left or only the right hand, else 0.

    Returns:
        uint8 [H, W]: 0 nothing, 1 the left hand, 2 the right hand. With `only`, a mask without both values holds that
        hand in every pixel that is not 0.

    Raises:
        UnreadableError: without `only`, a value that means neither.
    """
    values = set(np.unique(grey).tolist()) - {0}
    if only and values != {left, right}:
        return np.where(grey > 0, only, 0).astype(np.uint8)
    if values - {left, right}:
        raise UnreadableError("a mask with values that mean no hand")
    return np.where(grey == left, 1, np.where(grey == right, 2, 0)).astype(np.uint8)
