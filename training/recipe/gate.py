"""How faithful an autoencoder is, part by part, and whether that is good enough to begin the long phases.

What it loses no later phase brings back: a face that it cannot carry is blank in every picture.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from handfirst.runtime.pose.crop import hand_box
from handfirst.training.data.arrays import Pictures
from handfirst.training.loop.journal import to_uint8
from handfirst.training.loop.machine import pick_device
from handfirst.training.models.autoencoder import Autoencoder
from handfirst.training.recipe.crops import FACE, to_image
from handfirst.training.systems.two_stage.config import Gate

LEFT_HAND, RIGHT_HAND = slice(91, 112), slice(112, 133)
Figures = dict[str, float]
Rgb = NDArray[np.uint8]
Codec = Callable[[Rgb], Rgb]


def fidelity(there_and_back: Codec, hands: Pictures, people: Pictures, batch: int = 16) -> Figures:
    """PSNR in dB of what comes back, in 8-bit values over all pixels of a kind.

    Args:
        there_and_back: uint8 [B, H, W, 3] -> the same, encoded and decoded.

    Returns:
        "hands", "people": whole pictures; "face", "hand": the boxes of people's faces and hands.
    """
    errors = {
        "hands": _squared_errors(there_and_back, hands, batch),
        "people": _squared_errors(there_and_back, people, batch),
    }
    whole = {name: _psnr([error]) for name, error in errors.items()}
    parts: dict[str, list[NDArray[np.float64]]] = {"face": [], "hand": []}
    for points, error in zip(people.keypoints, errors["people"], strict=True):
        for name, part in (("face", FACE), ("hand", LEFT_HAND), ("hand", RIGHT_HAND)):
            known = points[part][points[part, 2] > 0, :2]
            if len(known):
                x0, y0, x1, y1 = np.clip(np.rint(hand_box(known.astype(np.float64))), 0, people.size).astype(int)
                parts[name].append(error[y0:y1, x0:x1])
    return {**whole, **{name: _psnr(errors) for name, errors in parts.items()}}


def codec_of(model: Autoencoder) -> Codec:
    """Encodes and decodes with a torch model in float32."""

    @torch.no_grad()
    def there_and_back(rgb: Rgb) -> Rgb:
        image = to_image(torch.from_numpy(np.ascontiguousarray(rgb)).to(pick_device()))
        return to_uint8(model.decode(model.encode(image)))

    model.eval()
    return there_and_back


def _squared_errors(there_and_back: Codec, pictures: Pictures, batch: int) -> NDArray[np.float64]:
    """Squared errors [N, H, W, 3] of 8-bit values."""
    parts = (pictures.rgb[i : i + batch] for i in range(0, len(pictures), batch))
    return np.concatenate([(there_and_back(rgb).astype(np.float64) - rgb) ** 2 for rgb in parts])


def _psnr(squared_errors: list[NDArray[np.float64]]) -> float:
    total, count = sum(float(e.sum()) for e in squared_errors), sum(e.size for e in squared_errors)
    return round(float(10 * np.log10(255**2 * count / max(total, 1e-9))), 2) if count else float("nan")


def shortfalls(figures: Figures, gate: Gate) -> list[str]:
    """What is missed, in words; empty where the gate is passed."""
    missed = []
    if not figures["people"] >= gate.people_db:
        missed.append(f"people {figures['people']} dB, needed {gate.people_db}")
    if figures["face"] < figures["hand"] - gate.face_below_hand_db:
        missed.append(
            f"faces {figures['face']} dB, needed {figures['hand'] - gate.face_below_hand_db:.2f} "
            f"({gate.face_below_hand_db} below their hands)"
        )
    return missed
