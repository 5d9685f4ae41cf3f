"""A stage's networks out of a model folder, ready to be trained; and back into a model folder afterwards.

What a training does not touch is copied, not loaded. Knows nothing about the loop.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel

from handfirst.engines.errors import UserError
from handfirst.runtime.diffusion.text import token_ids
from handfirst.runtime.systems.part_refiner.settings import SYSTEM
from handfirst.training.loop.task import Stage
from handfirst.training.models.encoders import Encoders
from handfirst.training.models.folder import next_folder, save_words
from handfirst.training.systems.part_refiner.model_folder import (
    CONTEXT_FILE,
    PartRefinerFolder,
    save_context,
    save_image,
    save_pose_guider,
    save_unet,
)
from handfirst.training.systems.part_refiner.networks import Inpainter, PartRefiner
from handfirst.training.systems.part_refiner.options import InpaintOptions, RefineOptions, RefinerOptions
from handfirst.training.systems.part_refiner.reference import unread
from handfirst.training.systems.part_refiner.samples import InpaintSamples, RefineSamples
from handfirst.training.systems.part_refiner.stages import InpaintStage, OnShards, RefineStage
from handfirst.training.systems.part_refiner.tasks import InpaintTask, RefineTask


class PartRefinerMaker:
    """One stage of a model folder, with the options of its training; see StageMaker.

    Raises:
        UserError: the folder is no part refiner, or one that is drawn by control.
    """

    def __init__(self, model: Path, options: RefinerOptions) -> None:
        self._source, self._options = PartRefinerFolder(model), options
        if self._source.settings.drawn_by == "control":
            raise UserError(f"{model}: a model that is drawn by control is not trained here; export it as it is")

    @property
    def samples(self) -> RefineSamples | InpaintSamples:
        """Of this stage."""
        if isinstance(self._options, RefineOptions):
            return RefineSamples(self._source.settings, self._options)
        assert isinstance(self._options, InpaintOptions)
        return InpaintSamples(self._source.settings, self._options)

    def stage(self) -> OnShards:
        """With the networks of the folder."""
        source, settings, options = self._source, self._source.settings, self._options
        autoencoder = source.network("autoencoder")
        if isinstance(options, RefineOptions):
            task = RefineTask(refiner_of(source, options), settings, options)
            return RefineStage(task, Encoders(autoencoder, None, settings.latent), settings)
        inpainter = Inpainter(source.network("inpaint_unet"), source.context())
        _compute_twice(options, inpainter.unet)
        text = None if settings.text is None else source.network("text_encoder")
        encoders = Encoders(autoencoder, text, settings.latent)
        return InpaintStage(InpaintTask(inpainter, settings, options), encoders, settings, prompts(source))

    def write(self, stage: Stage, training: dict[str, Any], out: Path) -> None:
        """The folder with what was trained in its place."""
        assert isinstance(stage, OnShards)
        refines = isinstance(stage.task, RefineTask)
        first = ("main_unet", "reference_unet", "pose_guider", "image_encoder")
        with next_folder(out, self._source.folder, first if refines else ("inpaint_unet", CONTEXT_FILE)) as folder:
            if isinstance(stage.task, RefineTask):
                save_refiner(stage.task.model, folder)
            else:
                save_inpainter(stage.task.model, folder)
            save_words(SYSTEM, stage.settings, {**self._source.training, **training}, folder)


def refiner_of(source: PartRefinerFolder, options: RefineOptions) -> PartRefiner:
    """Stage 1 of a folder; what no loss depends on, or shall not learn, is frozen."""
    main, reference = source.network("main_unet"), source.network("reference_unet")
    image = source.network("image_encoder")
    image.encoder.requires_grad_(options.train_image_encoder)
    if image.encoder.embeddings.mask_token is not None:
        image.encoder.embeddings.mask_token.requires_grad_(False)
    idle = set(unread(reference))
    for name, parameter in reference.named_parameters():
        if name in idle:
            parameter.requires_grad_(False)
    _compute_twice(options, main, reference)
    return PartRefiner(main, reference, source.network("pose_guider"), image)


def save_refiner(model: PartRefiner, folder: Path) -> None:
    """Stage 1's networks."""
    save_unet(model.main, folder, "main_unet")
    save_unet(model.reference, folder, "reference_unet")
    save_pose_guider(model.pose_guider, folder)
    save_image(model.image, folder)


def save_inpainter(model: Inpainter, folder: Path) -> None:
    """Stage 2's network, and what it is always told."""
    save_unet(model.unet, folder, "inpaint_unet")
    if model.context is not None:
        save_context(model.context, folder)


def prompts(source: PartRefinerFolder) -> torch.Tensor | None:
    """Token ids of the empty prompt, then of each kind's, int64 [1 + kinds, L]; None: the model reads no text."""
    text = source.settings.text
    if text is None or source.tokenizer is None:
        return None
    words = ["", *(kind.prompt for kind in source.settings.part.kinds.values())]
    return torch.stack([torch.from_numpy(token_ids(source.tokenizer, each, text)[0]) for each in words])


def _compute_twice(options: RefinerOptions, *unets: UNet2DConditionModel) -> None:
    if options.checkpoint_activations:
        for unet in unets:
            unet.enable_gradient_checkpointing()
