"""Checkpoints of SAM, BLIP and LLaVA with random weights, a few kilobytes each, in the layout of the published ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers

SIDE = 64
"""Pixels a side that the tiny SAM looks at."""
WORDS = (
    "a", "left", "right", "hand", "person", "palm", "back", "of", "open", "fist", "with", "light", "dark", "skin",
    "plain", "green", "blue", "background",
)  # fmt: skip
IMAGE = {"image_mean": [0.5] * 3, "image_std": [0.25] * 3, "do_normalize": True, "do_rescale": True, "do_resize": True}


def _write(folder: Path, name: str, data: dict[str, Any]) -> None:
    (folder / name).write_text(json.dumps(data))


def _mute(head: torch.nn.Linear, count: int) -> None:
    """The first `count` tokens, which are no words, become less likely than some word."""
    torch.nn.init.normal_(head.weight)
    with torch.no_grad():
        head.weight[:count] = 0


def write_sam(folder: Path) -> Path:
    """As facebook/sam-vit-huge: config.json, model.safetensors, preprocessor_config.json."""
    torch.manual_seed(3)  # one of those whose masks are neither empty nor all
    config = transformers.SamConfig(
        vision_config={
            "hidden_size": 16, "output_channels": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "mlp_dim": 32,
            "image_size": SIDE, "patch_size": 8, "window_size": 4, "global_attn_indexes": [1], "num_pos_feats": 8,
        },
        prompt_encoder_config={"hidden_size": 16, "image_size": SIDE, "patch_size": 8, "mask_input_channels": 4},
        mask_decoder_config={
            "hidden_size": 16, "mlp_dim": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
            "iou_head_depth": 2, "iou_head_hidden_dim": 16,
        },
    )  # fmt: skip
    transformers.SamModel(config).save_pretrained(folder)
    _write(
        folder,
        "preprocessor_config.json",
        {
            "image_processor_type": "SamImageProcessor", "processor_class": "SamProcessor", **IMAGE, "do_pad": True,
            "size": {"longest_edge": SIDE}, "pad_size": {"height": SIDE, "width": SIDE}, "resample": 2,
            "mask_size": {"longest_edge": SIDE // 4}, "mask_pad_size": {"height": SIDE // 4, "width": SIDE // 4},
        },
    )  # fmt: skip
    return folder


def write_blip(folder: Path) -> Path:
    """As Salesforce/blip-image-captioning-base: a BERT vocabulary beside the weights."""
    torch.manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {word: i for i, word in enumerate([*special, *WORDS])}
    transformers.BertTokenizer(vocab=vocabulary).save_pretrained(folder)
    layers = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.BlipConfig(
        text_config={
            **layers, "vocab_size": len(vocabulary) + 2, "encoder_hidden_size": 16, "projection_dim": 16,
            "bos_token_id": len(vocabulary), "eos_token_id": 2, "sep_token_id": 3, "pad_token_id": 0,
            "max_position_embeddings": 96,
        },
        vision_config={**layers, "image_size": 32, "patch_size": 16, "projection_dim": 16},
        projection_dim=16,
    )  # fmt: skip
    model = transformers.BlipForConditionalGeneration(config)
    _mute(model.text_decoder.get_output_embeddings(), len(special))
    model.save_pretrained(folder)
    _write(
        folder,
        "preprocessor_config.json",
        {
            "image_processor_type": "BlipImageProcessor", "processor_class": "BlipProcessor", **IMAGE,
            "size": {"height": 32, "width": 32}, "resample": 3,
        },
    )  # fmt: skip
    return folder


def write_llava(folder: Path) -> Path:
    """As llava-hf/llava-1.5-7b-hf: CLIP's eyes, LLaMA's mouth, a processor with a chat template."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    torch.manual_seed(0)
    words = ["<pad>", "<s>", "</s>", "<unk>", "<image>", "USER:", "ASSISTANT:", *WORDS]
    inner = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>",
        additional_special_tokens=["<image>"],
    )  # fmt: skip
    layers = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.LlavaConfig(
        vision_config=transformers.CLIPVisionConfig(**layers, image_size=32, patch_size=16, projection_dim=16),
        text_config=transformers.LlamaConfig(
            **layers, num_key_value_heads=2, vocab_size=len(words), bos_token_id=1, eos_token_id=2, pad_token_id=0
        ),
        image_token_index=4,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
    )
    model = transformers.LlavaForConditionalGeneration(config)
    _mute(model.get_output_embeddings(), len(words) - len(WORDS))
    model.save_pretrained(folder)
    image = {
        "image_processor_type": "CLIPImageProcessor", **IMAGE, "size": {"shortest_edge": 32}, "resample": 3,
        "do_center_crop": True, "crop_size": {"height": 32, "width": 32},
    }  # fmt: skip
    tokenizer.save_pretrained(folder)
    _write(folder, "preprocessor_config.json", {**image, "processor_class": "LlavaProcessor"})
    _write(
        folder,
        "processor_config.json",
        {
            "processor_class": "LlavaProcessor", "patch_size": 16, "image_token": "<image>",
            "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1,
        },
    )  # fmt: skip
    template = "{% for m in messages %}USER: {% for c in m.content %}{% if c.type == 'image' %}<image> {% else %}{{ c.text }}{% endif %}{% endfor %}{% endfor %} ASSISTANT:"  # noqa: E501
    (folder / "chat_template.jinja").write_text(template)
    return folder
