"""Pixels and latents against formulas by hand, with arithmetic engines."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fake_engine import FakeEngine

from handfirst.engines.errors import EngineError
from handfirst.engines.spec import EngineSpec, TensorSpec
from handfirst.runtime.diffusion.codec import Codec, to_signed, to_uint8
from handfirst.runtime.diffusion.settings import LatentSettings

IMAGE = TensorSpec(name="image", dtype="float32", shape=("batch", 3, "height", "width"))
LATENT = TensorSpec(name="latent", dtype="float32", shape=("batch", 3, "rows", "cols"))
SETTINGS = LatentSettings(channels=3, factor=8, mean=(0.1, -0.2, 0.3), std=(0.5, 2.0, 1.0))


def average(inputs):
    """The encoder: block means."""
    image = inputs["image"]
    b, c, h, w = image.shape
    return {"latent": image.reshape(b, c, h // 8, 8, w // 8, 8).mean((3, 5), dtype=np.float32)}


def repeat(inputs):
    """The decoder: every cell as a flat block."""
    return {"image": inputs["latent"].repeat(8, 2).repeat(8, 3)}


def codec(decode=repeat, settings=SETTINGS):
    return Codec(
        FakeEngine(EngineSpec(inputs=(IMAGE,), outputs=(LATENT,)), "vae_encoder", average),
        FakeEngine(EngineSpec(inputs=(LATENT,), outputs=(IMAGE,)), "vae_decoder", decode),
        settings,
    )


def test_black_grey_and_white():
    images = np.array([0, 128, 255], np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 3), np.uint8)
    signed = to_signed(images)
    assert signed.shape == (3, 3, 8, 8)
    assert signed.dtype == np.float32
    np.testing.assert_allclose(signed[:, 0, 0, 0], [-1, 1 / 255, 1], atol=1e-6)


@given(value=st.integers(0, 255))
def test_every_value_survives_the_way_there_and_back(value):
    images = np.full((1, 2, 3, 3), value, np.uint8)
    np.testing.assert_array_equal(to_uint8(to_signed(images)), images)


def test_channels_go_last_and_out_of_range_is_clipped():
    image = np.zeros((1, 3, 1, 2), np.float32)
    image[0, :, 0, 0] = (-3, 0.5, 7)
    np.testing.assert_array_equal(to_uint8(image)[0, 0, 0], [0, 191, 255])
    assert to_uint8(image).flags.c_contiguous


def test_encode_standardises_per_channel():
    images = np.full((2, 16, 24, 3), 255, np.uint8)
    latents = codec().encode(images)
    assert latents.shape == (2, 3, 2, 3)
    assert latents.dtype == np.float32
    np.testing.assert_allclose(latents[0, :, 0, 0], [(1 - 0.1) / 0.5, (1 + 0.2) / 2, (1 - 0.3) / 1], rtol=1e-6)


def test_decode_undoes_encode():
    images = np.random.default_rng(0).integers(0, 256, (2, 2, 3, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
    np.testing.assert_array_equal(codec().decode(codec().encode(images)), images)


def test_nan_is_an_error_with_a_remedy():
    broken = codec(lambda inputs: {"image": np.full((1, 3, 8, 8), np.nan, np.float32)})
    with pytest.raises(EngineError, match=r"vae_decoder: .*float32 or bfloat16"):
        broken.decode(np.zeros((1, 3, 1, 1), np.float32))


def test_a_sketch_is_a_colour_per_cell_by_hand():
    """Raw channels weighed: red is the first, green half the second, blue minus the third."""
    rows = ((1.0, 0.0, 0.0), (0.0, 0.5, 0.0), (0.0, 0.0, -1.0))
    sketching = codec(settings=SETTINGS.model_copy(update={"preview": rows}), decode=None)
    latents = np.array([0.8, 0.4, -0.5], np.float32)[None, :, None, None] * np.ones((2, 1, 2, 3), np.float32)
    red, green, blue = 0.8 * 0.5 + 0.1, 0.5 * (0.4 * 2 - 0.2), -(-0.5 + 0.3)
    picture = sketching.sketch(latents)
    assert (picture.shape, picture.dtype) == ((2, 16, 24, 3), np.uint8)
    wanted = np.rint((np.array([red, green, blue]) + 1) * 127.5)
    assert (picture == wanted).all()


def test_a_sketch_between_two_cells_is_bilinear():
    rows = ((1.0, 0.0, 0.0), (1.0, 0.0, 0.0), (1.0, 0.0, 0.0))
    sketching = codec(settings=SETTINGS.model_copy(update={"preview": rows}), decode=None)
    latents = np.zeros((1, 3, 1, 2), np.float32)
    latents[0, 0, 0] = (np.array([-1, 1]) - 0.1) / 0.5  # black, then white
    row = sketching.sketch(latents)[0, 0, :, 0]
    cells = np.clip((np.arange(16) + 0.5) / 8 - 0.5, 0, 1)  # 0 at the first cell's centre, 1 at the second's
    np.testing.assert_allclose(row, 255 * cells, atol=1)


def test_without_weights_a_sketch_is_decoded():
    latents = np.full((1, 3, 1, 1), 0.2, np.float32)
    np.testing.assert_array_equal(codec().sketch(latents), codec().decode(latents))
