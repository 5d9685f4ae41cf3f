"""A stage's networks, fresh or out of a model folder, ready to be trained; and back into a model folder afterwards.

What a training does not touch is copied, not loaded: of a full-size model, a stage loads about half. Knows nothing
about the loop.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from torch import nn

from handfirst.engines.errors import UserError
from handfirst.engines.spec import AxisLimits
from handfirst.runtime.diffusion.text import token_ids
from handfirst.runtime.systems.two_stage.settings import TwoStageSettings
from handfirst.training.data.buckets import Size, chosen
from handfirst.training.gestures.folder import FUSION
from handfirst.training.loop.machine import computes_in
from handfirst.training.loop.task import Stage
from handfirst.training.models.adapters import add_adapter, has_adapter, save_adapter
from handfirst.training.models.encoders import Encoders
from handfirst.training.models.folder import config_of, next_folder
from handfirst.training.systems.two_stage.body_outpainter import BodyOutpainter, build_base_unet, build_controlnet
from handfirst.training.systems.two_stage.config import TrainingConfig, changed_settings
from handfirst.training.systems.two_stage.hand_generator import HandGenerator, build_hand_generator, build_mask_head
from handfirst.training.systems.two_stage.model_folder import (
    ADAPTER,
    ModelFolder,
    save_hand,
    save_mask_head,
    save_words,
)
from handfirst.training.systems.two_stage.options import BodyOptions, FineTuneOptions, HandOptions
from handfirst.training.systems.two_stage.samples import BodySamples, HandSamples
from handfirst.training.systems.two_stage.stages import BodyStage, HandStage, OnShards
from handfirst.training.systems.two_stage.tasks import BodyTask, HandTask

Network = TypeVar("Network", bound=nn.Module)
HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}


class TwoStageMaker:
    """One stage of a model folder, with the options of its training; see StageMaker.

    Raises:
        UserError: the folder is no model, or the options change what cannot be changed.
    """

    def __init__(self, model: Path, options: FineTuneOptions) -> None:
        self._source, self._options = ModelFolder(model), options
        self._settings = changed_settings(self._source.settings, options)
        self._buckets: tuple[Size, ...] = ()
        body = self._settings.body
        if isinstance(options, BodyOptions):
            if body.height != body.width:
                raise UserError(f"expected a square canvas, got {body.width} x {body.height} in the model")
            if options.buckets is not None:
                self._buckets, self._settings = self._canvases(options.buckets)

    def _canvases(self, given: float | tuple[str, ...]) -> tuple[tuple[Size, ...], TwoStageSettings]:
        """The largest in front, and the settings of a model that paints all of them."""
        settings, side = self._settings, self._settings.body.width
        widths = config_of(self._source.folder / "body_unet")["block_out_channels"]
        multiple = settings.latent.factor * 2 ** (len(widths) - 1)
        sizes = chosen(given, side, multiple)
        limits = {
            name: AxisLimits(least=min(sides), usual=side, most=max(sides), multiple=multiple)
            for name, sides in zip(("widths", "heights"), zip(*sizes, (side, side), strict=True), strict=True)
        }
        largest_first = sorted(sizes, key=lambda size: -size[0] * size[1])
        return tuple(largest_first), settings.model_copy(update={"body": settings.body.model_copy(update=limits)})

    @property
    def samples(self) -> HandSamples | BodySamples:
        """Of this stage."""
        if isinstance(self._options, HandOptions):
            return HandSamples(self._settings, self._options, self._source.tokenizer)
        assert isinstance(self._options, BodyOptions)
        return BodySamples(self._settings, self._options, self._source.tokenizer, self._buckets)

    def stage(self) -> OnShards:
        """With the networks of the folder."""
        source, settings, options = self._source, self._settings, self._options
        networks = source.network("autoencoder"), source.network("text_encoder")
        encoders = channels_last(Encoders(*networks, settings.latent))
        empty = torch.from_numpy(token_ids(source.tokenizer, "", settings.text)[0])[None]
        if isinstance(options, HandOptions):
            return HandStage(hand_task(_hand(source, settings), settings, options), encoders, settings, empty)
        assert isinstance(options, BodyOptions)
        task = body_task(source.network("base"), source.network("controlnet"), settings, options)
        return BodyStage(task, encoders, settings, empty, self._buckets)

    def write(self, stage: Stage, training: dict[str, Any], out: Path) -> None:
        """The folder with what was trained in its place."""
        assert isinstance(stage, OnShards)
        write_model(self._source, stage, self._options, training, out)


def _hand(source: ModelFolder, settings: TwoStageSettings) -> HandGenerator:
    """With a fresh mask head where the settings ask for another one than the model has."""
    hand: HandGenerator = source.network("hand")
    if settings.hand.mask_head != source.settings.hand.mask_head:
        widths = hand.unet.config.block_out_channels
        hand.mask_head = build_mask_head(widths, settings.latent.factor, settings.hand.mask_head)
    return hand


def hand_task(hand: HandGenerator, settings: TwoStageSettings, options: HandOptions) -> HandTask:
    """All of the hand generator is trained; with an adapter: the adapter, the first convolution (its key-point
    channels are new to the UNet) and the mask head."""
    if options.checkpoint_activations:
        hand.unet.enable_gradient_checkpointing()
    if (adapter := options.adapter) is not None:
        alpha = adapter.alpha or float(adapter.rank)
        hand.unet = add_adapter(hand.unet, adapter.rank, alpha, adapter.layers, trained=("conv_in",))
        hand.conv_out.requires_grad_(False)
    return channels_last(HandTask(hand, settings, options))


def body_task(
    unet: UNet2DConditionModel,
    controlnet: ControlNetModel,
    settings: TwoStageSettings,
    options: BodyOptions,
) -> BodyTask:
    """The ControlNet is trained, its base frozen (paper, section III-C); with an adapter: the base's adapter alone."""
    unet.requires_grad_(False)
    if (precision := computes_in(options.precision)) != "no":
        unet.to(HALF[precision])  # what never changes needs no float32 copy
    if options.checkpoint_activations:
        unet.enable_gradient_checkpointing()
        controlnet.enable_gradient_checkpointing()
    if (adapter := options.adapter) is not None:
        controlnet.requires_grad_(False)
        unet = add_adapter(unet, adapter.rank, adapter.alpha or float(adapter.rank), adapter.layers)
    return channels_last(BodyTask(BodyOutpainter(unet, controlnet), settings, options))


