"""SAM as a finder of hands: the hand's key points are the prompt (paper, section IV-A; `train` extra).

Loads any checkpoint that transformers knows as a mask generator from points (SAM, SAM-HQ), from a folder on this
machine. Many pictures at once: SAM's eye, which is nearly all of its cost, may see them in half precision; points and
masks stay in float32, for half a pixel of 1024 is more than float16 can tell. Knows nothing about crops; dilation is
the caller's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from handfirst.runtime.pose.topology import SIDES, Side
from handfirst.training.data.labels.checkpoint import SEGMENTERS, model_folder

Points = NDArray[np.float64]
Image = NDArray[np.uint8]
Segment = Callable[[Sequence[Image], Sequence[Mapping[Side, Points]]], list[Image]]


def open_sam(folder: Path, device: str = "cpu", half: bool = False) -> Segment:
    """A function of pictures uint8 [S, S, 3] and their hands' points [21, 2] -> labels uint8 [S, S] (1 left, 2 right).

    Every hand is asked for with its own points as foreground and the other's as background. Of SAM's three masks the
    one counts that SAM expects to fit best; where two hands claim a pixel, the surer one has it.

    Args:
        half: pictures are seen in float16.

    Raises:
        UserError: the folder holds no such checkpoint.
    """
    from transformers import AutoModelForMaskGeneration, AutoProcessor

    with model_folder(folder, *SEGMENTERS):
        processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
        model = AutoModelForMaskGeneration.from_pretrained(folder, local_files_only=True)
    model = model.to(device).eval()
    kind = torch.float16 if half else torch.float32
    model.vision_encoder.to(kind)

    @torch.inference_mode()
    def segment(pictures: Sequence[Image], hands: Sequence[Mapping[Side, Points]]) -> list[Image]:
        known = [_known(some) for some in hands]
        logits: list[dict[Side, NDArray[np.float32]]] = [{} for _ in known]
        seen = processor.image_processor(images=list(pictures), return_tensors="pt")
        embeddings = model.get_image_embeddings(seen["pixel_values"].to(device, kind)).float()
        scales = (seen["reshaped_input_sizes"] / seen["original_sizes"]).flip(1)  # of x and y
        for prompts in _alike(known):
            rows = [picture for picture, _ in prompts]
            asked = [_prompt(known[picture], side) for picture, side in prompts]
            points = torch.stack([points for points, _ in asked]) * scales[rows][:, None]
            answer = model(
                image_embeddings=embeddings[rows],
                input_points=points.float()[:, None].to(device),
                input_labels=torch.stack([labels for _, labels in asked])[:, None].to(device),
            )
            sizes = seen["original_sizes"][rows], seen["reshaped_input_sizes"][rows]
            masks = processor.post_process_masks(_best(answer).cpu(), *sizes, binarize=False)
            for (picture, side), mask in zip(prompts, masks, strict=True):
                logits[picture][side] = mask[0, 0].numpy()
        return [_labels(some, rgb.shape[:2]) for some, rgb in zip(logits, pictures, strict=True)]

    return segment


def _known(hands: Mapping[Side, Points]) -> dict[Side, Points]:
    """The hands of which points are known, and those points."""
    known = {side: points[np.isfinite(points).all(1)] for side, points in hands.items()}
    return {side: points for side, points in known.items() if len(points)}


def _alike(known: Sequence[Mapping[Side, Points]]) -> list[list[tuple[int, Side]]]:
    """(picture, hand) of all prompts, together where they have as many points: padding would change SAM's answer."""
    found: dict[int, list[tuple[int, Side]]] = defaultdict(list)
    for picture, hands in enumerate(known):
        for side in hands:
            found[sum(len(points) for points in hands.values())].append((picture, side))
    return list(found.values())


def _prompt(hands: Mapping[Side, Points], side: Side) -> tuple[Tensor, Tensor]:
    """The points [n, 2] (pixel i centred at i, as SAM counts) and whether each is foreground, int64 [n]."""
    points = np.concatenate([hands[side], *(other for name, other in hands.items() if name != side)]) - 0.5
    return torch.from_numpy(points), (torch.arange(len(points)) < len(hands[side])).long()


def _best(answer: object) -> Tensor:
    """[n, 1, 1, h, w], above 0 inside: of each prompt the mask of the largest predicted intersection over union."""
    masks, scores = answer.pred_masks.float(), answer.iou_scores  # type: ignore[attr-defined]
    best: Tensor = masks[torch.arange(len(masks)), :, scores[:, 0].argmax(1)][:, :, None]
    return best


def _labels(logits: Mapping[Side, NDArray[np.float32]], shape: tuple[int, ...]) -> Image:
    absent = np.full(shape, -np.inf)
    stack = np.stack([np.zeros(shape, np.float32), *(logits.get(side, absent) for side in SIDES)])
    return np.asarray(stack.argmax(0), np.uint8)
