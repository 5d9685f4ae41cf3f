"""`handfirst data`: render training data and look at it."""

from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console

from handfirst.training.data.procedural.sample import SAMPLERS
from handfirst.training.data.procedural.twice import sample_pair
from handfirst.training.data.procedural.writer import KINDS, PAIR, render_dataset

app = typer.Typer(help="Render hands and people with their exact truth.", no_args_is_help=True)

DEFAULT_SIZE = {"hand": 128, "person": 192, PAIR: 128}
_COLUMNS = 8
SUFFIXES = (".png", ".jpg")


@app.command()
def render(
    kind: Annotated[str, typer.Argument(help="hand, person or pair (a hand, and what it is to be drawn by)")],
    out: Annotated[Path, typer.Argument(help="Folder for the shards")],
    count: Annotated[int, typer.Option(help="How many samples")] = 1000,
    size: Annotated[int | None, typer.Option(help="Pixels a side (person 192, others 128)")] = None,
    first_seed: Annotated[int, typer.Option(help="Seed of the first sample; the others follow")] = 0,
    workers: Annotated[int | None, typer.Option(help="Processes (all cores)")] = None,
    gesture: Annotated[str | None, typer.Option(help="That every hand, or one of a person's, makes (any)")] = None,
) -> None:
    """Write WebDataset shards; shards already complete are left as they are."""
    _check_kind(kind)
    try:
        shards = render_dataset(kind, out, count, size or DEFAULT_SIZE[kind], first_seed, workers, gesture=gesture)
    except (ValueError, OSError) as error:
        raise _refusal(str(error)) from error
    typer.echo(f"{count} samples in {len(shards)} shards under {out}")


@app.command()
def sheet(
    out: Annotated[Path, typer.Argument(help="Picture to write, .png or .jpg")],
    kind: Annotated[str, typer.Option(help="hand, person or pair")] = "hand",
    count: Annotated[int, typer.Option(help="How many samples")] = 32,
    size: Annotated[int | None, typer.Option(help="Pixels a side of each")] = None,
    first_seed: Annotated[int, typer.Option(help="Seed of the first sample")] = 0,
) -> None:
    """Draw a contact sheet of samples."""
    _check_kind(kind)
    if count < 1 or first_seed < 0 or (size is not None and size < 16):
        raise _refusal("count must be at least 1, size at least 16, the seed not negative")
    if out.suffix.lower() not in SUFFIXES:
        raise _refusal(f"expected a picture's name that ends in {' or '.join(SUFFIXES)}, got {out.name!r}")
    side = size or DEFAULT_SIZE[kind]
    columns, width = min(_COLUMNS, count), side * (2 if kind == PAIR else 1)
    canvas = np.full((-(-count // columns) * side, columns * width, 3), 255, np.uint8)
    for i in range(count):
        y, x = (i // columns) * side, (i % columns) * width
        canvas[y : y + side, x : x + width] = _tile(kind, first_seed + i, side)
    _, data = cv2.imencode(out.suffix.lower(), np.ascontiguousarray(canvas[..., ::-1]))
    try:
        out.write_bytes(data.tobytes())
    except OSError as error:
        raise _refusal(str(error)) from error
    typer.echo(f"{count} samples in {out}")


def _tile(kind: str, seed: int, side: int) -> NDArray[np.uint8]:
    """A sample's picture; of a pair both, the one to draw by first."""
    if kind != PAIR:
        return SAMPLERS[kind](seed, side).rgb
    pair = sample_pair(seed, side)
    assert pair.other is not None
    return np.concatenate([pair.other.rgb, pair.rgb], 1)


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise _refusal(f"kind must be one of {', '.join(KINDS)}; got {kind!r}")


def _refusal(message: str) -> typer.Exit:
    """One clear line on stderr, exit status 2."""
    Console(stderr=True).print(f"error: {message}", markup=False, highlight=False, soft_wrap=True)
    return typer.Exit(2)
