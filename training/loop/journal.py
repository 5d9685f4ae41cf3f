"""What a run says while it trains: numbers as JSON lines and for TensorBoard, sample sheets, and a bar.

The JSON lines of a run that counts steps hold nothing of the clock, so that the file of a run that was killed and went
on equals the file of one that was not. Knows nothing about what the numbers mean.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from handfirst.engines.files import atomic_path, atomic_write_bytes

LOSSES, VALIDATION = "losses.jsonl", "validation.jsonl"


class Journal:
    """Files in a run's folder: losses.jsonl, validation.jsonl, sheet-0001000.png and TensorBoard's own in `board`.

    Args:
        folder: exists.
        step: where the run goes on; what was written about later steps is taken back.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self.folder = folder
        for name in (LOSSES, VALIDATION):
            rewind(folder / name, step)
        self._board = SummaryWriter(str(folder / "board"), purge_step=step + 1)

    def losses(self, step: int, values: Mapping[str, float], clock: Mapping[str, float]) -> None:
        """`values` after `step` steps; `clock`, speeds and times, goes to TensorBoard alone."""
        self._write(LOSSES, step, values)
        for name, value in clock.items():
            self._board.add_scalar(name, value, step)

    def validation(self, step: int, values: Mapping[str, float], rows: Sequence[NDArray[np.uint8]]) -> None:
        """Figures about held-out samples, and a sheet of pictures; either may be missing."""
        if rows:
            file = self.folder / f"sheet-{step:07d}.png"
            write_sheet(file, rows)
            sheet = cv2.imread(str(file))
            if sheet is not None:
                self._board.add_image("sheet", np.ascontiguousarray(sheet[..., ::-1]), step, dataformats="HWC")
        if values:
            self._write(VALIDATION, step, values)

    def _write(self, name: str, step: int, values: Mapping[str, float]) -> None:
        with (self.folder / name).open("a") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
        for key, value in values.items():
            self._board.add_scalar(f"validation/{key}" if name == VALIDATION else key, value, step)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._board.close()


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


def rewind(file: Path, step: int) -> None:
    """Drops the lines about later steps, and a last line that a kill left unfinished."""
    if not file.is_file():
        return
    kept = [line for line in file.read_text().splitlines() if _written(line) <= step]
    with atomic_path(file) as temporary:
        temporary.write_text("".join(line + "\n" for line in kept))


def read_journal(file: Path) -> list[dict[str, Any]]:
    """The lines of losses.jsonl or validation.jsonl."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []


def _written(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


def training_bar(show: bool) -> Progress:
    """A bar from 0 to 1 with a note beside it."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:5.1f}%"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
        disable=not show,
        refresh_per_second=2,
    )
