"""What a checkpoint says about its schedule and its text reaches the settings: whole loops against diffusers' own
scheduler, read from the same folder, and prompts against diffusers' pipeline."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from safetensors.torch import save_file
from support.original_layout import networks, original_checkpoint, write_folder, write_tokenizer
from transformers import CLIPTokenizer

from handfirst.engines.errors import UserError
from handfirst.runtime.diffusion.sampler import Prediction, denoise
from handfirst.runtime.diffusion.settings import ScheduleSettings
from handfirst.runtime.diffusion.table import Schedule, ddim_table
from handfirst.runtime.diffusion.text import token_ids
from handfirst.training.pretrained.file_schedule import zero_snr
from handfirst.training.pretrained.stable_diffusion import Given, StableDiffusion, read_stable_diffusion

PNDM: dict[str, Any] = {
    "_class_name": "PNDMScheduler", "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012,
    "num_train_timesteps": 1000, "set_alpha_to_one": False, "skip_prk_steps": True, "steps_offset": 1,
    "trained_betas": None, "clip_sample": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("sd"))


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "sd"))


def change(file: Path, **values: object) -> None:
    """Alters keys of a JSON file."""
    old = json.loads(file.read_text()) if file.is_file() else {}
    file.write_text(json.dumps({**old, **values}))


@torch.no_grad()
def loops(found: StableDiffusion, theirs: DDIMScheduler, steps: int = 9) -> tuple[np.ndarray, np.ndarray]:
    """The same random network and noise through the runtime's loop and through diffusers': latents [1, 4, 8, 8]."""
    context = torch.randn(1, 77, 64)
    start = torch.randn(1, 4, 8, 8)

    def says(x_t: torch.Tensor, t: int) -> torch.Tensor:
        out: torch.Tensor = found.unet(x_t, torch.tensor(t), encoder_hidden_states=context).sample
        return out

    def predict(x_t: Any, t: int) -> Prediction:
        return Prediction(says(torch.from_numpy(x_t), t).numpy())

    ours = [step.x_t for step in denoise(predict, start.numpy(), ddim_table(Schedule(found.schedule), steps, 1.0))][-1]
    theirs.set_timesteps(steps)
    x_t = start
    for t in theirs.timesteps:
        x_t = theirs.step(says(x_t, int(t)), t, x_t).prev_sample
    return ours, x_t.numpy()


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"prediction_type": "v_prediction"},
        {"prediction_type": "sample"},
        {"beta_schedule": "linear"},
        {"beta_schedule": "squaredcos_cap_v2", "prediction_type": "v_prediction", "timestep_spacing": "trailing"},
        {"beta_start": 0.0015, "beta_end": 0.0195, "timestep_spacing": "linspace"},
        {"num_train_timesteps": 500, "set_alpha_to_one": True, "steps_offset": 0},
        {"beta_schedule": "linear", "beta_start": None, "beta_end": None},
        {"rescale_betas_zero_snr": False, "thresholding": False, "prediction_type": "v_prediction"},
    ],
    ids=str,
)
def test_a_folders_whole_loop_is_that_of_its_own_scheduler(said: dict[str, Any], folder: Path) -> None:
    config = {key: value for key, value in {**PNDM, **said}.items() if value is not None}
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(config))
    ours, theirs = loops(read_stable_diffusion(folder), DDIMScheduler.from_pretrained(folder / "scheduler"))
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3 * np.abs(theirs).max())


def test_what_the_user_says_is_taken_and_a_contradiction_is_said(folder: Path) -> None:
    given = Given(prediction="v_prediction")
    found = read_stable_diffusion(folder, given=given)
    assert found.schedule.prediction == "v_prediction" and not found.notes
    change(folder / "scheduler" / "scheduler_config.json", prediction_type="epsilon")
    found = read_stable_diffusion(folder, given=given)
    assert found.schedule.prediction == "v_prediction"
    assert len(found.notes) == 1 and "says that the UNet predicts epsilon; v_prediction is taken" in found.notes[0]


def test_what_a_schedule_is_silent_about_is_diffusers_default_and_said(folder: Path) -> None:
    file = folder / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps({"_class_name": "DDIMScheduler", "steps_offset": 1, "clip_sample": False}))
    found = read_stable_diffusion(folder)
    assert found.schedule == ScheduleSettings(betas="linear", beta_start=1e-4, beta_end=0.02, set_alpha_to_one=True)
    assert len(found.notes) == 3 and "does not say beta_schedule" in found.notes[0]
    file.unlink()
    assert read_stable_diffusion(folder).schedule == ScheduleSettings()


@pytest.mark.parametrize(
    ("file", "said", "expected"),
    [
        ("scheduler/scheduler_config.json", {"rescale_betas_zero_snr": True}, "zero terminal SNR"),
        ("scheduler/scheduler_config.json", {"trained_betas": [0.1, 0.2]}, "trained_betas"),
        ("scheduler/scheduler_config.json", {"thresholding": True}, "thresholding"),
        ("scheduler/scheduler_config.json", {"prediction_type": "flow_prediction"}, "prediction: .*'flow_prediction'"),
        ("scheduler/scheduler_config.json", {"beta_schedule": "laplace"}, "betas: .*'laplace'"),
        ("scheduler/scheduler_config.json", {"beta_end": 1e400}, "beta_end"),
        ("scheduler/scheduler_config.json", {"beta_end": []}, "beta_end"),
        ("scheduler/scheduler_config.json", {"num_train_timesteps": 10**9}, "train_steps"),
        ("scheduler/scheduler_config.json", {"_class_name": "FlowMatchEulerDiscreteScheduler"}, "FlowMatch"),
        ("scheduler/scheduler_config.json", {"_class_name": "LCMScheduler"}, "got LCMScheduler"),
        ("unet/config.json", {"cross_attention_dim": 1024}, r"got a 2\.x checkpoint"),
        ("unet/config.json", {"use_linear_projection": True}, r"got a 2\.x checkpoint"),
        ("text_encoder/config.json", {"hidden_act": "gelu"}, r"got a 2\.x checkpoint"),
        ("unet/config.json", {"in_channels": 9}, "got 9 .an inpainting checkpoint"),
        ("unet/config.json", {"in_channels": 8}, "got 8 .an instruct-pix2pix checkpoint"),
        ("unet/config.json", {"time_cond_proj_dim": 256}, "time_cond_proj_dim = 256"),
        ("unet/config.json", {"block_out_channels": [1 << 20] * 4}, "cannot read UNet2DConditionModel"),
        ("unet/config.json", {"layers_per_block": 10**6}, "layers_per_block is 1000000"),
        ("unet/config.json", {"block_out_channels": [32] * 10**5}, "block_out_channels has 100000 values"),
        ("unet/config.json", {"norm_num_groups": 0}, "cannot read UNet2DConditionModel"),
        ("text_encoder/config.json", {"num_hidden_layers": 10**6}, "num_hidden_layers is 1000000"),
        ("text_encoder/config.json", {"vocab_size": 10**9}, "cannot read CLIPTextModel"),
        ("text_encoder/config.json", {"clip_skip": "two"}, "clip_skip: expected a count of layers, got 'two'"),
        ("text_encoder/config.json", {"clip_skip": 2}, "cannot leave out 2 of the text encoder's 2 layers"),
        ("vae/config.json", {"scaling_factor": 0}, "scaling_factor is 0"),
        ("tokenizer/tokenizer_config.json", {"pad_token": "<pad>"}, "303 tokens, the text encoder knows 302"),
        ("tokenizer/vocab.json", {"an": 10**9}, "the id of 'an' is 1000000000"),
        ("tokenizer/vocab.json", {"an": -1}, "the id of 'an' is -1"),
        ("tokenizer/vocab.json", {"an": 302}, "303 tokens, the text encoder knows 302"),
        ("model_index.json", {"_class_name": 7}, "got 7"),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_not_supported_is_one_line(file: str, said: dict[str, Any], expected: str, folder: Path) -> None:
    change(folder / file, **said)
    with pytest.raises(UserError, match=expected) as caught:
        read_stable_diffusion(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("place", ["tokenizer_config.json", "special_tokens_map.json"])
@pytest.mark.parametrize("token", ["!", {"__type": "AddedToken", "content": "!"}, "<|endoftext|>"], ids=str)
@torch.no_grad()
def test_prompts_are_padded_and_encoded_as_by_diffusers(place: str, token: object, folder: Path) -> None:
    change(folder / "tokenizer" / place, pad_token=token, model_max_length=40)
    change(folder / "tokenizer" / "tokenizer_config.json", model_max_length=40)
    found = read_stable_diffusion(folder)
    theirs = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    assert found.text.pad == theirs.convert_tokens_to_ids("!" if token != "<|endoftext|>" else token)
    assert found.text.length == theirs.model_max_length == 40
    if theirs.pad_token_id != found.text.pad:
        pytest.skip("this version of transformers does not read that file")
    ids = token_ids(found.tokenizer, "a red hand", found.text)[0]
    assert ids.tolist() == theirs("a red hand", padding="max_length", max_length=40)["input_ids"]


@pytest.mark.parametrize("skip", [None, 1])
@torch.no_grad()
def test_clip_skip_is_diffusers(skip: int | None, folder: Path) -> None:
    if skip:
        change(folder / "model_index.json", clip_skip=skip)
    found = read_stable_diffusion(folder)
    assert bool(found.notes) == bool(skip)
    text = networks()[2]
    ids = torch.from_numpy(token_ids(found.tokenizer, "a red hand", found.text)[0])[None]
    states = text(input_ids=ids, output_hidden_states=True).hidden_states  # as StableDiffusionPipeline.encode_prompt
    expected = getattr(text, "text_model", text).final_layer_norm(states[-1 - (skip or 0)])
    torch.testing.assert_close(found.text_encoder(input_ids=ids).last_hidden_state, expected)


class SingleFiles:
    """Checkpoints in one file, of the same networks."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.tokenizer = folder, write_tokenizer(folder / "tokenizer")
        self.weights = original_checkpoint(*networks()[:3])

    def read(
        self, extra: dict[str, torch.Tensor] | None = None, words: dict[str, str] | None = None, **given: Any
    ) -> StableDiffusion:
        save_file({**self.weights, **(extra or {})}, self.folder / "model.safetensors", words)
        return read_stable_diffusion(self.folder / "model.safetensors", self.tokenizer, Given(**given))


