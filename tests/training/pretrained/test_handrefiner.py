"""A ControlNet of hands and an inpainting checkpoint, narrow: files become a model, and a model repairs a photo."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from safetensors.torch import save_file
from support.original_layout import networks, original_checkpoint, original_controlnet, write_tokenizer
from support.realishuman_layout import unet_of

from handfirst.engines.errors import UserError
from handfirst.export.rehearsing import TorchEngine
from handfirst.export.systems.part_refiner.modules import ControlledUNet
from handfirst.export.systems.part_refiner.parts import part_makers
from handfirst.runtime.cli.main import main
from handfirst.runtime.diffusion.noise import part_seed, randn
from handfirst.runtime.diffusion.text import token_ids
from handfirst.runtime.errors import RequestError
from handfirst.runtime.systems.part_refiner.job import example
from handfirst.runtime.systems.part_refiner.settings import PartSettings
from handfirst.runtime.systems.part_refiner.system import PartRefiner
from handfirst.training.pretrained.handrefiner import write_controlled
from handfirst.training.systems.part_refiner.model_folder import PartRefinerFolder
from handfirst.training.systems.part_refiner.options import InpaintOptions
from handfirst.training.systems.part_refiner.training import PartRefinerMaker

SIDE = 64


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """control.safetensors by its original names, inpainting.safetensors in one file, tokenizer/."""
    folder = tmp_path_factory.mktemp("handrefiner")
    _, vae, text, control = networks(seed=1)
    save_file(original_controlnet(control), folder / "control.safetensors")
    save_file(original_checkpoint(unet_of(2, inputs=9), vae, text), folder / "inpainting.safetensors")
    write_tokenizer(folder / "tokenizer")
    return folder


@pytest.fixture(scope="module")
def model(files: Path) -> Path:
    """Made by the command, then brought to crops of SIDE pixels: no network of it knows its size."""
    places = [str(files / name) for name in ("control.safetensors", "inpainting.safetensors", "model")]
    assert main(["init", "handrefiner", *places, "--tokenizer", str(files / "tokenizer")]) == 0
    settings = PartRefinerFolder(files / "model").settings
    small = settings.model_copy(update={"part": PartSettings(size=SIDE, hand=settings.part.hand)})
    (files / "model" / "settings.json").write_text(small.model_dump_json())
    return files / "model"


def test_every_network_is_where_it_belongs(model: Path) -> None:
    _, _, text, control = networks(seed=1)
    found = PartRefinerFolder(model)
    expected = {"controlnet": control, "inpaint_unet": unet_of(2, inputs=9), "text_encoder": text,
                "pose_guider": control.controlnet_cond_embedding}  # fmt: skip
    for name, network in expected.items():
        got, wanted = found.network(name).state_dict(), network.state_dict()  # type: ignore[arg-type]
        assert got.keys() == wanted.keys() and all(torch.equal(got[key], wanted[key]) for key in wanted)
    assert found.settings.drawn_by == "control" and found.settings.defaults.guidance == 9
    with pytest.raises(UserError, match="drawn by control is not trained here"):
        PartRefinerMaker(model, InpaintOptions())


@pytest.fixture(scope="module")
def opened(model: Path) -> PartRefiner:
    """The runtime's model on torch."""
    folder = PartRefinerFolder(model)
    assert folder.tokenizer is not None
    engines = {role: TorchEngine(make()) for role, make in part_makers(folder).items()}
    assert list(engines) == ["text_encoder", "pose_guider", "vae_encoder", "inpaint_unet", "vae_decoder"]
    return PartRefiner(folder.settings, engines, folder.tokenizer.to_str().encode())


@pytest.mark.parametrize(("strength", "left"), [(1.0, 4), (0.5, 2)])
def test_a_photo_is_repaired_as_diffusers_would(model: Path, opened: PartRefiner, strength: float, left: int) -> None:
    """The runtime's loop against diffusers' own ControlNet, UNet and scheduler on the same noise."""
    request = example(seed=4, steps=4, guidance=2.0, strength=strength)
    *steps, last = opened.steps(request)
    result = last.result
    assert [(each.stage, each.total) for each in steps[1:]] == [("inpaint", left)] * left
    assert np.array_equal(result.image[~result.mask], request.image[~result.mask])
    (part,) = result.parts
    assert part.refined is None and result.asked["inpaint_steps"] is None
    assert part.mask.mean() > 0.2 and (part.after != part.before).any()  # the ring is all of the hand
    assert np.abs(part.after - by_diffusers(model, part, request.seed, left)).max() <= 1


@pytest.mark.parametrize("name", ["steps", "guidance"])
def test_what_is_asked_of_a_stage_that_is_not_there_is_refused(opened: PartRefiner, name: str) -> None:
    with pytest.raises(RequestError, match=f"inpaint_{name}: this model has one stage; say {name} instead"):
        opened.render(example(**{f"inpaint_{name}": 3}))


