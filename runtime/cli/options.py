"""Options that several verbs share, with one wording each."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from handfirst.engines.errors import UserError

LARGEST_SIDE = 8192

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Progress = Annotated[
    bool | None,
    typer.Option("--progress/--no-progress", help="Bars on stderr.", show_default="only in a terminal"),
]
Seed = Annotated[int, typer.Option(help="Equal seeds give equal pictures.", metavar="N")]
Engine = Annotated[
    str,
    typer.Option(help="What runs it: auto, cpu, cuda, openvino, openvino-bf16 or tensorrt.", metavar="NAME"),
]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads.", show_default="all cores", metavar="N")]
Size = Annotated[
    str | None,
    typer.Option(metavar="WxH", help="Canvas of the pose in pixels, for files that do not say."),
]

Canvas = Annotated[
    str | None,
    typer.Option(metavar="WxH", help="Picture in pixels, for models of free size.", show_default="the model's"),
]


def show_progress(progress: bool | None, json: bool) -> bool | None:
    """What `Bars` is told: machines that read JSON see bars only if they ask for them."""
    return False if progress is None and json else progress


def parse_size(text: str | None, option: str = "--size") -> tuple[int, int] | None:
    """ "768x512" -> (768, 512), width first.

    Raises:
        UserError: anything else, or a side that is 0 or above 8192.
    """
    if text is None:
        return None
    match = re.fullmatch(r"([0-9]{1,9})[xX]([0-9]{1,9})", text.strip())
    width, height = (int(side) for side in match.groups()) if match else (0, 0)
    if not (0 < width <= LARGEST_SIDE and 0 < height <= LARGEST_SIDE):
        raise UserError(f"{option}: expected WIDTHxHEIGHT up to {LARGEST_SIDE}, such as 512x768; got '{text}'")
    return width, height