@pytest.fixture
def files(tmp_path: Path) -> SingleFiles:
    return SingleFiles(tmp_path)


V = {"prediction": "v_prediction"}


@pytest.mark.parametrize(
    ("extra", "words", "sidecar", "expected"),
    [
        ({"v_pred": torch.tensor([])}, None, None, V),
        ({}, {"modelspec.prediction_type": "v"}, None, V),
        ({}, {"modelspec.prediction_type": "epsilon", "ss_zero_terminal_snr": "False"}, None, {}),
        ({}, None, "parameterization: v", V),
        ({}, None, "parameterization: eps", {}),
        ({}, None, "linear_start: 0.00085\n    linear_end: 0.0120\n    timesteps: 1000", {}),
        ({}, None, "linear_start: 0.001\n    linear_end: 0.02", {"beta_start": 0.001, "beta_end": 0.02}),
        ({}, None, "beta_schedule: cosine\n    parameterization: x0",
         {"betas": "squaredcos_cap_v2", "prediction": "sample"}),
        ({}, None, "beta_schedule: sqrt_linear\n    linear_start: 0.001\n    linear_end: 0.02",
         {"betas": "linear", "beta_start": 0.001, "beta_end": 0.02}),
    ],
    ids=str,
)  # fmt: skip
def test_what_single_files_say(
    extra: dict[str, torch.Tensor], words: dict[str, str] | None, sidecar: str | None, expected: dict[str, Any],
    files: SingleFiles,
) -> None:  # fmt: skip
    if sidecar:
        (files.folder / "model.yaml").write_text(f"model:\n  target: ldm\n  params:\n    {sidecar}\n")
    found = files.read(extra, words)
    assert found.schedule == ScheduleSettings(**expected) and not found.notes


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize(
    "expected",
    [
        ScheduleSettings(),
        ScheduleSettings(betas="linear", beta_start=0.0001, beta_end=0.02),
        ScheduleSettings(betas="squaredcos_cap_v2"),
        ScheduleSettings(train_steps=400, beta_start=0.0015, beta_end=0.0195),
    ],
    ids=str,
)
def test_buffers_say_the_schedule(expected: ScheduleSettings, half: bool, files: SingleFiles) -> None:
    theirs = DDIMScheduler(
        expected.train_steps, beta_start=expected.beta_start, beta_end=expected.beta_end, beta_schedule=expected.betas,
        steps_offset=1, set_alpha_to_one=False, clip_sample=False, prediction_type="v_prediction",
    )  # fmt: skip
    buffers = {"alphas_cumprod": theirs.alphas_cumprod, "betas": theirs.betas}
    if half:
        buffers = {"alphas_cumprod": theirs.alphas_cumprod.half(), "betas": theirs.betas}
    found = files.read(buffers, prediction="v_prediction")
    for name in ("betas", "train_steps"):
        assert getattr(found.schedule, name) == getattr(expected, name)
    ours, other = loops(found, theirs)
    np.testing.assert_allclose(ours, other, rtol=1e-3, atol=1e-3 * np.abs(other).max())


