"""Photos of every kind become upright pixels and a file again; what is not changed stays the same to the last bit."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

from handfirst.engines.errors import UserError
from handfirst.runtime.photos import ORIENTATION, Photo, decode_photo, encode_photo
from handfirst.runtime.systems.part_refiner.crops import Crop, paste

SIZES = ((5, 3), (1, 4000), (4000, 1), (1, 1), (33, 64))  # width, height


def noise(width: int, height: int, *channels: int, most: int = 256) -> NDArray[Any]:
    rng = np.random.default_rng(width * 7919 + height)
    return rng.integers(0, most, (height, width, *channels)).astype(np.uint8 if most == 256 else np.uint16)


def saved(picture: Image.Image, kind: str = "png", **how: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **how)
    return file.getvalue()


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif


def palette(width: int, height: int) -> Image.Image:
    picture = Image.fromarray(noise(width, height), "P")
    picture.putpalette(np.random.default_rng(0).integers(0, 256, 768).astype(np.uint8).tobytes())
    return picture


def jpeg_turned(orientation: int, width: int, height: int) -> bytes:
    return saved(Image.fromarray(noise(width, height, 3)), "jpeg", exif=turned(orientation))


KINDS: dict[str, Callable[[int, int], bytes]] = {
    "rgb": lambda w, h: saved(Image.fromarray(noise(w, h, 3))),
    "jpeg": lambda w, h: saved(Image.fromarray(noise(w, h, 3)), "jpeg"),
    "webp": lambda w, h: saved(Image.fromarray(noise(w, h, 4)), "webp", lossless=True, exact=True),
    "alpha": lambda w, h: saved(Image.fromarray(noise(w, h, 4))),
    "grey": lambda w, h: saved(Image.fromarray(noise(w, h))),
    "grey jpeg": lambda w, h: saved(Image.fromarray(noise(w, h)), "jpeg"),
    "grey with alpha": lambda w, h: saved(Image.fromarray(noise(w, h, 2), "LA")),
    "two colours": lambda w, h: saved(Image.fromarray(noise(w, h) > 127)),
    "palette": lambda w, h: saved(palette(w, h)),
    "palette with a clear colour": lambda w, h: saved(palette(w, h), transparency=3),
    "palette with alpha": lambda w, h: saved(palette(w, h), transparency=bytes(range(256))),
    "cmyk": lambda w, h: saved(Image.fromarray(noise(w, h, 4), "CMYK"), "jpeg"),
    **{f"turned {i}": partial(jpeg_turned, i) for i in range(1, 9)},
}


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_are_those_that_pillow_shows_upright(kind: str) -> None:
    for width, height in SIZES:
        content = KINDS[kind](width, height)
        photo = decode_photo(content)
        shown = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGBA"))
        assert np.array_equal(photo.pixels, shown[..., :3])
        assert (photo.alpha is not None) == any(word in kind for word in ("alpha", "clear", "webp"))
        if photo.alpha is not None:
            assert np.array_equal(photo.alpha, shown[..., 3])
        assert photo.grey == (kind.startswith("grey") or kind == "two colours")
        assert ("upright" in " ".join(photo.notes)) == (kind.startswith("turned") and kind != "turned 1")
        assert ("CMYK" in " ".join(photo.notes)) == (kind == "cmyk")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ending", ["png", "webp"])
def test_a_file_written_from_it_says_the_same_and_no_turn(kind: str, ending: str) -> None:
    photo = decode_photo(KINDS[kind](33, 20))
    again = decode_photo(encode_photo(photo.pixels, photo, ending))  # type: ignore[arg-type]
    assert np.array_equal(again.pixels, photo.pixels) and not again.notes
    assert (again.alpha is None) == (photo.alpha is None)
    assert photo.alpha is None or np.array_equal(again.alpha, photo.alpha)
    assert again.grey == (photo.grey and ending == "png")  # WebP knows no grey


def test_sixteen_bits_become_eight_by_rounding_and_it_is_said() -> None:
    values = noise(31, 17, most=65536)
    photo = decode_photo(saved(Image.fromarray(values)))
    assert np.array_equal(photo.pixels, np.repeat(np.rint(values / 257).astype(np.uint8)[..., None], 3, 2))
    assert photo.grey and any("16 bits" in note for note in photo.notes)
    colours = noise(31, 17, 3, most=65536)
    photo = decode_photo(cv2.imencode(".png", colours[..., ::-1])[1].tobytes())
    assert np.abs(photo.pixels.astype(int) - np.rint(colours / 257)).max() <= 1 and not photo.grey
    assert any("16 bits" in note for note in photo.notes)


def test_a_clear_grey_of_sixteen_bits_stays_clear() -> None:
    values = np.array([[0, 257, 1000], [65535, 1000, 999]], np.uint16)
    photo = decode_photo(saved(Image.fromarray(values), transparency=1000))
    assert photo.alpha is not None and photo.alpha.tolist() == [[255, 255, 0], [255, 0, 255]]


def test_a_colour_profile_goes_along_unless_the_colours_change() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    photo = decode_photo(saved(Image.fromarray(noise(5, 3, 3)), icc_profile=profile))
    assert photo.profile == profile and decode_photo(encode_photo(photo.pixels, photo)).profile == profile
    cmyk = decode_photo(saved(Image.fromarray(noise(5, 3, 4), "CMYK"), "jpeg", icc_profile=profile))
    assert cmyk.profile is None


def test_what_is_no_photo_is_one_clear_line() -> None:
    whole = KINDS["rgb"](64, 64)
    frames = [Image.fromarray(noise(8, 8, 3)), Image.fromarray(255 - noise(8, 8, 3))]
    moving = decode_photo(saved(frames[0], save_all=True, append_images=frames[1:]))
    assert any("2 frames" in note for note in moving.notes) and np.array_equal(moving.pixels, frames[0])
    for content, says in (
        (b"", "got something else"),
        (b"%PDF-1.7", "got something else"),
        (saved(Image.fromarray(noise(8, 8, 3)), "tiff"), "got something else"),
        (saved(Image.fromarray(noise(8, 8)), "gif"), "got something else"),
        (whole[: len(whole) // 2], "damaged"),
        (KINDS["jpeg"](64, 64)[:300], "damaged"),
        (huge(), "far too many pixels"),
    ):
        with pytest.raises(UserError, match=says) as caught:
            decode_photo(content)
        assert "\n" not in str(caught.value)


def huge() -> bytes:
    """A PNG whose head says 20000 x 20000."""
    small = bytearray(KINDS["rgb"](2, 2))
    small[16:24] = (20000).to_bytes(4, "big") * 2
    head = bytes(small[12:29])
    small[29:33] = zlib.crc32(head).to_bytes(4, "big")
    return bytes(small)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_what_a_repair_leaves_alone_is_the_same_in_the_file(data: st.DataObject) -> None:
    """Any mask, any size, with alpha, grey or neither: crop, fade and file change what may change and nothing else."""
    width, height = data.draw(st.tuples(st.integers(1, 60), st.integers(1, 60)))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    grey, clear = data.draw(st.booleans()), data.draw(st.booleans())
    pixels = rng.integers(0, 256, (height, width, 1 if grey else 3)).astype(np.uint8)
    pixels = np.repeat(pixels, 3, 2) if grey else pixels
    alpha = rng.integers(0, 256, (height, width)).astype(np.uint8) if clear else None
    mask = rng.random((16, 16)) < data.draw(st.floats(0, 1))
    x, y, side = data.draw(st.tuples(st.floats(-40, 60), st.floats(-40, 60), st.floats(1, 90)))
    made, changed = paste(pixels, Crop(x, y, side, 16), rng.integers(0, 256, (16, 16, 3)).astype(np.uint8), mask, 3)
    kind = data.draw(st.sampled_from(("png", "webp")))
    back = decode_photo(encode_photo(made, Photo(pixels, alpha, grey), kind))  # type: ignore[arg-type]
    assert np.array_equal(back.pixels[~changed], pixels[~changed])
    assert alpha is None if back.alpha is None else np.array_equal(back.alpha, alpha)
