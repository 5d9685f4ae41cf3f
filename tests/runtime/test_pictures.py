"""Pictures as files, read back by another library."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from handfirst.runtime.pictures import encode

pictures = st.tuples(st.integers(1, 20), st.integers(1, 20)).flatmap(
    lambda size: st.one_of(arrays(np.uint8, (*size, 3)), arrays(np.bool_, size))
)


@pytest.mark.parametrize("kind", ["png", "webp"])
@settings(max_examples=40, deadline=None)
@given(image=pictures)
def test_nothing_is_lost(kind, image):
    with Image.open(io.BytesIO(encode(image, kind))) as read:
        assert read.format == kind.upper()
        found = np.asarray(read.convert("RGB"))
    wanted = np.repeat(image[..., None] * np.uint8(255), 3, -1) if image.dtype == np.bool_ else image
    np.testing.assert_array_equal(found, wanted)


def test_equal_pictures_give_equal_bytes():
    image = np.random.default_rng(0).integers(0, 255, (40, 30, 3), np.uint8)
    for kind in ("png", "webp"):
        assert encode(image, kind) == encode(image.copy(), kind)