def test_the_shifted_schedule_is_diffusers() -> None:
    theirs = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", rescale_betas_zero_snr=True
    )  # fmt: skip
    np.testing.assert_allclose(zero_snr(Schedule(ScheduleSettings()).alpha_bar), theirs.alphas_cumprod, atol=1e-6)


def test_zero_terminal_snr_in_single_files(files: SingleFiles) -> None:
    shifted = torch.from_numpy(zero_snr(Schedule(ScheduleSettings()).alpha_bar))
    for extra, words in (
        ({"ztsnr": torch.tensor([]), "v_pred": torch.tensor([])}, None),
        ({"alphas_cumprod": shifted.float()}, None),
        ({"alphas_cumprod": shifted.half()}, None),
        ({}, {"ss_zero_terminal_snr": "True"}),
    ):
        with pytest.raises(UserError, match=r"zero terminal SNR .*, which is not supported yet"):
            files.read(extra, words)
    with pytest.raises(UserError, match="EDM"):
        files.read({"edm_vpred.sigma_max": torch.tensor(80.0)})
    with pytest.raises(UserError, match=r"modelspec.prediction_type says 'flow'"):
        files.read({}, {"modelspec.prediction_type": "flow"})


@pytest.mark.parametrize(
    "odd", [torch.linspace(1, 0, 1000), torch.zeros(1000), torch.tensor(1.0), torch.full((1000,), torch.nan)]
)
def test_buffers_of_no_schedule_are_said(odd: torch.Tensor, files: SingleFiles) -> None:
    found = files.read({"alphas_cumprod": odd})
    assert found.schedule == ScheduleSettings() and len(found.notes) == 1 and "alphas_cumprod" in found.notes[0]


