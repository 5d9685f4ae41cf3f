"""A whole model of gestures in words with random weights, small enough to train and export in seconds.

A tiny Stable Diffusion (tiny_annotated.tiny_base): pictures of 16 x 16 pixels, latents of 4 x 8 x 8, eight tokens.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from support.tiny_annotated import tiny_base

from handfirst.runtime.diffusion.settings import GestureSettings
from handfirst.runtime.systems.gesture_text.settings import SYSTEM
from handfirst.training.gestures.folder import save_feature, save_fusion
from handfirst.training.gestures.fusion import LowRankFusion
from handfirst.training.gestures.options import default_words
from handfirst.training.models.adapters import add_adapter, save_adapter
from handfirst.training.models.folder import save_words
from handfirst.training.systems.gesture_text.config import Base, new_model
from handfirst.training.systems.gesture_text.model_folder import (
    ADAPTER,
    GestureTextFolder,
)

RANK = 2
"""Of the adapters, and of the low-rank fusion."""


def write_tiny_gestures(folder: Path, *names: str) -> Path:
    """A model folder whose gestures say something: every fusion and every adapter is random."""
    new_model(Base.of_checkpoint(tiny_base(), 16), folder, RANK)
    source, gestures = GestureTextFolder(folder), []
    for number, name in enumerate(names):
        random = np.random.default_rng(number)
        save_feature(folder, name, random.random(63, np.float32))
        gestures.append(GestureSettings(name=name, words=default_words(name), rank=RANK))
        with torch.random.fork_rng():
            torch.manual_seed(number)
            fusion = LowRankFusion(source.settings.text.values, RANK)
            torch.nn.init.normal_(fusion.U, std=0.5)
            save_fusion(folder, name, fusion)
            adapted = add_adapter(source.unet(), RANK, 2.0 * RANK, source.settings.adapter.layers)
            for key, parameter in adapted.named_parameters():
                if "lora_" in key:
                    torch.nn.init.normal_(parameter, std=0.4)
            save_adapter(adapted, source.place(name) / ADAPTER)
    settings = source.settings.model_copy(update={"gestures": tuple(gestures)})
    save_words(SYSTEM, settings, source.training, folder)
    return folder
