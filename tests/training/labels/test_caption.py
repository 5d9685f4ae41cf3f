"""BLIP's and LLaVA's loading and prompting against greedy decoding, token by token; the weights are random."""

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from support.tiny_labellers import WORDS, write_blip, write_llava, write_sam

from handfirst.engines.errors import UserError
from handfirst.training.data.labels.caption import LONGEST, QUESTION, open_captioner

PICTURE = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)  # the size that the models look at
PIXELS = torch.from_numpy((PICTURE / 255 - 0.5) / 0.25).float().permute(2, 0, 1)[None]


def greedy(step, tokens: list[int], end: int) -> list[int]:
    """What is said after `tokens`, the likeliest token every time."""
    said: list[int] = []
    with torch.no_grad():
        while len(said) < LONGEST and (not said or said[-1] != end):
            said.append(int(step(torch.tensor([tokens + said]))[0, -1].argmax()))
    return said


def test_blip_says_the_likeliest_words(tmp_path: Path) -> None:
    model = transformers.BlipForConditionalGeneration.from_pretrained(write_blip(tmp_path)).eval()
    seen = model.vision_model(pixel_values=PIXELS)[0]
    start = [5 + len(WORDS)]
    said = greedy(lambda ids: model.text_decoder(input_ids=ids, encoder_hidden_states=seen).logits, start, end=3)
    wanted = " ".join(WORDS[i - 5] for i in said if 5 <= i < start[0])
    assert wanted
    assert open_captioner(tmp_path, "hand")([PICTURE]) == [wanted]


@pytest.mark.parametrize("stage", ["hand", "body"])
@pytest.mark.parametrize("template", [True, False])
def test_llava_is_asked_and_says_the_likeliest_words(stage: str, template: bool, tmp_path: Path) -> None:
    """The prompt is USER: <image> QUESTION ASSISTANT:, an image of 32 pixels four tokens of 16."""
    folder = write_llava(tmp_path)
    if not template:
        (folder / "chat_template.jinja").unlink()
    model = transformers.LlavaForConditionalGeneration.from_pretrained(folder).eval()
    words = ["<pad>", "<s>", "</s>", "<unk>", "<image>", "USER:", "ASSISTANT:", *WORDS]
    text = ["USER:", *["<image>"] * 4, *QUESTION[stage].split(), "ASSISTANT:"]
    prompt = [words.index(word) if word in words else 3 for word in text]
    said = greedy(lambda ids: model(input_ids=ids, pixel_values=PIXELS).logits, prompt, end=2)
    wanted = " ".join(words[i] for i in said if i > 4)
    assert wanted
    assert open_captioner(folder, stage)([PICTURE]) == [wanted]


@pytest.mark.parametrize("write", [write_blip, write_llava])
def test_a_batch_says_what_a_picture_says_alone(write, tmp_path: Path) -> None:
    """Padding and neighbours change nothing. (Random weights say the same of all pictures.)"""
    caption = open_captioner(write(tmp_path), "hand")
    pictures = [PICTURE, np.zeros_like(PICTURE), np.full_like(PICTURE, 255)]
    assert caption(pictures) == [caption([picture])[0] for picture in pictures]


def test_half_precision_says_the_same(tmp_path: Path) -> None:
    folder = write_blip(tmp_path)
    said = [open_captioner(folder, "hand", half=half)([PICTURE])[0] for half in (False, True)]
    assert said[0].split()[:5] == said[1].split()[:5]


def test_another_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"BLIP or LLaVA checkpoint .* found a model of type 'sam'"):
        open_captioner(write_sam(tmp_path), "hand")
