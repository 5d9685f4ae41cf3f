"""`handfirst prepare`: data sets on disk into training shards. Heavy imports wait until a command runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from handfirst.training.data.prepare.settings import CaptionTable, PrepareSettings

app = typer.Typer(help="Turn data sets of pictures into training shards.", no_args_is_help=True)

Out = Annotated[Path, typer.Argument(help="Folder of the data set; give it again to go on after an interruption.")]
From = Annotated[
    list[str],
    typer.Option("--from", metavar="KIND=PATH[:COUNT]", help="A source, how many of its pictures; repeatable."),
]
Size = Annotated[int, typer.Option(min=32, max=2048, help="Pixels a side.")]
Smallest = Annotated[int, typer.Option(min=0, help="Fewest pixels of hand mask, counted at 512 pixels a side.")]
KeyPoints = Annotated[
    Literal["given", "mediapipe", "mediapipe-hagrid"],
    typer.Option(help="Pictures without a hand's key points: leave out, or look for; in HaGRID's also anew."),
]
Sam = Annotated[Path | None, typer.Option(help="SAM checkpoint for pictures without hand masks.")]
Captioner = Annotated[Path | None, typer.Option(help="BLIP or LLaVA checkpoint for pictures without caption.")]
Captions = Annotated[
    Literal["given", "model"], typer.Option(help="Keep the source's captions, or let the captioner write all.")
]
Table = Annotated[
    Path | None,
    typer.Option(metavar="CSV", help="Captions by sequence, for pictures without; 'prepare table' begins it."),
]
Masks = Annotated[
    str | None,
    typer.Option(metavar="NAME:LEFT:RIGHT", help="Re:InterHand's masks: folder beside images/, grey values."),
]
Val = Annotated[int, typer.Option(min=0, help="Pictures of each source to validate with.")]
Seed = Annotated[int, typer.Option(min=0, help="Of all draws.")]
ShardSize = Annotated[int, typer.Option(min=1, help="Pictures per shard.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes (all cores).")]
Ray = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="A Ray cluster does the work (auto, ray://HOST:PORT).")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bars.")]


@app.command()
def hand(
    out: Out,
    sources: From,
    size: Size = 512,
    margin: Annotated[float, typer.Option(min=1, help="Side of a crop over the hand's longer side.")] = 1.5,
    hands: Annotated[Literal["one", "all"], typer.Option(help="Of two hands apart: one at random, or both.")] = "one",
    smallest_mask: Smallest = 2500,
    outside: Annotated[float, typer.Option(min=0, max=1, help="Largest share of a crop outside its picture.")] = 0.25,
    key_points: KeyPoints = "given",
    sam: Sam = None,
    without_masks: Annotated[
        bool, typer.Option("--without-masks", help="Keep pictures without hand masks: for annotated hands.")
    ] = False,
    captioner: Captioner = None,
    captions: Captions = "given",
    table: Table = None,
    masks: Masks = None,
    val: Val = 1000,
    seed: Seed = 0,
    shard: ShardSize = 1000,
    workers: Workers = None,
    ray: Ray = None,
    quiet: Quiet = False,
) -> None:
    """Crops of hands for stage 1; two hands that meet share a crop."""
    from handfirst.training.data.prepare.settings import PrepareSettings

    settings = PrepareSettings(
        stage="hand", origins=_origins(sources, masks), size=size, margin=margin, hands=hands,
        smallest_mask=smallest_mask, outside=outside, key_points=key_points, sam=_text(sam),
        without_masks=without_masks, captioner=_text(captioner), captions=captions, table=_table(table), val=val,
        seed=seed, shard=shard,
    )  # fmt: skip
    _prepare(out, settings, workers, ray, quiet)


@app.command()
def body(
    out: Out,
    sources: From,
    size: Size = 512,
    margin: Annotated[float, typer.Option(min=1, help="Side of the square over the person's longer side.")] = 1.25,
    buckets: Annotated[
        str | None,
        typer.Option(
            metavar="RATIO|WxH,WxH",
            help="Canvases of several shapes: up to this ratio of sides, or these.",
            show_default="the square",
        ),
    ] = None,
    smallest_mask: Smallest = 2500,
    key_points: KeyPoints = "given",
    sam: Sam = None,
    captioner: Captioner = None,
    captions: Captions = "given",
    table: Table = None,
    masks: Masks = None,
    val: Val = 1000,
    seed: Seed = 0,
    shard: ShardSize = 1000,
    workers: Workers = None,
    ray: Ray = None,
    quiet: Quiet = False,
) -> None:
    """Squares (or buckets) of one person with all key points and the hands' masks, for stage 2."""
    from handfirst.training.data.buckets import read
    from handfirst.training.data.prepare.settings import PrepareSettings

    settings = PrepareSettings(
        stage="body", origins=_origins(sources, masks), size=size, body_margin=margin, smallest_mask=smallest_mask,
        buckets=() if buckets is None else read(buckets, size), key_points=key_points, sam=_text(sam),
        captioner=_text(captioner), captions=captions, table=_table(table), val=val, seed=seed, shard=shard,
    )  # fmt: skip
    _prepare(out, settings, workers, ray, quiet)


