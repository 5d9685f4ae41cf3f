"""`handfirst data`: render training data and look at it."""

from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from rich.console import Console

from handfirst.training.data.procedural.sample import SAMPLERS
from handfirst.training.data.procedural.writer import render_dataset

app = typer.Typer(help="Render hands and people with their exact truth.", no_args_is_help=True)

DEFAULT_SIZE = {"hand": 128, "person": 192}
_COLUMNS = 8
SUFFIXES = (".png", ".jpg")


@app.command()
def render(
    kind: Annotated[str, typer.Argument(help="hand or person")],
    out: Annotated[Path, typer.Argument(help="Folder for the shards")],
    count: Annotated[int, typer.Option(help="How many samples")] = 1000,
    size: Annotated[int | None, typer.Option(help="Pixels a side (hand 128, person 192)")] = None,
    first_seed: Annotated[int, typer.Option(help="Seed of the first sample; the others follow")] = 0,
    workers: Annotated[int | None, typer.Option(help="Processes (all cores)")] = None,
) -> None:
    """Write WebDataset shards; shards already complete are left as they are."""
    _check_kind(kind)
    try:
        shards = render_dataset(kind, out, count, size or DEFAULT_SIZE[kind], first_seed, workers)
    except (ValueError, OSError) as error:
        raise _refusal(str(error)) from error
    typer.echo(f"{count} samples in {len(shards)} shards under {out}")


@app.command()
def sheet(
    out: Annotated[Path, typer.Argument(help="Picture to write, .png or .jpg")],
    kind: Annotated[str, typer.Option(help="hand or person")] = "hand",
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
    columns = min(_COLUMNS, count)
    canvas = np.full((-(-count // columns) * side, columns * side, 3), 255, np.uint8)
    for i in range(count):
        y, x = (i // columns) * side, (i % columns) * side
        canvas[y : y + side, x : x + side] = SAMPLERS[kind](first_seed + i, side).rgb
    _, data = cv2.imencode(out.suffix.lower(), np.ascontiguousarray(canvas[..., ::-1]))
    try:
        out.write_bytes(data.tobytes())
    except OSError as error:
        raise _refusal(str(error)) from error
    typer.echo(f"{count} samples in {out}")


def _check_kind(kind: str) -> None:
    if kind not in SAMPLERS:
        raise _refusal(f"kind must be one of {', '.join(SAMPLERS)}; got {kind!r}")


def _refusal(message: str) -> typer.Exit:
    """One clear line on stderr, exit status 2."""
    Console(stderr=True).print(f"error: {message}", markup=False, highlight=False, soft_wrap=True)
    return typer.Exit(2)
