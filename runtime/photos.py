"""Photos of any kind as pixels and back: upright colour, what lies beside the colour, and what of it gets lost.

Knows nothing about what is done with the pixels.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image as Opened

FORMATS = ("JPEG", "PNG", "WEBP")
ORIENTATION = 274
"""EXIF's tag for how the camera was held."""
GREY = ("1", "L", "LA", "I;16", "I;16B", "I;16L", "I", "F")
PNG_DEPTH = 24
"""Where a PNG says its bits per channel."""


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo, upright.

    Attributes:
        pixels: uint8 RGB [H, W, 3].
        alpha: uint8 [H, W], or None.
        grey: whether the file is grey: red, green and blue are equal then.
        profile: its ICC colour profile; pixels stay in that space.
        notes: a line for everything in which a picture written from it differs from the file.
    """

    pixels: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None = None
    grey: bool = False
    profile: bytes | None = None
    notes: tuple[str, ...] = ()


def decode_photo(content: bytes) -> Photo:
    """A JPEG, PNG or WebP file, turned as its EXIF says.

    Raises:
        UserError: another kind of file, a damaged one, or one of far too many pixels.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=FORMATS) as opened:
                return _decoded(opened, content)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UserError("a photo of far too many pixels; make it smaller") from error
    except UnidentifiedImageError as error:
        raise UserError("expected a photo (JPEG, PNG or WebP), got something else") from error
    except Exception as error:  # a damaged picture can raise anything
        raise UserError("a damaged photo; save it again") from error


def _decoded(opened: Opened, content: bytes) -> Photo:
    from PIL import ImageOps

    notes = []
    if opened.getexif().get(ORIENTATION, 1) != 1:
        notes.append("the photo is turned upright, as its EXIF says; the picture's file says nothing of a turn")
    if getattr(opened, "n_frames", 1) > 1:
        notes.append(f"the photo has {opened.n_frames} frames; the first is read")  # type: ignore[attr-defined]
    if opened.mode.startswith(("I", "F")) or (opened.format == "PNG" and content[PNG_DEPTH : PNG_DEPTH + 1] == b"\x10"):
        notes.append("the photo has 16 bits a channel; the picture has 8")
    profile = opened.info.get("icc_profile")
    if opened.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "I", "F", "I;16", "I;16B", "I;16L"):
        notes.append(f"the photo's colours are {opened.mode}; the picture's are RGB")
        profile = None
    grey = opened.mode in GREY
    turned = ImageOps.exif_transpose(opened)
    upright = _eight_bits(turned)
    alpha = upright.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in upright.info
    whole = np.asarray(upright.convert("RGBA" if alpha else "RGB"), np.uint8)
    beside = np.ascontiguousarray(whole[..., 3]) if alpha else _clear(turned)
    return Photo(np.ascontiguousarray(whole[..., :3]), beside, grey, profile, tuple(notes))


def _eight_bits(picture: Opened) -> Opened:
    """Grey of more bits a pixel, whose conversion would cut what is above 255, as grey of 8."""
    from PIL import Image

    if not picture.mode.startswith(("I", "F")):
        return picture
    values = np.asarray(picture).astype(np.float64) / 257
    return Image.fromarray(np.rint(np.clip(values, 0, 255)).astype(np.uint8))


def _clear(picture: Opened) -> NDArray[np.uint8] | None:
    """The alpha of a grey of 16 bits one of whose values is said to be clear; None of any other picture."""
    value = picture.info.get("transparency")
    if not picture.mode.startswith("I") or not isinstance(value, int):
        return None
    return np.where(np.asarray(picture) == value, 0, 255).astype(np.uint8)


def encode_photo(
    pixels: NDArray[np.uint8], photo: Photo, kind: Literal["png", "webp"] = "png", xmp: bytes | None = None
) -> bytes:
    """Changed pixels uint8 [H, W, 3] of a photo as a file, without loss: with its alpha, its grey and its profile.

    A grey photo's stay grey: colours that came in become their luminance, and what was grey stays as it was.

    Args:
        xmp: a packet that goes into the file beside the pixels (metadata.py).
    """
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    picture = Image.fromarray(pixels)
    if photo.grey:
        picture = picture.convert("L")
    if photo.alpha is not None:
        picture.putalpha(Image.fromarray(photo.alpha))
    file, told = io.BytesIO(), PngInfo()
    if kind == "webp":  # which knows no grey, and gives pixels that cannot be seen any colour unless it is told not to
        picture = picture.convert("RGB" if photo.alpha is None else "RGBA")
        picture.save(file, kind, lossless=True, exact=True, xmp=xmp or b"", icc_profile=photo.profile)
    else:
        if xmp is not None:
            told.add_itxt("XML:com.adobe.xmp", xmp.decode())
        picture.save(file, kind, pnginfo=told, icc_profile=photo.profile)
    return file.getvalue()
