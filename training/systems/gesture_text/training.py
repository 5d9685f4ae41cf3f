"""Each stage that is optimised: out of a model folder, ready to be trained; and back into a model folder afterwards.

What a stage does not touch is copied, not loaded. Knows nothing about the loop.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from handfirst.engines.errors import UserError
from handfirst.runtime.diffusion.text import token_ids
from handfirst.runtime.systems.gesture_text.settings import SYSTEM
from handfirst.training.gestures.folder import place_of
from handfirst.training.loop.task import Stage
from handfirst.training.models.adapters import add_adapter, save_adapter
from handfirst.training.models.encoders import Encoders
from handfirst.training.models.folder import next_folder, read_tokenizer, save_words
from handfirst.training.systems.gesture_text.model_folder import (
    ADAPTER,
    GestureTextFolder,
    save_tuned_for,
)
from handfirst.training.systems.gesture_text.networks import GestureModel
from handfirst.training.systems.gesture_text.options import TextPhaseOptions
from handfirst.training.systems.gesture_text.samples import GestureSamples
from handfirst.training.systems.gesture_text.stages import GestureStage, GestureTask


class PhaseMaker:
    """Any stage of the loop; see StageMaker.

    Raises:
        UserError: the folder is no such model, has no such gesture, or its fusion has nothing to train; or it is the
            base that is to be trained, and there are gestures already.
    """

    def __init__(self, model: Path, options: TextPhaseOptions) -> None:
        self._source, self._options = GestureTextFolder(model), options
        if options.TRAINS == "unet":
            if names := [each.name for each in self._source.settings.gestures]:
                raise UserError(
                    f"{model}: its gestures ({', '.join(names)}) were learnt with the base as it is; expected a model "
                    "without any to train the base of"
                )
            return
        if self._source.gesture(options.gesture).fusion == "frozen-random" and options.TRAINS == "fusion":
            raise UserError(
                f"gesture {options.gesture}: expected a fusion that is trained, got the frozen random one; go on with "
                "the stage 'tuning', or begin again with fusion=low-rank"
            )
        if options.TRAINS == "fusion" and options.share == 1:
            raise UserError("share: expected less than 1, as nothing of the fusion is heard at 1")

    @property
    def samples(self) -> GestureSamples:
        """Of any stage."""
        return GestureSamples(self._source.settings, self._options, read_tokenizer(self._source.folder))

    def stage(self) -> GestureStage:
        """With the networks of the folder; only what the phase trains wants gradients."""
        source, settings, options = self._source, self._source.settings, self._options
        unet = source.unet().requires_grad_(options.TRAINS == "unet")
        if options.checkpoint_activations:
            unet.enable_gradient_checkpointing()
        if options.TRAINS == "adapter":
            unet = add_adapter(unet, settings.adapter.rank, float(settings.adapter.rank), settings.adapter.layers)
        if options.TRAINS == "unet":
            model = GestureModel(unet, torch.nn.Identity(), torch.zeros(63))  # neither is heard
        else:
            fusion = source.fusion(options.gesture).requires_grad_(options.TRAINS == "fusion")
            model = GestureModel(unet, fusion, source.feature(options.gesture))
        encoders = Encoders(source.autoencoder(), source.text_encoder(), settings.latent)
        empty = torch.from_numpy(token_ids(read_tokenizer(source.folder), "", settings.text)[0])[None]
        return GestureStage(GestureTask(model, settings, options), settings, encoders, empty)

    def write(self, stage: Stage, training: dict[str, Any], out: Path) -> None:
        """The folder with what was trained in its place."""
        assert isinstance(stage, GestureStage)
        source, name, model = self._source, self._options.gesture, stage.task.model
        told = {f"{name} {key}".strip(): value for key, value in training.items()}
        with next_folder(out, source.folder) as folder:
            if self._options.TRAINS == "unet":
                model.unet.save_pretrained(folder / "unet")
            elif self._options.TRAINS == "fusion":
                save_tuned_for(folder, name, model.fusion)
            else:
                save_adapter(model.unet, place_of(folder, name) / ADAPTER)
            save_words(SYSTEM, source.settings, {**source.training, **told}, folder)
