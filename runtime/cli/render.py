"""`handfirst render`: what a model is asked, and a bundle, to pictures."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from handfirst.runtime.cli import options, output, pipeline
from handfirst.runtime.cli.bars import Bars


class CloseUp(StrEnum):
    """Around which hands a second pass paints larger."""

    off = "off"
    auto = "auto"
    always = "always"


class Armless(StrEnum):
    """What becomes of hands whose elbow or wrist is missing."""

    complete = "complete"
    leave = "leave"
    refuse = "refuse"


class Blend(StrEnum):
    """The paper's three ways of keeping the hands."""

    expansion = "expansion"
    naive = "naive"
    bounding_box = "bounding-box"


def render(
    out: Annotated[Path, typer.Option(help="The picture to write.", metavar="FILE.png")],
    pose: Annotated[
        Path | None, typer.Option(help="A pose in any of the formats, or a photo (eval extra).", metavar="FILE")
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="What the picture shows.", metavar="TEXT")] = None,
    bundle: Annotated[
        Path | None, typer.Option(help="Folder of the model.", show_default="the embedded one", metavar="PATH")
    ] = None,
    negative_prompt: Annotated[str, typer.Option(help="What guidance leads away from.", metavar="TEXT")] = "",
    hand_prompt: Annotated[
        str | None, typer.Option(help="What the hands look like.", show_default="the prompt", metavar="TEXT")
    ] = None,
    gesture: options.Gesture = None,
    seed: options.Seed = 0,
    steps: Annotated[int | None, typer.Option(help="Steps of either stage.", show_default="the model's")] = None,
    hand_steps: Annotated[
        int | None, typer.Option(help="Steps of the hands alone.", show_default="the model's, or --steps", metavar="N")
    ] = None,
    solver: options.Solver = None,
    hand_solver: Annotated[
        str | None,
        typer.Option(help="Of the hands alone.", show_default="the model's, or --solver", metavar="NAME"),
    ] = None,
    speed: options.Speed = None,
    guidance: Annotated[float | None, typer.Option(help="Guidance of the body.", show_default="the model's")] = None,
    hand_guidance: Annotated[
        float | None, typer.Option(help="Guidance of the hands.", show_default="the model's")
    ] = None,
    eta: options.Eta = None,
    blend: Annotated[
        Blend | None, typer.Option(help="How the body stage keeps the hands.", show_default="the model's")
    ] = None,
    feather: Annotated[
        float | None,
        typer.Option(help="Softness of the hands' edge in pixels.", metavar="PX", show_default="the model's"),
    ] = None,
    close_up: Annotated[CloseUp, typer.Option(help="Paint around small hands once more, larger.")] = CloseUp.off,
    armless: Annotated[
        Armless, typer.Option(help="Hands without elbow or wrist: made up, left so, or refused.")
    ] = Armless.leave,
    size: options.Size = None,
    frame: options.Frame = None,
    image: options.Image = None,
    canvas: options.Canvas = None,
    more: options.More = None,
    sheet: Annotated[bool, typer.Option("--sheet", help="Also NAME-sheet.png: the result at a glance.")] = False,
    count: options.Count = 1,
    engine: options.Engine = "auto",
    threads: options.Threads = None,
    low_memory: options.LowMemory = False,
    metadata: options.Metadata = True,
    progress: options.Progress = None,
    json: options.Json = False,
) -> None:
    """Paint what the bundle's model is asked: a person with the hands of a pose."""
    targets = [output.png_target(output.numbered(out, i, count)) for i in range(count)]
    sheets = [output.png_target(t.with_name(f"{t.stem}-sheet.png")) for t in targets] if sheet else []
    options.parse_size(size)
    options.parse_size(canvas, "--canvas")

    told = pipeline.system_of(bundle)
    said = {
        "pose": pose,
        "prompt": prompt,
        "gesture": gesture,
        "negative_prompt": negative_prompt or None,
        "hand_prompt": hand_prompt,
        "seed": seed,
        "steps": steps,
        "hand_steps": hand_steps,
        "solver": solver,
        "hand_solver": hand_solver,
        "speed": speed,
        "guidance": guidance,
        "hand_guidance": hand_guidance,
        "eta": eta,
        "blend": blend and blend.value,
        "feather": feather,
        "close_up": None if close_up is CloseUp.off else close_up.value,
        "armless": None if armless is Armless.leave else armless.value,
        "size": size,
        "frame": frame,
        "image": image,
        "canvas": canvas,
    }
    first = pipeline.asked(told.JOBS, said, more or ())
    requests = [first.seeded(seed + i) for i in range(count)]
    with Bars(options.show_progress(progress, json)) as bars:
        system = pipeline.open_pipeline(bundle, engine, threads, options.resident(low_memory))
        results, parts = pipeline.run(system, requests, bars)
    xmp = [pipeline.told_of(system, result, metadata) for result in results]
    pictures = [output.Picture("result", t, r.image, r.seed, x) for t, r, x in zip(targets, results, xmp, strict=True)]
    if sheet:
        drawn = [told.sheet(result) for result in results]
        pictures += [
            output.Picture("sheet", t, s, r.seed, x) for t, s, r, x in zip(sheets, drawn, results, xmp, strict=True)
        ]
    output.write_pictures(pictures)
    pipeline.report(system, results, parts, pictures, json)
