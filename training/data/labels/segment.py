"""SAM as a finder of hands: the hand's key points are the prompt (paper, section IV-A; `train` extra).

Loads any checkpoint that transformers knows as a mask generator from points (SAM, SAM-HQ), from a folder on this
machine. Knows nothing about crops; dilation is the caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from handfirst.runtime.pose.topology import SIDES, Side
from handfirst.training.data.labels.checkpoint import SEGMENTERS, model_folder

Points = NDArray[np.float64]
Segment = Callable[[NDArray[np.uint8], Mapping[Side, Points]], NDArray[np.uint8]]


def open_sam(folder: Path) -> Segment:
    """A function of a picture uint8 [S, S, 3] and its hands' points [21, 2] -> labels uint8 [S, S] (1 left, 2 right).

    Every hand is asked for with its own points as foreground and the other's as background. Of SAM's three masks the
    one counts that SAM expects to fit best; where two hands claim a pixel, the surer one has it.

    Raises:
        UserError: the folder holds no such checkpoint.
    """
    from transformers import AutoModelForMaskGeneration, AutoProcessor

    with model_folder(folder, *SEGMENTERS):
        processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
        model = AutoModelForMaskGeneration.from_pretrained(folder, local_files_only=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = model.to(device).eval()

    @torch.inference_mode()
    def segment(rgb: NDArray[np.uint8], hands: Mapping[Side, Points]) -> NDArray[np.uint8]:
        known = {side: points[np.isfinite(points).all(1)] for side, points in hands.items()}
        known = {side: points for side, points in known.items() if len(points)}
        if not known:
            return np.zeros(rgb.shape[:2], np.uint8)
        embedding = None
        logits = {}
        for side in known:
            inputs = _inputs(processor, rgb, *_prompt(known, side)).to(device)
            if embedding is None:
                embedding = model.get_image_embeddings(inputs["pixel_values"])
            logits[side] = _best(processor, model, inputs, embedding)
        return _labels(logits)

    return segment


def _prompt(hands: Mapping[Side, Points], side: Side) -> tuple[list[list[float]], list[int]]:
    """The points (pixel i centred at i, as SAM counts) and whether each is foreground."""
    points = np.concatenate([hands[side], *(other for name, other in hands.items() if name != side)]) - 0.5
    return points.tolist(), [int(i < len(hands[side])) for i in range(len(points))]


def _inputs(processor: Any, rgb: NDArray[np.uint8], points: list[list[float]], labels: list[int]) -> Any:
    inputs = processor(images=rgb, input_points=[[points]], input_labels=[[labels]], return_tensors="pt")
    return inputs.to(torch.float32)


def _best(processor: Any, model: Any, inputs: Any, embedding: Any) -> NDArray[np.float32]:
    """float32 [S, S], above 0 inside: the mask of the largest predicted intersection over union."""
    answer = model(image_embeddings=embedding, input_points=inputs["input_points"], input_labels=inputs["input_labels"])
    sizes = (inputs["original_sizes"].cpu(), inputs["reshaped_input_sizes"].cpu())
    masks = processor.post_process_masks(answer.pred_masks.float().cpu(), *sizes, binarize=False)[0][0]
    best: NDArray[np.float32] = masks[int(answer.iou_scores[0, 0].argmax())].numpy()
    return best


def _labels(logits: Mapping[Side, NDArray[np.float32]]) -> NDArray[np.uint8]:
    shape = next(iter(logits.values())).shape
    stack = np.stack([np.zeros(shape, np.float32), *(logits.get(s, np.full(shape, -np.inf)) for s in SIDES)])
    return np.asarray(stack.argmax(0), np.uint8)
