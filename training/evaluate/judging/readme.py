"""What a README shows of a judged bundle: a sheet of its first pictures beside their true renders, a table in Markdown.

The pictures are those that were judged, from the folder that keeps them: nothing is painted here. The renders are made
of their seeds once more. Knows nothing about judges or models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from handfirst.engines.errors import UserError
from handfirst.engines.files import atomic_write_bytes
from handfirst.training.data.images import encode_jpeg, encode_png
from handfirst.training.evaluate.judging import hands, pixels
from handfirst.training.evaluate.judging.held_out import HAND_SIZE, HeldOut, Kind, render
from handfirst.training.evaluate.judging.looks import Look
from handfirst.training.evaluate.judging.painting import Image, read_painted
from handfirst.training.evaluate.judging.table import Row
from handfirst.training.evaluate.report import ARROWS

COLUMNS, BANDS = 12, 2
"""Hands side by side, and how often."""
WIDTH = COLUMNS * HAND_SIZE
ENCODERS: dict[str, Callable[[Image], bytes]] = {".png": encode_png, ".jpg": encode_jpeg}


def write_sheet(file: Path, out: Path, poses: Sequence[HeldOut]) -> None:
    """The sheet of a judged folder; the file, .png or .jpg, appears whole or not at all."""
    atomic_write_bytes(file, ENCODERS[file.suffix.lower()](sheet_of(out, poses)))


def sheet_of(out: Path, poses: Sequence[HeldOut]) -> Image:
    """Of the first poses that there is a picture of, uint8 [H, W, 3]; what is left of a row is white.

    Hands alone, COLUMNS in a row: what was drawn, its mask (not of pictures of another program), the true render. Below
    them people, as many as are as wide as those: what was painted, the true renders.

    Raises:
        UserError: the folder keeps none of the pictures.
    """
    alone, people = (_columns(out / "pictures", poses, kind) for kind in ("hands", "people"))
    bands = [list(islice(alone, COLUMNS)) for _ in range(BANDS)]
    if (first := next(people, None)) is not None:
        bands.append([first, *islice(people, max(WIDTH // first.shape[1] - 1, 0))])
    rows = [np.concatenate(band, 1) for band in bands if band]
    if not rows:
        raise UserError(f"{out}: expected the pictures that were judged, found none; judge again into a new --out")
    width = max(row.shape[1] for row in rows)
    return np.concatenate(
        [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    )


def _columns(folder: Path, poses: Sequence[HeldOut], kind: Kind) -> Iterator[Image]:
    """Each picture with what belongs below it."""
    for pose in poses:
        painted = read_painted(folder, pose.key) if pose.kind == kind else None
        if painted is not None:
            mask = [] if painted.mask is None else [np.repeat(painted.mask[..., None] * np.uint8(255), 3, -1)]
            yield np.concatenate([painted.image, *mask, render(pose, len(painted.image)).rgb])


def markdown(rows: Iterable[Row]) -> str:
    """Measure, drawn with its interval, true renders: a line a figure of all people, and of all hands alone."""
    looked_for = [*hands.hand_measures([Look(hands=(), face=None)]), *pixels.pixel_measures([pixels.PixelLook()])]
    titles = {"kid_hands": "KID of hand crops", "fid_hands": "FID of hand crops"}
    titles |= {measure.name: measure.title for measure in looked_for}
    lines = ["| measure | drawn (95 % interval) | true renders |", "|---|---|---|"]
    for row in rows:
        if row.set in ("people", "hands") and row.value is not None:
            by = "" if row.judge == "pixels" else f" ({row.judge.partition(' ')[0]})"
            interval = "" if row.low is None else f" ({row.low:.3f} .. {row.high:.3f})"
            renders = "-" if row.renders is None else f"{row.renders:.3f}"
            measure = f"{row.set}: {titles[row.metric]} {ARROWS[row.better]}{by}"
            lines.append(f"| {measure} | {row.value:.3f}{interval} | {renders} |")
    return "\n".join(lines)