@app.command()
def points(
    out: Out,
    workers: Workers = None,
    ray: Ray = None,
    quiet: Quiet = False,
) -> None:
    """Look for missing key points, in an environment that has MediaPipe; `hand` and `body` say when it is needed."""
    from handfirst.engines.installed import usable_cores
    from handfirst.training.data.prepare.prepare import find_points

    count = find_points(out, workers or usable_cores(), ray, False if quiet else None)
    print(f"{count} pictures came without key points; what was found is in {out / 'points'}")


@app.command()
def table(
    path: Annotated[Path, typer.Argument(metavar="CSV", help="The table; lines that are there stay as they are.")],
    sources: From,
) -> None:
    """Begin a table of captions: a line for every sequence, to be filled in with gender, skin and look."""
    from handfirst.training.data.prepare.origins import open_origin
    from handfirst.training.data.prepare.table import write_template
    from handfirst.training.data.record import Record

    opened = [open_origin(origin, 512, 0) for origin in _origins(sources, None)]
    lines, new = write_template(path, (item for source in opened for item in source if isinstance(item, Record)))
    print(
        f"{lines} sequences, {new} of them new in {path}; fill in what is known, then: prepare hand ... --table {path}"
    )


def _table(path: Path | None) -> CaptionTable | None:
    from handfirst.training.data.prepare.table import named_table

    return None if path is None else named_table(path)


def _origins(sources: list[str], masks: str | None) -> tuple[Any, ...]:
    from handfirst.training.data.prepare.origins import parse_masks, parse_origin

    if masks is not None:
        parse_masks(masks)
    origins = [parse_origin(text) for text in sources]
    return tuple(o.model_copy(update={"masks": masks}) if o.kind == "reinterhand" else o for o in origins)


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _prepare(out: Path, settings: PrepareSettings, workers: int | None, ray: str | None, quiet: bool) -> None:
    from handfirst.engines.installed import usable_cores
    from handfirst.runtime.cli.output import folder_target, print_table, print_warnings
    from handfirst.training.data.prepare.origins import open_origin
    from handfirst.training.data.prepare.prepare import prepare
    from handfirst.training.data.prepare.report import HEADS, table

    folder_target(out)
    report = prepare(
        out,
        settings,
        lambda: [
            open_origin(origin, settings.size, settings.seed, settings.key_points != "mediapipe-hagrid")
            for origin in settings.origins
        ],
        workers or usable_cores(),
        ray,
        False if quiet else None,
    )
    print_table(f"{settings.stage} examples in {out}", HEADS, table(report))
    print(f"look at {out / 'sheet.png'}; all counts are in {out / 'prepare.json'}")
    print_warnings(report["remarks"])
