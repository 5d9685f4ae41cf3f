"""A CLIP text encoder of any size, and a byte-pair tokenizer trained on captions.

Knows nothing about images: how the encoder is taught is text_training.py's affair.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel

BEGIN, END = "<|startoftext|>", "<|endoftext|>"


def train_tokenizer(captions: Iterable[str], vocabulary: int) -> Tokenizer:
    """A lower-casing byte-level BPE tokenizer with CLIP's two special tokens (ids 0 and 1)."""
    tokenizer = Tokenizer(models.BPE(unk_token=None, end_of_word_suffix="", fuse_unk=False))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[BEGIN, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(captions, trainer)
    return tokenizer


def build_text_encoder(config: dict[str, Any], length: int, width: int, vocabulary: int) -> CLIPTextModel:
    """A fresh CLIPTextModel from CLIPTextConfig's arguments; length, width and vocabulary come from the settings."""
    return CLIPTextModel(
        CLIPTextConfig(
            **{
                **config,
                "max_position_embeddings": length,
                "hidden_size": width,
                "vocab_size": vocabulary,
                "bos_token_id": 0,
                "eos_token_id": 1,
                "pad_token_id": 1,
            }
        )
    )


class TextContext(nn.Module):
    """ids int64 [B, L] -> context [B, L, D]: the last hidden state, as Stable Diffusion takes it."""

    def __init__(self, model: CLIPTextModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor) -> Tensor:
        context: Tensor = self.model(input_ids=ids).last_hidden_state
        return context
