"""A bundle whose requests choose the canvas: each size against the torch reference, and what is out of bounds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.two_stage_reference import check, make_requests

from handfirst.engines.bundle import Bundle
from handfirst.export.weights import round_weights
from handfirst.runtime.errors import RequestError
from handfirst.runtime.systems.two_stage.request import Request
from handfirst.runtime.systems.two_stage.system import TwoStage
from handfirst.training.systems.two_stage.model_folder import TwoStageModel, load_model

pytestmark = pytest.mark.long

STEPS = 4


def asking(size: tuple[int, int], seed: int = 7) -> Request:
    """A few steps of one picture of that size, its pose drawn on the same canvas."""
    return replace(make_requests(1, *size)[0], size=size, steps=STEPS, seed=seed)


@pytest.fixture(scope="module")
def pair(free_sizes: tuple[Path, Path]) -> tuple[TwoStageModel, TwoStage]:
    """The same random weights twice: as torch modules, and in graphs of free size."""
    folder, bundle = free_sizes
    model = load_model(folder)
    for network in model.networks().values():
        round_weights(network)
    return model, TwoStage.open(bundle, engine="cpu")


@pytest.mark.parametrize("size", [(256, 128), (192, 192)])
def test_every_size_equals_the_torch_reference(pair: tuple[TwoStageModel, TwoStage], size: tuple[int, int]) -> None:
    model, pipeline = pair
    request = asking(size)
    result = pipeline.render(request)
    assert result.image.shape == (size[1], size[0], 3) and result.mask.any()
    check(model, request, result)


def test_requests_of_several_sizes_go_into_one_batch(pair: tuple[TwoStageModel, TwoStage]) -> None:
    _, pipeline = pair
    requests = [asking((192, 128)), asking((128, 128)), replace(asking((128, 128), 8), size=None)]
    for request, result in zip(requests, pipeline.render_batch(requests), strict=True):
        alone = pipeline.render(request)
        assert alone.image.shape == result.image.shape
        np.testing.assert_allclose(alone.latents, result.latents, atol=1e-4)


def test_another_engine_paints_another_size_alike(pair: tuple[TwoStageModel, TwoStage]) -> None:
    _, pipeline = pair
    request = asking((192, 128))
    other = TwoStage.open(pipeline.bundle.path, engine="openvino")
    np.testing.assert_allclose(other.render(request).latents, pipeline.render(request).latents, atol=1e-3)


@pytest.mark.parametrize("size", [(64, 128), (320, 128), (128, 256), (160, 128)])
def test_a_size_out_of_bounds_is_one_line(pair: tuple[TwoStageModel, TwoStage], size: tuple[int, int]) -> None:
    with pytest.raises(RequestError) as caught:
        pair[1].render(asking(size))
    assert str(caught.value) == (
        "size of the picture: expected a width of 128 to 256 in steps of 64 and a height of 128 to 192 in steps of 64, "
        f"got {size[0]}x{size[1]}"
    )


def test_the_manifest_says_the_limits(pair: tuple[TwoStageModel, TwoStage]) -> None:
    manifest = Bundle.open(pair[1].bundle.path).manifest
    width = {"least": 128, "usual": 128, "most": 256, "multiple": 64}
    assert manifest.settings["body"]["widths"] == width
    limits = manifest.engines["body_unet"].spec.limits
    assert limits["cols"].model_dump() == {"least": 16, "usual": 16, "most": 32, "multiple": 8}
    assert limits["rows_2"].model_dump() == {"least": 8, "usual": 8, "most": 12, "multiple": 4}
