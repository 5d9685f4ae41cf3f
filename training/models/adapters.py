"""Low-rank adapters (LoRA, arXiv 2106.09685) on a UNet, through peft: put on, saved in a folder of their own, merged.

Knows nothing about training or about model folders.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffusers import UNet2DConditionModel

from handfirst.engines.errors import UserError

CONFIG = "adapter_config.json"


def add_adapter(
    unet: UNet2DConditionModel, rank: int, alpha: float, layers: Sequence[str], trained: Sequence[str] = ()
) -> Any:
    """The UNet as a peft model of which only the adapter is trained; it says the same until it is.

    Args:
        rank, alpha: the change of a layer is alpha / rank x B A, A of `rank` rows.
        layers: which layers, by the end of their name.
        trained: layers that are trained whole beside it, and saved with it.

    Raises:
        UserError: no layer has such a name.
    """
    from peft import LoraConfig, get_peft_model

    names = [name for name, _ in unet.named_modules()]
    for wanted in (*layers, *trained):
        if not any(name == wanted or name.endswith(f".{wanted}") for name in names):
            raise UserError(f"adapter.layers: the UNet has no layer whose name ends in {wanted!r}")
    config = LoraConfig(
        r=rank, lora_alpha=alpha, target_modules=list(layers), modules_to_save=list(trained) or None, bias="none"
    )
    return get_peft_model(unet, config)


def save_adapter(model: Any, folder: Path) -> None:
    """Writes the adapter of a peft model in peft's own form."""
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(str(folder), save_embedding_layers=False)


def merge_adapter(unet: UNet2DConditionModel, folder: Path) -> UNet2DConditionModel:
    """The UNet with the adapter of `folder` in its weights: as fast as without, and no peft is left in it.

    Raises:
        UserError: the adapter cannot be read or does not fit.
    """
    from peft import PeftModel

    try:
        # peft takes a relative path that lacks a file for the name of a model on a hub, and asks there
        merged: UNet2DConditionModel = PeftModel.from_pretrained(unet, str(folder.resolve())).merge_and_unload()
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{folder}: cannot read the adapter: {reason}") from error
    return merged


def has_adapter(folder: Path) -> bool:
    """Whether there is one."""
    return (folder / CONFIG).is_file()