def write_model(
    source: ModelFolder, stage: OnShards, options: FineTuneOptions, training: dict[str, Any], out: Path
) -> None:
    """The source's folder with what was trained in its place; `out` is replaced in one step.

    An adapter lies beside its UNet, whose own weights stay as they were; whoever reads the UNet gets it merged.

    Args:
        training: added to what the source's training.json says.
    """
    task = stage.task
    with next_folder(out, source.folder, _replaced(task, options)) as folder:
        if isinstance(task, HandTask):
            _write_hand(source, task, options, folder)
        else:
            _write_body(source, task, options, folder)
        save_words(stage.settings, {**source.training, **training}, folder)


def _replaced(task: HandTask | BodyTask, options: FineTuneOptions) -> tuple[str, ...]:
    """What of the source is not copied, because it is written; or learnt with another hand generator."""
    if isinstance(task, HandTask):
        return ("mask_head", FUSION, f"hand_unet{ADAPTER}" if options.adapter else "hand_unet*")
    return (f"body_unet{ADAPTER}",) if options.adapter else ("controlnet",)


def _write_hand(source: ModelFolder, task: HandTask, options: FineTuneOptions, folder: Path) -> None:
    if options.adapter is None:
        save_hand(task.model, folder)
        return
    save_mask_head(task.model.mask_head, folder)
    save_adapter(task.model.unet, folder / f"hand_unet{ADAPTER}")
    if has_adapter(source.folder / f"hand_unet{ADAPTER}"):  # the new one was trained on top of the old one
        save_hand(source.network("hand"), folder)
        save_mask_head(task.model.mask_head, folder)


def _write_body(source: ModelFolder, task: BodyTask, options: FineTuneOptions, folder: Path) -> None:
    if options.adapter is None:
        task.model.controlnet.save_pretrained(folder / "controlnet")
        return
    save_adapter(task.model.unet, folder / f"body_unet{ADAPTER}")
    if has_adapter(source.folder / f"body_unet{ADAPTER}"):
        source.network("base").save_pretrained(folder / "body_unet")


def channels_last(model: Network) -> Network:
    """The memory layout in which convolutions are faster."""
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def new_hand(config: TrainingConfig) -> HandGenerator:
    """Fresh weights."""
    settings = config.settings
    hand = build_hand_generator(
        config.hand_unet, settings.latent.channels, settings.condition_channels, settings.latent.factor,
        settings.hand.mask_head,
    )  # fmt: skip
    return channels_last(hand)


def new_body(config: TrainingConfig) -> BodyOutpainter:
    """Fresh weights."""
    settings = config.settings
    unet = build_base_unet(config.body_unet, settings.latent.channels)
    controlnet = build_controlnet(unet, config.controlnet, settings.body.hint_channels)
    return channels_last(BodyOutpainter(unet, controlnet))