def test_places_that_contradict_each_other(files: SingleFiles) -> None:
    found = files.read({"v_pred": torch.tensor([])}, {"modelspec.prediction_type": "epsilon"})
    assert found.schedule.prediction == "v_prediction"
    assert found.notes == ("modelspec.prediction_type says epsilon, but the key v_pred is taken: v_prediction",)


@pytest.mark.parametrize(
    "text", ["", "model: [", "- a", "model: {params: 3}", "model: {params: {beta_schedule: wavy}}", "\0", "a: &a [*a]",
             "model: {params: {linear_start: many}}", "!!python/object/apply:os.system [true]"],
)  # fmt: skip
def test_a_yaml_that_makes_no_sense(text: str, files: SingleFiles) -> None:
    (files.folder / "model.yaml").write_text(text)
    with pytest.raises(UserError) as caught:
        files.read()
    assert "\n" not in str(caught.value)


def test_clip_skip_of_single_files(files: SingleFiles) -> None:
    assert files.read().text_encoder.config.num_hidden_layers == 2
    found = files.read({}, {"ss_clip_skip": "2"})
    assert found.text_encoder.config.num_hidden_layers == 1 and "clip skip 2" in found.notes[0]
    assert files.read({}, {"ss_clip_skip": "None"}).text_encoder.config.num_hidden_layers == 2
    assert files.read({}, {"ss_clip_skip": "2"}, skipped=0).text_encoder.config.num_hidden_layers == 2
