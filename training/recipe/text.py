"""Phase 2: the text encoder, taught as CLIP was: a caption and the picture it belongs to should agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import CLIPTextModel

from handfirst.runtime.diffusion.settings import TextSettings
from handfirst.runtime.diffusion.text import token_ids
from handfirst.training.loop.feed import StepFeed
from handfirst.training.loop.machine import autocast, pick_device
from handfirst.training.loop.options import LoopOptions
from handfirst.training.loop.task import Task


def encode_ids(tokenizer: Tokenizer, text: TextSettings, prompts: Sequence[str]) -> Tensor:
    """prompts -> ids int64 [N, L], framed by begin and end, cut and padded: the runtime's own rule."""
    return torch.from_numpy(np.stack([token_ids(tokenizer, p, text)[0] for p in prompts]))


class TextAndTower(nn.Module):
    """The text encoder beside a small picture tower that is thrown away afterwards."""

    def __init__(self, text: CLIPTextModel, width: int, channels: int) -> None:
        super().__init__()
        self.text = text
        self.tower = nn.Sequential(
            nn.Conv2d(channels, 64, 3, 2, 1), nn.SiLU(), nn.Conv2d(64, 128, 3, 2, 1), nn.SiLU(),
            nn.Conv2d(128, 128, 3, 2, 1), nn.SiLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(512, width),
        )  # fmt: skip
        self.scale = nn.Parameter(torch.tensor(2.66))


@dataclass(frozen=True, eq=False)
class TextBatch:
    """Captions as ids int64 [B, L], and the standardised latents [B, C, h, w] of their pictures."""

    ids: Tensor
    latents: Tensor


class TextTask(Task):
    """Symmetric InfoNCE between captions and latents."""

    model: TextAndTower

    def __init__(self, model: CLIPTextModel, channels: int) -> None:
        super().__init__("text", TextAndTower(model, int(model.config.hidden_size), channels))

    def forward(self, batch: TextBatch) -> dict[str, Tensor]:
        """ "contrastive"."""
        image = self.model.tower(batch.latents)
        out = self.model.text(input_ids=batch.ids)
        a, b = F.normalize(image.float(), dim=-1), F.normalize(out.pooler_output.float(), dim=-1)
        logits = self.model.scale.exp() * a @ b.T
        labels = torch.arange(len(a), device=logits.device)
        return {"contrastive": (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2}


def text_feed(latents: Sequence[Tensor], ids: Sequence[Tensor], options: LoopOptions) -> StepFeed:
    """Each source (hands, people) in its own batches.

    Args:
        latents: per source, standardised latents [N, C, h, w].
        ids: per source, token ids int64 [N, L].
    """

    def make(step: int) -> TextBatch:
        source = step % len(latents)
        rng = np.random.default_rng((options.seed, 2, step))
        picks = torch.from_numpy(rng.integers(len(ids[source]), size=options.batch))
        return TextBatch(ids[source][picks].to(pick_device()), latents[source][picks].float().to(pick_device()))

    return StepFeed(make)


@torch.no_grad()
def encode_contexts(model: CLIPTextModel, ids: Tensor, batch: int = 256) -> Tensor:
    """ids int64 [N, L] -> contexts float16 [N, L, D], on the CPU."""
    model.eval()
    out = []
    for i in range(0, len(ids), batch):
        chunk = ids[i : i + batch].to(pick_device())
        with autocast(chunk.device):
            out.append(model(input_ids=chunk).last_hidden_state.to("cpu", torch.float16))
    return torch.cat(out)
