"""RealisHuman's public checkpoints and the base models beside them -> a part refiner's model folder.

    checkpoint-stage1-PART.ckpt    unet_main.*, unet_ref.*, pose_guider.*, clip_projector.*, in diffusers' names
    checkpoint-stage2-PART.ckpt    unet_main.* with nine input channels
    DINOv2                         the image encoder
    sd-vae-ft-mse                  the autoencoder of both stages
    stable-diffusion-inpainting    text encoder and tokenizer; the UNet, where there is no checkpoint of stage 2
    rv-5-1                         the schedule; the UNets, where there is no checkpoint of stage 1

Where they lie is found out in realishuman_places.py. One network is in memory at a time, and nothing in a checkpoint is
ever executed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from diffusers.models.controlnets.controlnet import ControlNetConditioningEmbedding
from transformers import CLIPTextModel, Dinov2Config, Dinov2Model

from handfirst.engines.errors import UserError
from handfirst.runtime.diffusion.settings import ScheduleSettings
from handfirst.runtime.systems.part_refiner.settings import (
    SYSTEM,
    ImageEncoderSettings,
    KindSettings,
    PartRefinerSettings,
    PartSettings,
)
from handfirst.training.models.folder import next_folder, save_words
from handfirst.training.pretrained import original
from handfirst.training.pretrained.file_kinds import one_line
from handfirst.training.pretrained.folder import read_folder, read_json
from handfirst.training.pretrained.networks import build, fill, is_whole, side
from handfirst.training.pretrained.realishuman_places import PartName, Places
from handfirst.training.pretrained.schedule import read_schedule
from handfirst.training.pretrained.stable_diffusion import latent_of, read_vae
from handfirst.training.pretrained.tokenizer import read_tokenizer, text_settings
from handfirst.training.pretrained.weights import Weights, read_weights, without_prefix
from handfirst.training.systems.part_refiner.model_folder import (
    save_image,
    save_pose_guider,
    save_unet,
)
from handfirst.training.systems.part_refiner.networks import ImageContext

SIZE, PICTURE = 512, 224
KINDS = {"hand": KindSettings(), "face": KindSettings(dilation=30 / 512, mask_threshold=0.2)}
"""As released, the face's prompt included, which speaks of hands."""
Network = TypeVar("Network", UNet2DConditionModel, ControlNetModel)
_WRAPPED = "module."
_PROJECTOR = "clip_projector."
_OLD_NAMES = (
    (".attention.attention.query.", ".attention.q_proj."),
    (".attention.attention.key.", ".attention.k_proj."),
    (".attention.attention.value.", ".attention.v_proj."),
    (".attention.output.dense.", ".attention.o_proj."),
)
"""DINOv2's, as its files on the hub have them and as transformers 5 writes them."""


