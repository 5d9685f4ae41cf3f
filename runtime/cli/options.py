"""Options that several verbs share, with one wording each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from handfirst.runtime.pose.size import parse_size as read_size

if TYPE_CHECKING:
    from handfirst.runtime.system import Resident

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Progress = Annotated[
    bool | None,
    typer.Option("--progress/--no-progress", help="Bars on stderr.", show_default="only in a terminal"),
]
Gesture = Annotated[
    str | None, typer.Option(help="One of the model's gestures, for models that have them.", metavar="NAME")
]
Seed = Annotated[int, typer.Option(help="Equal seeds give equal pictures.", metavar="N")]
Count = Annotated[int, typer.Option(min=1, max=256, help="Pictures at once: seeds N, N+1, ...; files NAME-1.png, ...")]
Eta = Annotated[float | None, typer.Option(help="DDIM's eta, 0 to 1.", show_default="the model's")]
More = Annotated[
    list[str] | None,
    typer.Option("--set", help="What a model asks for beside the above; repeatable.", metavar="NAME=VALUE"),
]
Engine = Annotated[
    str,
    typer.Option(help="What runs it: auto, cpu, cuda, openvino, openvino-bf16 or tensorrt.", metavar="NAME"),
]
LowMemory = Annotated[
    bool,
    typer.Option("--low-memory", help="Keep one stage's networks in memory at a time: less memory, more time."),
]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads.", show_default="all cores", metavar="N")]
Solver = Annotated[
    str | None,
    typer.Option(help="ddim, ddim-trailing, dpm++, unipc or lcm.", show_default="the model's", metavar="NAME"),
]
Speed = Annotated[
    str | None,
    typer.Option(help="exact, fast or fastest: the networks are asked less.", show_default="exact", metavar="NAME"),
]
Metadata = Annotated[
    bool,
    typer.Option("--metadata/--no-metadata", help="Pictures tell model, request, and that a model made them."),
]
Size = Annotated[
    str | None,
    typer.Option(metavar="WxH", help="Canvas of the pose in pixels, for files that do not say."),
]
Frame = Annotated[
    int | None,
    typer.Option(min=1, help="Of a pose file that holds several.", show_default="the first with somebody", metavar="N"),
]
Image = Annotated[str | None, typer.Option(help="Id or file name of one of the images in a pose file.", metavar="NAME")]
Canvas = Annotated[
    str | None,
    typer.Option(metavar="WxH", help="Picture in pixels, for models of free size.", show_default="the model's"),
]


def show_progress(progress: bool | None, json: bool) -> bool | None:
    """What `Bars` is told: machines that read JSON see bars only if they ask for them."""
    return False if progress is None and json else progress


def resident(low_memory: bool) -> Resident:
    """What `--low-memory` asks of `systems.open`."""
    return "stage" if low_memory else "all"


def parse_size(text: str | None, option: str = "--size") -> tuple[int, int] | None:
    """What an option says; see pose/size.py."""
    return read_size(text, option)
