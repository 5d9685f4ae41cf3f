"""What a model folder holds of its gestures, of whatever system.

    gestures/NAME/     feature.npy (float32 [63]); fusion.safetensors, once trained; and what else the system has

Knows nothing about training or networks; it only saves and loads.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from handfirst.engines.errors import UserError
from handfirst.runtime.diffusion.settings import FEATURE, GestureSettings, TextSettings
from handfirst.training.gestures.fusion import LowRankFusion, fresh_fusion
from handfirst.training.gestures.options import FeatureOptions
from handfirst.training.loop.config import first_complaint
from handfirst.training.models.folder import reading

GESTURES, FEATURE_FILE, FUSION = "gestures", "feature.npy", "fusion.safetensors"

G = TypeVar("G", bound=GestureSettings)
S = TypeVar("S", bound=BaseModel)


def with_gesture(settings: S, gestures: Sequence[GestureSettings], options: FeatureOptions) -> S:
    """The settings with a gesture behind the others, in the place of one of its name.

    Raises:
        UserError: it makes no sense, or is one too many.
    """
    others = tuple(each.model_dump() for each in gestures if each.name != options.gesture)
    try:
        return type(settings).model_validate({**settings.model_dump(), "gestures": (*others, options.described())})
    except ValidationError as error:
        raise UserError(first_complaint(error)) from error


def find_gesture(gestures: Sequence[G], name: str) -> G:
    """One of the model's.

    Raises:
        UserError: it has no such gesture; lists those there are.
    """
    found = {each.name: each for each in gestures}
    if name not in found:
        has = ", ".join(found) or "none"
        raise UserError(f"gesture {name!a:.60}: expected one of the model's ({has}); the stage 'feature' adds one")
    return found[name]


def place_of(folder: Path, name: str) -> Path:
    """The folder of a gesture in a model folder."""
    return folder / GESTURES / name


def has_fusion(folder: Path, gesture: GestureSettings) -> bool:
    """Whether it was trained, or needs no training."""
    return gesture.fusion == "frozen-random" or (place_of(folder, gesture.name) / FUSION).is_file()


def read_fusion(folder: Path, gesture: GestureSettings, text: TextSettings) -> nn.Module:
    """As it was trained, or fresh.

    Raises:
        UserError: the file is damaged, or does not fit.
    """
    made = fresh_fusion(text.values, gesture)
    if (file := place_of(folder, gesture.name) / FUSION).is_file():
        with reading(folder):
            made.load_state_dict(load_file(file))
    return made


def read_numbers(folder: Path, gesture: GestureSettings, text: TextSettings) -> Tensor:
    """What a bundle holds of a gesture's feature and fusion, float32 [P]: g, V, U; raises as `read_fusion`."""
    parts = [torch.from_numpy(read_feature(place_of(folder, gesture.name) / FEATURE_FILE))]
    fusion = read_fusion(folder, gesture, text)
    if isinstance(fusion, LowRankFusion):
        V = fusion.V if has_fusion(folder, gesture) else torch.zeros_like(fusion.V)
        parts += [V.detach().flatten(), fusion.U.detach().flatten()]
    return torch.cat(parts)


def read_feature(file: Path) -> NDArray[np.float32]:
    """A mean feature in the published layout: an .npy of 63 numbers, or of 21 x 3.

    Raises:
        UserError: no such file, or another array.
    """
    try:
        array = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise UserError(f"{file}: expected an .npy file of {FEATURE} numbers, got none that can be read") from error
    if not isinstance(array, np.ndarray) or array.size != FEATURE or array.dtype.kind not in "fiu":
        got = f"{array.dtype} {list(array.shape)}" if isinstance(array, np.ndarray) else "an archive"
        raise UserError(f"{file}: expected {FEATURE} numbers (x, y, z of 21 points), got {got}")
    flat = array.reshape(-1).astype(np.float32)
    if not np.isfinite(flat).all():
        raise UserError(f"{file}: expected {FEATURE} finite numbers, got NaN or infinity")
    return flat


def save_feature(folder: Path, name: str, feature: NDArray[np.float32]) -> None:
    """A gesture's feature into a model folder; what was learnt with another one goes."""
    place = place_of(folder, name)
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    np.save(place / FEATURE_FILE, feature.astype(np.float32))


def save_fusion(folder: Path, name: str, fusion: nn.Module) -> None:
    """A gesture's fusion."""
    weights = {key: tensor.detach().contiguous() for key, tensor in fusion.state_dict().items()}
    save_file(weights, place_of(folder, name) / FUSION)
