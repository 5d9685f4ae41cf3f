"""The denoiser out of a model folder, ready to be trained; and back into a model folder afterwards.

What the training does not touch is copied, not loaded. Knows nothing about the loop.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from handfirst.runtime.diffusion.text import token_ids
from handfirst.runtime.systems.annotated.settings import SYSTEM
from handfirst.training.loop.task import Stage
from handfirst.training.models.encoders import Encoders
from handfirst.training.models.folder import next_folder, save_words
from handfirst.training.systems.annotated.model_folder import AnnotatedFolder, save_denoiser
from handfirst.training.systems.annotated.options import DenoiserOptions
from handfirst.training.systems.annotated.samples import DenoiserSamples
from handfirst.training.systems.annotated.stages import DenoiserStage, DenoiserTask


class AnnotatedMaker:
    """A model folder, with the options of its training; see StageMaker.

    Raises:
        UserError: the folder is no model of annotated hands.
    """

    def __init__(self, model: Path, options: DenoiserOptions) -> None:
        self._source, self._options = AnnotatedFolder(model), options

    @property
    def samples(self) -> DenoiserSamples:
        """Of the only stage."""
        return DenoiserSamples(self._source.settings, self._options, self._source.tokenizer)

    def stage(self) -> DenoiserStage:
        """With the networks of the folder."""
        source, settings = self._source, self._source.settings
        denoiser = source.denoiser()
        if self._options.checkpoint_activations:
            denoiser.unet.enable_gradient_checkpointing()
        encoders, empty = None, None
        if settings.latent is not None:
            text = None if settings.text is None else source.text_encoder()
            encoders = Encoders(source.autoencoder(), text, settings.latent)
        if settings.text is not None and source.tokenizer is not None:
            empty = torch.from_numpy(token_ids(source.tokenizer, "", settings.text)[0])[None]
        return DenoiserStage(DenoiserTask(denoiser, settings, self._options), settings, encoders, empty)

    def write(self, stage: Stage, training: dict[str, Any], out: Path) -> None:
        """The folder with the trained denoiser in its place."""
        assert isinstance(stage, DenoiserStage)
        with next_folder(out, self._source.folder, ("unet",)) as folder:
            save_denoiser(stage.task.model, folder)
            save_words(SYSTEM, stage.settings, {**self._source.training, **training}, folder)
