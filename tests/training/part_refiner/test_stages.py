"""Both stages on rendered pairs: what samples hold, the losses by diffusers and by hand, and what a run writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from diffusers.training_utils import compute_snr
from safetensors.torch import load_file
from support.finetuning import SHORT, leave_no_process_state
from torch import Tensor

from handfirst.engines.errors import UserError
from handfirst.runtime.diffusion.settings import ScheduleSettings
from handfirst.training.data.example import Example
from handfirst.training.data.shards import open_shards
from handfirst.training.loop.run import Data, train_stage
from handfirst.training.losses import Noising
from handfirst.training.systems import stages_of
from handfirst.training.systems.part_refiner.model_folder import PartRefinerFolder
from handfirst.training.systems.part_refiner.networks import PartRefiner
from handfirst.training.systems.part_refiner.options import InpaintOptions, RefineOptions
from handfirst.training.systems.part_refiner.samples import InpaintSamples, RefineSamples, pose_picture
from handfirst.training.systems.part_refiner.stages import InpaintStage, RefineStage
from handfirst.training.systems.part_refiner.training import PartRefinerMaker


@pytest.fixture(scope="module")
def example(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Example:
    return open_shards(pairs, tmp_path_factory.mktemp("index")).read(0)


def stacked(sample: dict[str, Any]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(np.asarray(value))[None] for name, value in sample.items()}


def test_a_pair_of_a_shard_has_its_other_one(example: Example) -> None:
    assert example.other is not None and example.other.other is None
    assert example.rgb.shape == example.other.rgb.shape == (32, 32, 3)
    assert example.attributes["side"] == example.other.attributes["side"]
    assert example.attributes["skin"] == example.other.attributes["skin"]


def test_refine_samples_show_the_part_on_black(refiner: Path, example: Example) -> None:
    settings = PartRefinerFolder(refiner).settings
    sample = RefineSamples(settings, RefineOptions()).fix(example, np.random.default_rng(0), 5)
    for rgb, pose in (("rgb", "pose"), ("reference", "reference_pose")):
        outside = (sample[pose] / 255 < settings.part.kinds["hand"].mask_threshold).all(-1)
        assert 0.02 < 1 - outside.mean() < 0.9 and not sample[rgb][outside].any()
        assert sample[rgb][~outside].mean() > 20
    mean, std = (np.array(each, np.float32) for each in (settings.image_encoder.mean, settings.image_encoder.std))
    back = sample["picture"].transpose(1, 2, 0) * std + mean
    np.testing.assert_allclose(back.mean((0, 1)), sample["reference"].mean((0, 1)) / 255, atol=0.01)
    dropped = RefineSamples(settings, RefineOptions(reference_dropout=1)).draw(example, np.random.default_rng(0))
    assert dropped["referenced"] == 0 and not dropped["picture"].any() and dropped["reference"].any()
    alone = Example(**{**vars(example), "other": None})
    with pytest.raises(UserError, match="expected a pair, got one picture"):
        RefineSamples(settings, RefineOptions()).fix(alone, np.random.default_rng(0), 5)


def test_inpaint_samples_are_grey_in_the_ring_alone(refiner: Path, example: Example) -> None:
    settings = PartRefinerFolder(refiner).settings
    sample = InpaintSamples(settings, InpaintOptions()).fix(example, np.random.default_rng(0), 5)
    changed = (sample["masked"] != sample["rgb"]).any(-1)
    assert (sample["masked"][changed] == 128).all()
    assert not (changed & (sample["dilated"] == 0)).any()
    cells = (sample["masked"] == 128).all(-1)[::8, ::8]
    assert (cells | (sample["ring"][0] == 0)).all() and sample["ring"].sum() > 4


def test_a_pose_picture_of_its_own_is_taken(example: Example) -> None:
    own = np.full((32, 32), 7, np.uint8)
    given = Example(**{**vars(example), "pictures": {"pose": own}})
    assert (pose_picture(given, "hand") == 7).all() and pose_picture(given, "hand").shape == (32, 32, 3)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_min_snr_weights_are_those_of_diffusers_snr(prediction: str) -> None:
    schedule = ScheduleSettings(prediction=prediction)  # type: ignore[arg-type]
    scheduler = DDIMScheduler(1000, 0.00085, 0.012, "scaled_linear")
    t = torch.tensor([0, 10, 300, 600, 999])
    snr = compute_snr(scheduler, t)
    expected = torch.stack([snr, torch.full_like(snr, 5.0)]).min(0).values / (snr + (prediction != "epsilon"))
    torch.testing.assert_close(Noising(schedule, 5.0, gamma=5.0).weight(t), expected, rtol=1e-4, atol=1e-6)
    assert (Noising(schedule, 5.0).weight(t) == 1).all()


def test_the_loss_of_stage_1_by_hand(refiner: Path, example: Example) -> None:
    maker = PartRefinerMaker(refiner, RefineOptions(min_snr=5.0))
    stage = maker.stage()
    assert isinstance(stage, RefineStage)
    batch = stage.encode(stacked(maker.samples.fix(example, np.random.default_rng(0), 700)))
    model: PartRefiner = stage.task.model.eval()
    a = torch.from_numpy(np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2))[700].float()
    x_t = a.sqrt() * batch.x_0 + (1 - a).sqrt() * batch.eps
    context = model.image(batch.picture)
    banks = model.banks(batch.reference, batch.t, context, batch.reference_pose)
    square = (model(x_t, batch.t, context, batch.pose, batch.referenced, banks) - batch.eps) ** 2
    snr = a / (1 - a)
    expected = square.mean() * torch.minimum(snr, torch.tensor(5.0)) / snr
    torch.testing.assert_close(stage.task(batch)["noise"], expected, rtol=1e-4, atol=1e-6)


def test_stage_2_of_a_model_without_text_learns_its_context(refiner: Path, example: Example) -> None:
    maker = PartRefinerMaker(refiner, InpaintOptions())
    stage = maker.stage()
    assert isinstance(stage, InpaintStage)
    sample = stacked(maker.samples.fix(example, np.random.default_rng(0), 300))
    stage.losses(sample)["noise"].backward()
    context = stage.task.model.context
    assert context is not None and context.grad is not None and context.grad.abs().max() > 0
    untold = stage.losses({**sample, "told": torch.tensor([False])})["noise"]
    assert untold != stage.losses(sample)["noise"]


def test_runs_write_what_they_train_and_nothing_else(refiner: Path, pairs: Path, tmp_path: Path) -> None:
    leave_no_process_state()
    changed = {"refine": {"main_unet", "reference_unet", "pose_guider", "image_encoder"}, "inpaint": {"inpaint_unet"}}
    for name, kind in stages_of("part-refiner").items():
        options = kind.options.model_validate({**SHORT, "steps": 2, "batch": 2, "warmup": 0})
        leave_no_process_state()
        model = train_stage(name, kind, refiner, Data((pairs,), (1.0,)), options, tmp_path / name, show=False)
        assert model is not None
        files = sorted(path.relative_to(refiner) for path in refiner.rglob("*.safetensors"))
        differ = {file.parts[0] for file in files if (refiner / file).read_bytes() != (model / file).read_bytes()}
        assert differ == changed[name]
        assert json.loads((model / "training.json").read_text())[name]["steps"] == 2
        context = (model / "inpaint_context.npy").read_bytes() != (refiner / "inpaint_context.npy").read_bytes()
        assert context == (name == "inpaint")
        assert list((tmp_path / name).glob("sheet-*.png"))
    frozen, learnt = (
        load_file(folder / "image_encoder" / "model.safetensors") for folder in (refiner, tmp_path / "refine" / "model")
    )
    assert all(torch.equal(frozen[key], learnt[key]) for key in frozen)  # only its projector learns by default
