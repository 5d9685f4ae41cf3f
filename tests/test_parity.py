"""The whole two-stage loop against an independent one: support/two_stage_reference.py."""

from __future__ import annotations

import numpy as np
import pytest
from support.exports import Exports
from support.tiny_model import tiny_model, tiny_settings
from support.two_stage_reference import check, make_pose, make_requests, spread_masks

from handfirst.export.options import ExportOptions
from handfirst.export.weights import round_weights
from handfirst.runtime.diffusion.settings import ScheduleSettings
from handfirst.runtime.systems.two_stage.request import Request
from handfirst.runtime.systems.two_stage.system import TwoStage
from handfirst.training.systems.two_stage.model_folder import TwoStageModel, load_model, save_model

pytestmark = pytest.mark.long

SCHEDULES = {
    "epsilon": ScheduleSettings(),
    "v_prediction": ScheduleSettings(betas="linear", beta_start=0.0001, beta_end=0.02, prediction="v_prediction"),
    "sample": ScheduleSettings(betas="squaredcos_cap_v2", prediction="sample", spacing="trailing", steps_offset=0),
}


@pytest.fixture(scope="module", params=SCHEDULES)
def pair(
    request: pytest.FixtureRequest, exports: Exports, tmp_path_factory: pytest.TempPathFactory
) -> tuple[TwoStageModel, TwoStage]:
    """The same random weights twice: as torch modules, and exported and opened by the runtime."""
    folder = tmp_path_factory.mktemp("parity")
    fresh = tiny_model(settings=tiny_settings(schedule=SCHEDULES[request.param]))
    spread_masks(fresh)
    save_model(fresh, folder / "model")
    bundle = exports.export_bundle(folder / "model", folder / "bundle", ExportOptions("tiny"))
    model = load_model(folder / "model")
    for network in model.networks().values():
        round_weights(network)  # as the bundle stores them
    return model, TwoStage.open(bundle, engine="cpu")


def test_one_picture_equals_the_torch_reference(pair: tuple[TwoStageModel, TwoStage]) -> None:
    model, pipeline = pair
    (request,) = make_requests(1)
    check(model, request, pipeline.render(request))


def test_each_of_three_pictures_equals_the_torch_reference(pair: tuple[TwoStageModel, TwoStage]) -> None:
    model, pipeline = pair
    requests = make_requests(3)
    for request, result in zip(requests, pipeline.render_batch(requests), strict=True):
        check(model, request, result)


def test_a_picture_is_the_same_alone_and_in_a_batch(pair: tuple[TwoStageModel, TwoStage]) -> None:
    _, pipeline = pair
    requests = make_requests(3)
    for request, result in zip(requests, pipeline.render_batch(requests), strict=True):
        alone = pipeline.render(request)
        assert np.abs(alone.latents - result.latents).max() <= 1e-4
        assert (alone.mask == result.mask).all()


@pytest.mark.parametrize("blend", ["expansion", "naive", "bounding-box"])
@pytest.mark.parametrize("feather", [0.0, 3.0])
def test_kept_pixels_stay_kept(pair: tuple[TwoStageModel, TwoStage], blend: str, feather: float) -> None:
    _, pipeline = pair
    request = Request(pose=make_pose(5), prompt="a man", seed=3, steps=3, blend=blend, feather=feather)  # type: ignore[arg-type]
    result = pipeline.render(request)
    assert (result.image[result.mask] == result.canvas[result.mask]).all()


def test_one_stage_in_memory_gives_the_same_latents(pair: tuple[TwoStageModel, TwoStage]) -> None:
    _, pipeline = pair
    low = TwoStage.open(pipeline.bundle.path, engine="cpu", resident="stage")
    for got, wanted in zip(*(system.render_batch(make_requests(2)) for system in (low, pipeline)), strict=True):
        np.testing.assert_array_equal(got.latents, wanted.latents)
        np.testing.assert_array_equal(got.image, wanted.image)


def test_the_fixture_has_hands_to_keep(pair: tuple[TwoStageModel, TwoStage]) -> None:
    _, pipeline = pair
    (request,) = make_requests(1)
    result = pipeline.render(request)
    assert 0.01 < result.mask.mean() < 0.9, "random weights gave an empty or full mask: the tests above prove little"