def write_refiner(places: Places, part: PartName, seed: int, out: Path) -> tuple[str, ...]:
    """Reads all pieces, one after the other, and writes the model folder.

    Args:
        places: of `find_places`: dino, vae, inpainting, and stage1 or base are there.
        seed: of weights that no checkpoint has.

    Returns:
        what the user should know, a line each.

    Raises:
        UserError: a piece is damaged, of another kind, or does not fit the others. Nothing is left behind.
    """
    assert places.dino is not None and places.vae is not None and places.inpainting is not None
    notes = list(places.notes)
    with next_folder(out) as folder, torch.random.fork_rng():
        torch.manual_seed(seed)
        vae = read_vae(places.vae)
        vae.save_pretrained(folder / "vae")
        latent = latent_of(vae)
        encoder, words = read_text(places.inpainting, places.tokenizer)
        tokenizer = read_tokenizer(words)
        text = text_settings(words, tokenizer, encoder)
        encoder.save_pretrained(folder / "text_encoder")
        tokenizer.save(str(folder / "tokenizer.json"))
        del encoder
        inpaint, source = _inpaint_unet(places)
        save_unet(fitting(inpaint, text.width, 2 * latent.channels + 1, source), folder, "inpaint_unet")
        del inpaint
        if places.stage2 is None:
            notes.append(f"no checkpoint-stage2-{part}.ckpt: stage 2 is {source}'s own, untrained for rings")
        width, patches = _first_stage(places, latent.channels, folder, notes)
        settings = PartRefinerSettings(
            schedule=_schedule(places, notes),
            latent=latent,
            text=text,
            image_encoder=ImageEncoderSettings(size=PICTURE, tokens=1 + (PICTURE // patches) ** 2, width=width),
            part=_part(part),
        )
        save_words(
            SYSTEM, settings, {"note": "RealisHuman" if places.stage1 and places.stage2 else "untrained"}, folder
        )
    return tuple(notes)


def read_checkpoint(file: Path) -> Weights:
    """The tensors of one of RealisHuman's, without what wrapped them while they were trained.

    Raises:
        UserError: as `read_weights`.
    """
    return {name.removeprefix(_WRAPPED): value for name, value in read_weights(file).items()}


def read_unet(weights: Weights, prefix: str) -> UNet2DConditionModel:
    """A UNet of version 1.x in diffusers' names, whose sizes are read off the weights.

    Raises:
        KeyError, ValueError: a weight that is not there, or one that makes no sense.
    """
    inner = without_prefix(weights, prefix)
    return fill(build(UNet2DConditionModel, _unet_config(inner), inner), inner)


def read_dino(folder: Path) -> Dinov2Model:
    """DINOv2 out of a folder of transformers, by its old names or by its new ones.

    Raises:
        UserError: no such folder, or it is damaged.
    """
    config = read_json(folder / "config.json")
    file = next((folder / n for n in ("model.safetensors", "pytorch_model.bin") if (folder / n).is_file()), None)
    if config.get("model_type") != "dinov2" or file is None:
        raise UserError(f"{folder}: expected DINOv2 with config.json and model.safetensors; is the download complete?")
    weights = {_new_name(name): value for name, value in read_weights(file).items()}
    with one_line(folder, "not DINOv2", "copy it again"):
        return fill(build(Dinov2Model, Dinov2Config.from_dict(config), weights), weights)


def _first_stage(places: Places, channels: int, folder: Path, notes: list[str]) -> tuple[int, int]:
    """Writes stage 1's networks; the width of the image's context, and the image encoder's pixels a patch."""
    assert places.dino is not None
    encoder = read_dino(places.dino)
    patches = int(encoder.config.patch_size)
    if places.stage1 is None:
        assert places.base is not None
        notes.append(f"no checkpoint of stage 1: both UNets are {places.base}'s, pose guider and projector are fresh")
        unet = read_base_unet(places.base)
        width = int(unet.config.cross_attention_dim)
        save_image(ImageContext(encoder, width), folder)
        guider = ControlNetConditioningEmbedding(unet.config.block_out_channels[0])
        for name in ("main_unet", "reference_unet"):
            save_unet(fitting(unet, width, channels, places.base), folder, name)
        save_pose_guider(guider, folder)
        return width, patches
    weights = read_checkpoint(places.stage1)
    with one_line(places.stage1, "not RealisHuman's stage 1", "copy it again"):
        width = side(weights, f"{_PROJECTOR}1.weight", 0)
        image = ImageContext(encoder, width)
        projector = without_prefix(weights, _PROJECTOR)
        image.projector.load_state_dict({name: value.float() for name, value in projector.items()})
        save_image(image, folder)
        del image, encoder
        save_pose_guider(_pose_guider(without_prefix(weights, "pose_guider.")), folder)
        for name, prefix in (("main_unet", "unet_main."), ("reference_unet", "unet_ref.")):
            save_unet(fitting(read_unet(weights, prefix), width, channels, places.stage1), folder, name)
    return width, patches


def _inpaint_unet(places: Places) -> tuple[UNet2DConditionModel, Path]:
    """Stage 2's UNet, and where it is from."""
    assert places.inpainting is not None
    if places.stage2 is not None:
        weights = read_checkpoint(places.stage2)
        with one_line(places.stage2, "not RealisHuman's stage 2", "copy it again"):
            return read_unet(weights, "unet_main."), places.stage2
    return read_base_unet(places.inpainting), places.inpainting


def read_base_unet(path: Path) -> UNet2DConditionModel:
    """Of a diffusers folder, or of a single file in the original layout."""
    if path.is_dir():
        return read_folder(UNet2DConditionModel, path / "unet")
    weights = _whole(path)
    with one_line(path, "not a Stable Diffusion 1.x checkpoint", "copy it again"):
        return original.read_unet(weights)


def read_text(path: Path, tokenizer: Path | None) -> tuple[CLIPTextModel, Path]:
    """Text encoder of a folder or file, and where its tokenizer is."""
    if path.is_dir():
        return read_folder(CLIPTextModel, path / "text_encoder"), tokenizer or path / "tokenizer"
    if tokenizer is None:
        raise UserError(f"{path}: a single file carries no tokenizer; give one with --tokenizer FOLDER")
    weights = _whole(path)
    with one_line(path, "not a Stable Diffusion 1.x checkpoint", "copy it again"):
        return original.read_text_encoder(weights), tokenizer


def _whole(file: Path) -> Weights:
    weights = read_weights(file)
    if not is_whole(weights):
        raise UserError(f"{file}: expected a whole Stable Diffusion 1.x checkpoint; give a folder or another file")
    return weights


def fitting(unet: Network, width: int, inputs: int, source: Path) -> Network:
    """Raises a UserError where its context or its input channels are others."""
    config = unet.config
    for what, expected, got in (
        ("input channels", inputs, config.in_channels),
        ("width of its context", width, config.cross_attention_dim),
    ):
        if expected != got:
            name = "UNet" if isinstance(unet, UNet2DConditionModel) else "ControlNet"
            raise UserError(f"{source}: {what} of the {name}: expected {expected}, got {got}; give the one that fits")
    return unet


def _pose_guider(weights: Weights) -> ControlNetConditioningEmbedding:
    blocks = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("blocks."))
    widths = [
        side(weights, "conv_in.weight", 0),
        *(side(weights, f"blocks.{i}.weight", 0) for i in range(1, blocks, 2)),
    ]
    config = {
        "conditioning_embedding_channels": side(weights, "conv_out.weight", 0),
        "block_out_channels": tuple(widths),
    }
    return fill(build(ControlNetConditioningEmbedding, config, weights), weights)


def _unet_config(inner: Weights) -> dict[str, Any]:
    """Four levels of two residual blocks, as in every 1.x model."""
    attended = [f"down_blocks.{i}.attentions.0.proj_in.weight" in inner for i in original.LEVELS]
    return {
        "sample_size": 64,
        "in_channels": side(inner, "conv_in.weight", 1),
        "out_channels": side(inner, "conv_out.weight", 0),
        "block_out_channels": [side(inner, f"down_blocks.{i}.resnets.0.conv1.weight", 0) for i in original.LEVELS],
        "down_block_types": ["CrossAttnDownBlock2D" if has else "DownBlock2D" for has in attended],
        "up_block_types": ["CrossAttnUpBlock2D" if has else "UpBlock2D" for has in reversed(attended)],
        "cross_attention_dim": side(inner, "mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight", 1),
        "layers_per_block": 2,
        "attention_head_dim": 8,
        "norm_num_groups": 32,
    }


def _schedule(places: Places, notes: list[str]) -> ScheduleSettings:
    """The base's, rescaled to zero terminal SNR as both stages were trained."""
    file = None if places.base is None else places.base / "scheduler" / "scheduler_config.json"
    if file is None or not file.is_file():
        notes.append("no scheduler_config.json of rv-5-1: the schedule is Stable Diffusion 1.5's")
        return ScheduleSettings(zero_snr=True)
    found = read_schedule(file)
    notes.extend(found.notes)
    return found.settings.model_copy(update={"zero_snr": True})


def _part(part: PartName) -> PartSettings:
    return PartSettings(size=SIZE, hand=KINDS["hand"] if part == "hand" else None,
                        face=KINDS["face"] if part == "face" else None)  # fmt: skip


def _new_name(name: str) -> str:
    name = name.removeprefix("dinov2.")
    for old, new in _OLD_NAMES:
        name = name.replace(old, new)
    return name
