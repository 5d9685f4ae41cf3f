"""The tiny two-stage model with gestures that say something: every fusion is random."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from support.tiny_model import save_tiny_model, tiny_settings

from handfirst.runtime.systems.two_stage.settings import HandGesture
from handfirst.training.gestures.folder import save_feature, save_fusion
from handfirst.training.gestures.fusion import LowRankFusion

RANK = 2


def write_hand_gestures(folder: Path, *names: str) -> Path:
    """A model folder whose prompts read sixteen tokens, embeddings of 16 x 32 numbers."""
    told = tuple(HandGesture(name=name, words=f"making the {name} hand gesture", rank=RANK, mu=0.4) for name in names)
    save_tiny_model(folder, settings=tiny_settings(gestures=told))
    for number, name in enumerate(names):
        save_feature(folder, name, np.random.default_rng(number).random(63, np.float32))
        with torch.random.fork_rng():
            torch.manual_seed(number)
            fusion = LowRankFusion(16 * 32, RANK)
            torch.nn.init.normal_(fusion.U, std=0.5)
            save_fusion(folder, name, fusion)
    return folder