@torch.no_grad()
def by_diffusers(model: Path, part, seed: int, left: int) -> np.ndarray:
    """uint8's values [S, S, 3] of a hand painted by diffusers' classes called one by one, in the last steps of four."""
    folder = PartRefinerFolder(model)
    vae, unet, control = (folder.network(name) for name in ("autoencoder", "inpaint_unet", "controlnet"))
    scale = 1 / folder.settings.latent.std[0]
    scheduler = DDIMScheduler(1000, 0.00085, 0.012, "scaled_linear", clip_sample=False, set_alpha_to_one=False,
                              steps_offset=1)  # fmt: skip
    scheduler.set_timesteps(4)
    times = scheduler.timesteps[-left:]

    def encoded(rgb: np.ndarray) -> torch.Tensor:
        image = torch.from_numpy(rgb.astype(np.float32)).permute(2, 0, 1)[None] / 127.5 - 1
        return scale * vae.encode(image)

    ring = torch.from_numpy(part.mask[::8, ::8].astype(np.float32))[None, None]
    known = encoded(part.before)
    shown = encoded(np.where(part.mask[..., None], np.uint8(128), part.before))
    pose = torch.from_numpy(part.pose.astype(np.float32)).permute(2, 0, 1)[None] / 255
    contexts = torch.from_numpy(contexts_of(folder))
    whole = part_seed(seed, part.name)
    x_t = torch.from_numpy(randn(part_seed(whole, "seam"), tuple(known.shape)))
    if left < 4:
        x_t = scheduler.add_noise(known, x_t, times[:1])
    grounds = torch.from_numpy(randn(part_seed(whole, "ground"), (left, *known.shape[1:])))
    for i, t in enumerate(times):
        x_t = torch.where(ring > 0, x_t, scheduler.add_noise(known, grounds[i : i + 1], t[None]))
        both = torch.cat([x_t, x_t])
        down, mid = control(both, t, contexts, torch.cat([pose, pose]), return_dict=False)
        sample = torch.cat([both, torch.cat([ring, ring]), torch.cat([shown, shown])], 1)
        answer = unet(sample, t, contexts, down_block_additional_residuals=down, mid_block_additional_residual=mid)
        u, c = answer.sample.chunk(2)
        x_t = scheduler.step(u + 2.0 * (c - u), t, x_t).prev_sample
    x_0 = torch.where(ring > 0, x_t, known)
    image = vae.decode(x_0 / scale)[0].permute(1, 2, 0)
    return ((image.clamp(-1, 1) + 1) * 127.5).round().numpy()


def contexts_of(folder: PartRefinerFolder) -> np.ndarray:
    """Of the empty prompt and of the hand's: [2, L, D], by transformers."""
    assert folder.tokenizer is not None and folder.settings.part.hand is not None and folder.settings.text is not None
    prompts = ("", folder.settings.part.hand.prompt)
    ids = torch.cat(
        [torch.from_numpy(token_ids(folder.tokenizer, each, folder.settings.text)[0])[None] for each in prompts]
    )
    return folder.network("text_encoder")(ids).last_hidden_state.numpy()


def test_the_graph_is_both_networks() -> None:
    """Against diffusers' own call with the picture in place of its feature."""
    _, _, _, control = networks(seed=1)
    unet = unet_of(2, inputs=9)
    sample, context = torch.randn(2, 9, 8, 8), torch.randn(2, 5, 64)
    t, pose = torch.tensor([10, 900]), torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        feature = control.controlnet_cond_embedding(pose)
        got = ControlledUNet(unet, control)(sample, t, context, feature)
        down, mid = control(sample[:, :4], t, context, pose, return_dict=False)
        plain = unet(sample, t, context).sample
        wanted = unet(
            sample, t, context, down_block_additional_residuals=down, mid_block_additional_residual=mid
        ).sample
    torch.testing.assert_close(got, wanted)
    assert (wanted - plain).abs().max() > 1e-3
    assert not isinstance(control.controlnet_cond_embedding, torch.nn.Identity)


def test_what_does_not_fit_is_named(files: Path, tmp_path: Path) -> None:
    tokenizer, inpainting = files / "tokenizer", files / "inpainting.safetensors"
    with pytest.raises(UserError, match="not a ControlNet"):
        write_controlled(inpainting, inpainting, None, tokenizer, tmp_path / "model")
    unet, vae, text, _ = networks(seed=1)
    save_file(original_checkpoint(unet, vae, text), tmp_path / "plain.safetensors")
    with pytest.raises(UserError, match="input channels of the UNet: expected 9, got 4"):
        write_controlled(files / "control.safetensors", tmp_path / "plain.safetensors", None, tokenizer,
                         tmp_path / "model")  # fmt: skip
    with pytest.raises(UserError, match="a single file carries no tokenizer"):
        write_controlled(files / "control.safetensors", inpainting, None, None, tmp_path / "model")
    assert not (tmp_path / "model").exists()
