"""The conditions of a training picture, built by the runtime's own functions: what is trained is what is served.

A picture here is already a crop or a canvas; its key points are in its own pixels. Knows nothing about torch.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.diffusion.masks import dilated_cells, kept_radii, reduce_mask
from handfirst.runtime.geometry import Similarity
from handfirst.runtime.pose.crop import HandCrop
from handfirst.runtime.pose.person import Pose
from handfirst.runtime.pose.topology import SIDES
from handfirst.runtime.pose.view import hand_words
from handfirst.runtime.systems.two_stage.condition import condition
from handfirst.runtime.systems.two_stage.settings import BodySettings, TwoStageSettings
from handfirst.training.data.record import to_person

Keypoints = NDArray[np.float32]


def to_pose(keypoints: Keypoints, width: int, height: int | None = None) -> Pose:
    """keypoints [133, 3] -> a Pose of one person on a canvas, square where no height is given."""
    return Pose(people=(to_person(keypoints),), width=width, height=height or width, warnings=())


def hand_condition(
    keypoints: Keypoints, mask: NDArray[np.bool_] | None, settings: TwoStageSettings
) -> NDArray[np.float32]:
    """The runtime's c_p, float32 [K', h, w], for a picture that is one crop; mask bool [S, S] or None."""
    person, hand = to_person(keypoints), settings.hand
    return condition(
        person.left_hand if person.has_hand("left") else None,
        person.right_hand if person.has_hand("right") else None,
        None if mask is None else mask.astype(np.float32),
        hand.size,
        hand.condition,
        settings.latent.factor,
    )


def hand_prompt(caption: str, keypoints: Keypoints, settings: TwoStageSettings) -> str:
    """The prompt that the runtime makes of `caption` for these hands: view words first, where the model has them."""
    person, size = to_person(keypoints), settings.hand.size
    sides = tuple(side for side in SIDES if person.has_hand(side))
    if not settings.hand.view_words or not sides:
        return caption
    return f"{hand_words(person, HandCrop(sides, Similarity(1.0, 0.0, 0.0), size, size))}, {caption}"


def hands_alone(rgb: NDArray[np.uint8], mask: NDArray[np.bool_], settings: BodySettings) -> NDArray[np.uint8]:
    """I_c: the hands of a true picture uint8 [H, W, 3] on the uniform background; mask bool [H, W]."""
    return np.where(mask[..., None], rgb, np.uint8(round(settings.background * 255)))


def kept_cells(mask: NDArray[np.bool_], settings: TwoStageSettings, t: int | None = None) -> NDArray[np.bool_]:
    """The latent cells that are blended, bool [h, w].

    Args:
        mask: the hands, bool [H, W].
        t: None: the mask itself; else the mask as the sampler has it when it leaves time t, were every training step
            a step of the sampler: widest at T - 1, the mask itself at 0.
    """
    body, steps = settings.body, settings.schedule.train_steps
    if t is None:
        return reduce_mask(mask, settings.latent.factor, body.mask_reduction)
    radius = int(kept_radii(steps, body, min(mask.shape))[steps - 1 - t])
    return dilated_cells(mask, radius, body, settings.latent.factor)


def cell_reach(mask: NDArray[np.bool_], settings: TwoStageSettings) -> NDArray[np.float32]:
    """The least radius of `kept_radii` with which a latent cell is kept: float32 [h, w], infinite without a hand.

    So that `kept_cells` of every t is one comparison, `cell_reach(mask) <= radius`, where many samples share a device.
    A square dilation by r covers the pixels whose chessboard distance to the mask is at most r.
    """
    body, factor = settings.body, settings.latent.factor
    if body.mask_schedule == "latent":
        return _distance(reduce_mask(mask, factor, body.mask_reduction))
    h, w = mask.shape[0] // factor, mask.shape[1] // factor
    cells = _distance(mask)[: h * factor, : w * factor].reshape(h, factor, w, factor).transpose(0, 2, 1, 3)
    if body.mask_reduction == "nearest":
        return np.ascontiguousarray(cells[:, :, 0, 0])
    pixels = np.sort(cells.reshape(h, w, factor * factor), -1)
    return np.ascontiguousarray(pixels[..., 0 if body.mask_reduction == "max" else factor * factor // 2])


def _distance(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Chessboard distance to the nearest True: float32 of the mask's shape."""
    if not mask.any():
        return np.full(mask.shape, np.inf, np.float32)
    distance: NDArray[np.float32] = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_C, 3)
    return distance
