"""Sample sheets: rows of small pictures in one PNG, to look at while training runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from handfirst.engines.files import atomic_write_bytes


def to_uint8(images: Tensor) -> NDArray[np.uint8]:
    """images [N, 3, H, W] in [-1, 1] -> uint8 [N, H, W, 3]."""
    array = images.detach().float().clamp(-1, 1).permute(0, 2, 3, 1).cpu().numpy()
    return np.round((array + 1) * 127.5).astype(np.uint8)


def write_sheet(file: Path, rows: Sequence[NDArray[np.uint8]], zoom: int = 1) -> None:
    """rows: each uint8 [N, H, W, 3] or [N, H, W]; all of one size. Row by row, one under the other."""
    lines = []
    for row in rows:
        tiles = row if row.ndim == 4 else np.repeat(row[..., None], 3, -1)
        lines.append(np.concatenate(list(tiles), 1))
    sheet = np.concatenate(lines, 0).repeat(zoom, 0).repeat(zoom, 1)
    ok, data = cv2.imencode(".png", sheet[..., ::-1])
    if ok:
        atomic_write_bytes(file, data.tobytes())
