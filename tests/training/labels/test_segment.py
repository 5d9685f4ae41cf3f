"""SAM's loading and prompting against the model itself, called step by step; the weights are random."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers
from support.tiny_labellers import SIDE, write_blip, write_sam

from handfirst.engines.errors import UserError
from handfirst.training.data.labels.segment import open_sam

LEFT = np.array([[20.0, 30.0], [40.0, 50.0], [np.nan, np.nan], [33.5, 12.0]])
RIGHT = np.array([[70.0, 30.0], [80.5, 50.0]])


@pytest.fixture(scope="module")
def sam(tmp_path_factory) -> Path:
    return write_sam(tmp_path_factory.mktemp("sam"))


def picture(side: int = 96) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)


def logits(folder: Path, rgb: np.ndarray, inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """One full pass of the model without the processor: the best of its three masks at the picture's size."""
    model = transformers.SamModel.from_pretrained(folder).eval()
    small = transformers.image_transforms.resize(rgb, (SIDE, SIDE), resample=2).astype(np.float32)
    pixels = torch.from_numpy((small / 255 - 0.5) / 0.25).permute(2, 0, 1)[None]
    points = torch.from_numpy((np.concatenate([inside, outside]) - 0.5) * SIDE / len(rgb)).float()[None, None]
    labels = torch.tensor([[[1] * len(inside) + [0] * len(outside)]])
    with torch.no_grad():
        answer = model(pixel_values=pixels, input_points=points, input_labels=labels, multimask_output=True)
    best = answer.pred_masks[0, 0, answer.iou_scores[0, 0].argmax()][None, None]
    assert answer.pred_masks.shape[2] == 3
    full = F.interpolate(best, (SIDE, SIDE), mode="bilinear", align_corners=False)
    return F.interpolate(full, (len(rgb), len(rgb)), mode="bilinear", align_corners=False)[0, 0].numpy()


def test_one_hand_is_the_best_mask(sam: Path) -> None:
    labels = open_sam(sam)([picture()], [{"right": RIGHT}])[0]
    wanted = logits(sam, picture(), RIGHT, np.zeros((0, 2))) > 0
    assert 0.02 < wanted.mean() < 0.98
    assert labels.dtype == np.uint8 and set(np.unique(labels)) == {0, 2}
    assert ((labels == 2) != wanted).mean() < 0.001


def test_two_hands_are_told_apart(sam: Path) -> None:
    """Each with the other's points as background; where both claim a pixel the larger logit has it."""
    labels = open_sam(sam)([picture()], [{"left": LEFT, "right": RIGHT}])[0]
    known = LEFT[[0, 1, 3]]
    left, right = logits(sam, picture(), known, RIGHT), logits(sam, picture(), RIGHT, known)
    wanted = np.where((left > 0) & (left >= right), 1, np.where(right > 0, 2, 0))
    assert len(np.unique(wanted)) == 3
    assert (labels != wanted).mean() < 0.001


def test_no_known_point_is_no_mask(sam: Path) -> None:
    assert not open_sam(sam)([picture()], [{"left": np.full((21, 2), np.nan)}])[0].any()


def test_a_batch_gives_each_picture_its_own_masks(sam: Path) -> None:
    """Pictures of several sizes, with one hand, two and none, and different numbers of points."""
    pictures = [picture(96), picture(64)[:, ::-1], picture(96)[::-1], picture(80)]
    hands = [{"left": LEFT, "right": RIGHT}, {"left": LEFT}, {}, {"right": RIGHT}]
    segment = open_sam(sam)
    together = segment(pictures, hands)
    for got, rgb, some in zip(together, pictures, hands, strict=True):
        assert got.shape == rgb.shape[:2]
        assert (got != segment([rgb], [some])[0]).mean() < 0.001
    assert not together[2].any() and together[0].any() and together[1].any()


def test_half_precision_changes_few_pixels(sam: Path) -> None:
    hands = [{"left": LEFT, "right": RIGHT}]
    whole, half = (open_sam(sam, half=half)([picture()], hands)[0] for half in (False, True))
    assert (whole != half).mean() < 0.02


def test_another_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"SAM checkpoint .* found a model of type 'blip'"):
        open_sam(write_blip(tmp_path))


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"found no config.json"):
        open_sam(tmp_path)


def test_a_checkpoint_without_weights_is_one_line(tmp_path: Path) -> None:
    (write_sam(tmp_path) / "model.safetensors").unlink()
    with pytest.raises(UserError, match="cannot load the SAM checkpoint") as caught:
        open_sam(tmp_path)
    assert "\n" not in str(caught.value)
