"""BLIP and LLaVA as writers of captions (the paper has LLaVA-v1.5-7b; `train` extra).

Loads a checkpoint in transformers' layout from a folder on this machine. Says the same of the same picture, whatever
is looked at beside it: no sampling.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from handfirst.training.data.labels.checkpoint import CAPTIONERS, model_folder, model_type

Caption = Callable[[Sequence[NDArray[np.uint8]]], list[str]]
LONGEST = 70
"""New tokens at most; CLIP reads 77."""
QUESTION = {
    "hand": "Describe the hand in this picture in one short sentence: gender, skin tone, what the hand looks like.",
    "body": "Describe this picture of a person in one short sentence: the person, the clothes, the background.",
}


def open_captioner(
    folder: Path, stage: Literal["hand", "body"], device: str = "cpu", half: bool = False
) -> Caption:  # fmt: skip
    """A function of pictures uint8 [S, S, 3] -> a line each. LLaVA is asked QUESTION[stage]; BLIP needs no question.

    Args:
        half: computes in float16.

    Raises:
        UserError: the folder holds no such checkpoint.
    """
    from transformers import AutoModelForImageTextToText, AutoProcessor

    with model_folder(folder, *CAPTIONERS):
        processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
        model = AutoModelForImageTextToText.from_pretrained(
            folder, local_files_only=True, dtype=torch.float16 if half else torch.float32
        )
    model = model.to(device).eval()
    processor.tokenizer.padding_side = "left"  # what is said begins where the question ends
    question = None if model_type(folder) == "blip" else _question(processor, QUESTION[stage])

    @torch.inference_mode()
    def caption(pictures: Sequence[NDArray[np.uint8]]) -> list[str]:
        asked = {} if question is None else {"text": [question] * len(pictures), "padding": True}
        inputs = processor(images=list(pictures), return_tensors="pt", **asked).to(device)
        inputs["pixel_values"] = inputs["pixel_values"].to(model.dtype)
        tokens = model.generate(**inputs, max_new_tokens=LONGEST, do_sample=False)
        if question is not None:  # LLaVA repeats what it was asked
            tokens = tokens[:, inputs["input_ids"].shape[1] :]
        return [" ".join(text.split()) for text in processor.batch_decode(tokens, skip_special_tokens=True)]

    return caption


def _question(processor: Any, question: str) -> str:
    """In the words that the checkpoint's own template asks for; LLaVA 1.5's where it has none."""
    if getattr(processor, "chat_template", None):
        content = [{"type": "image"}, {"type": "text", "text": question}]
        turn = [{"role": "user", "content": content}]
        text: str = processor.apply_chat_template(turn, add_generation_prompt=True)
        return text
    return f"USER: <image>\n{question} ASSISTANT:"
