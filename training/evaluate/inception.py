"""The first layers of InceptionV3: 192 features of a picture, for FID and KID (`metrics` extra).

The usual FID network up to its second max-pool, averaged over the picture. Parameters are named as in the published
weights (pt_inception-2015-12-05-6726825d.pth, TensorFlow's Inception of 2015), which have to be given: they were not
at hand when this was written, so that shapes and arithmetic are tested and values against published features are not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from handfirst.engines.errors import UserError
from handfirst.engines.files import sha256
from handfirst.training.evaluate.cases import Case
from handfirst.training.evaluate.pictures import read_picture

FEATURES = 192
SIDE = 299
PUBLISHED = "6726825d"
"""First digits of the published file's SHA-256, as its name says."""
REMEDY = f"give pt_inception-2015-12-05-{PUBLISHED}.pth"


class Convolution(nn.Module):
    """A convolution without bias, batch normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] -> [N, outputs, H', W']."""
        return functional.relu(self.bn(self.conv(x)))


class InceptionFront(nn.Module):
    """uint8 pictures [N, 3, H, W] -> float32 [N, 192]. Sizes of the maps: 299, 149, 147, 147, 73, 73, 71, 35."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Convolution(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = Convolution(32, 32, 3)
        self.Conv2d_2b_3x3 = Convolution(32, 64, 3, padding=1)
        self.MaxPool_1 = nn.MaxPool2d(3, stride=2)
        self.Conv2d_3b_1x1 = Convolution(64, 80, 1)
        self.Conv2d_4a_3x3 = Convolution(80, FEATURES, 3)
        self.MaxPool_2 = nn.MaxPool2d(3, stride=2)
        self.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> InceptionFront:
        """Never trains: its batch statistics are those of the weights."""
        super().train(False)
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Resized as torchmetrics resizes for the same network: bilinear, smoothed when it shrinks."""
        x = functional.interpolate(
            images.float(), size=(SIDE, SIDE), mode="bilinear", align_corners=False, antialias=True
        )
        for layer in self.children():
            x = layer(x if layer is not self.Conv2d_1a_3x3 else (x - 128) / 128)
        return x.mean((2, 3))


def load_inception(path: Path) -> tuple[InceptionFront, str]:
    """The network with the weights of a file, and the file's SHA-256.

    Raises:
        UserError: the file is missing, no such weights, or of other shapes.
    """
    try:
        digest = sha256(path.read_bytes())
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {REMEDY}") from error
    except Exception as error:  # torch names a dozen ways in which a file is no file of tensors
        raise UserError(f"{path}: not a file of PyTorch weights; {REMEDY}") from error
    network = InceptionFront()
    wanted = {name: v for name, v in network.state_dict().items() if not name.endswith("num_batches_tracked")}
    if not isinstance(state, Mapping) or (missing := [name for name in wanted if name not in state]):
        what = f"it lacks {missing[0]!r}" if isinstance(state, Mapping) else f"it holds a {type(state).__name__}"
        raise UserError(f"{path}: not the weights of the FID network: {what}; {REMEDY}")
    for name, value in wanted.items():
        if not isinstance(state[name], Tensor) or state[name].shape != value.shape:
            came = list(state[name].shape) if isinstance(state[name], Tensor) else type(state[name]).__name__
            raise UserError(f"{path}: {name}: expected shape {list(value.shape)}, got {came}; is it another network?")
    network.load_state_dict({name: state[name] for name in wanted}, strict=False)
    return network, digest


BACKGROUND = 128
"""What a masked background becomes: the grey that the network sees as 0."""
Advance = Callable[[int, int], None]


def features(network: InceptionFront, cases: Sequence[Case], foreground: bool, advance: Advance) -> NDArray[np.float64]:
    """[N, 192], a row per case.

    Args:
        foreground: whether all but the foreground is painted over; every case then needs a mask.
        advance: told how many of how many are done.

    Raises:
        UserError: a picture or mask cannot be read, or their sizes differ.
    """
    out = np.zeros((len(cases), FEATURES))
    with torch.inference_mode():
        for i, case in enumerate(cases):
            image = read_picture(case.picture, case.key)
            image = without_background(image, case) if foreground else image
            out[i] = network(torch.from_numpy(image).permute(2, 0, 1)[None])[0].numpy()
            advance(i + 1, len(cases))
    return out


def without_background(image: NDArray[np.uint8], case: Case) -> NDArray[np.uint8]:
    """image uint8 [H, W, 3] with BACKGROUND wherever the case's mask is 0."""
    if case.mask is None:
        raise UserError(f"picture '{case.key}' has no foreground mask; give all of them or none")
    mask = read_picture(case.mask, f"{case.key} (mask)")
    shown = mask if mask.ndim == 2 else mask[..., :3].max(-1)
    if shown.shape != image.shape[:2]:
        raise UserError(
            f"picture '{case.key}' is {image.shape[1::-1]} pixels, its mask {shown.shape[::-1]}; make them equal"
        )
    return np.asarray(cv2.copyTo(image, (shown > 0).astype(np.uint8), np.full_like(image, BACKGROUND)), np.uint8)
