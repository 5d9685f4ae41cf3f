"""CLIPSIM: 100 x the cosine between a picture and its prompt, by a CLIP checkpoint on disk (`metrics` extra).

HumanSD's choice is openai/clip-vit-base-patch16. Nothing is downloaded. Prompts longer than the model's context are
cut so that their end token stays.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from handfirst.engines.errors import UserError


def load_clip(folder: Path) -> tuple[Any, Any]:
    """The CLIPModel and CLIPProcessor of a folder.

    Raises:
        UserError: the folder is missing, or is no CLIP checkpoint.
    """
    from transformers import CLIPModel, CLIPProcessor
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if not (folder / "config.json").is_file():
        raise UserError(
            f"{folder}: not a CLIP checkpoint (no config.json); expected a folder like clip-vit-base-patch16"
        )
    try:
        model = CLIPModel.from_pretrained(folder, local_files_only=True)
        processor = CLIPProcessor.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"{folder}: not a whole CLIP checkpoint ({error})") from error
    return model.eval(), processor


def clip_similarity(clip: tuple[Any, Any]) -> Callable[[NDArray[np.uint8], str], float]:
    """A function of a picture, uint8 RGB [H, W, 3], and its prompt: 100 x cosine, -100..100."""
    model, processor = clip
    length = model.config.text_config.max_position_embeddings

    def similarity(image: NDArray[np.uint8], prompt: str) -> float:
        words = processor(text=[prompt], return_tensors="pt", truncation=True, max_length=length)
        pixels = processor(images=[image], return_tensors="pt")
        with torch.inference_mode():
            text = model.get_text_features(**words).pooler_output
            seen = model.get_image_features(**pixels).pooler_output
        return 100 * float(torch.nn.functional.cosine_similarity(text, seen))

    return similarity
