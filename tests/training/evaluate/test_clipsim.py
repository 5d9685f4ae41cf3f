"""CLIPSIM by a tiny random CLIP on disk, against torchmetrics and against the published preparation of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchmetrics.functional.multimodal import clip_score
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPProcessor, CLIPTokenizer

from handfirst.engines.errors import UserError
from handfirst.training.evaluate.clipsim import clip_similarity, load_clip

LENGTH = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP with random weights, in transformers' own layout."""
    letters = [chr(c) for c in range(97, 123)]
    words = [*letters, *(f"{c}</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[], model_max_length=LENGTH)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = CLIPConfig(
        text_config={
            **sizes,
            "vocab_size": len(words),
            "max_position_embeddings": LENGTH,
            "bos_token_id": len(words) - 2,
            "eos_token_id": len(words) - 1,
        },
        vision_config={**sizes, "image_size": 32, "patch_size": 8},
        projection_dim=8,
    )
    out = tmp_path_factory.mktemp("clip")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        CLIPModel(config).save_pretrained(out)
    images = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    CLIPProcessor(image_processor=images, tokenizer=tokenizer).save_pretrained(out)
    return out


class Plain:
    """transformers 5 wraps features in an object; torchmetrics 1.9 wants the tensor."""

    def __init__(self, model: Any) -> None:
        self.model, self.config = model, model.config

    def to(self, _: Any) -> Plain:
        return self

    def get_image_features(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.model.get_image_features(pixels).pooler_output

    def get_text_features(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.model.get_text_features(ids, mask).pooler_output


def test_it_is_torchmetrics_clip_score(folder: Path) -> None:
    """torchmetrics cuts its scores at 0, so that each pair is compared once more with all texts turned round."""
    for seed, prompt in enumerate(("a fist", "palm", "an open hand")):
        image = np.random.default_rng(seed).integers(0, 256, (40, 50, 3)).astype(np.uint8)
        tensor = torch.from_numpy(image).permute(2, 0, 1)
        expected, ours = [], []
        for sign in (1, -1):
            model, processor = load_clip(folder)
            model.text_projection.weight.data *= sign
            plain = Plain(model)
            with torch.no_grad():
                expected.append(float(clip_score(tensor, prompt, model_name_or_path=lambda: (plain, processor))))  # noqa: B023
            ours.append(clip_similarity((model, processor))(image, prompt))
        assert max(expected) > 0.1
        np.testing.assert_allclose(np.maximum(ours, 0), expected, rtol=1e-4)


def test_a_long_prompt_keeps_its_end(folder: Path) -> None:
    clip = load_clip(folder)
    ids = clip[1](text=["a" * 50], truncation=True, max_length=LENGTH, return_tensors="pt")["input_ids"][0]
    image = np.zeros((32, 32, 3), np.uint8)
    assert len(ids) == LENGTH and ids[-1] == clip[0].config.text_config.eos_token_id
    assert clip_similarity(clip)(image, "a" * 50) == pytest.approx(clip_similarity(clip)(image, "a" * 500))


def test_other_folders_are_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(UserError, match="not a CLIP checkpoint"):
        load_clip(tmp_path)
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    with pytest.raises(UserError, match="not a whole CLIP checkpoint"):
        load_clip(tmp_path)
