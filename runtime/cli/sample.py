"""`handfirst sample`: pictures out of noise, by a bundle that needs to be told nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from handfirst.engines.errors import UserError
from handfirst.runtime.cli import options, output, pipeline
from handfirst.runtime.cli.bars import Bars

TOLD = ("consistency", "candidate")


def sample(
    out: Annotated[Path, typer.Option("--out", "-o", help="The picture to write.", metavar="FILE.png")],
    bundle: Annotated[
        Path | None,
        typer.Option(help="Folder of a model that samples.", show_default="the embedded one", metavar="PATH"),
    ] = None,
    label: Annotated[str | None, typer.Option(help="One of the model's classes.", metavar="NAME")] = None,
    prompt: Annotated[str | None, typer.Option(help="What the picture shows.", metavar="TEXT")] = None,
    gesture: options.Gesture = None,
    seed: options.Seed = 0,
    count: options.Count = 1,
    best_of: Annotated[
        int | None,
        typer.Option(
            help="Draw so many for each, and keep the most consistent.", show_default="the model's", metavar="N"
        ),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="MediaPipe's points count for consistency, too.")] = False,
    steps: Annotated[int | None, typer.Option(help="Denoising steps.", show_default="the model's")] = None,
    guidance: Annotated[
        float | None, typer.Option(help="Guidance by label or prompt.", show_default="the model's")
    ] = None,
    eta: options.Eta = None,
    more: options.More = None,
    annotation: Annotated[
        bool, typer.Option("--annotation", help="Also NAME-annotation.png, as the network drew it.")
    ] = False,
    sheet: Annotated[bool, typer.Option("--sheet", help="Also NAME-sheet.png: picture, annotation, points.")] = False,
    engine: options.Engine = "auto",
    threads: options.Threads = None,
    low_memory: options.LowMemory = False,
    metadata: options.Metadata = True,
    progress: options.Progress = None,
    json: options.Json = False,
) -> None:
    """Draw hands out of noise, and tell how well each picture agrees with its own annotation."""
    kinds = ["result", *(["annotation"] if annotation else []), *(["sheet"] if sheet else [])]
    names = [output.numbered(out, i, count) for i in range(count)]
    targets = [
        {kind: output.png_target(_beside(name, kind)) for kind in kinds} for name in names
    ]  # checked before any work
    bundle = bundle or Path("sample")
    told = pipeline.system_of(bundle)
    if told.JOBS.required:
        needed = " and ".join(told.JOBS.required)
        raise UserError(f"--bundle: expected a model that samples, and '{bundle}' needs {needed}")
    said = {
        "label": label,
        "prompt": prompt,
        "gesture": gesture,
        "seed": seed,
        "best_of": best_of,
        "check": check or None,
        "steps": steps,
        "guidance": guidance,
        "eta": eta,
    }
    first = pipeline.asked(told.JOBS, said, more or ())
    requests = [first.seeded(seed + i) for i in range(count)]
    with Bars(options.show_progress(progress, json)) as bars:
        system = pipeline.open_pipeline(bundle, engine, threads, options.resident(low_memory))
        results, parts = pipeline.run(system, requests, bars)
    pictures = []
    for result, wanted in zip(results, targets, strict=True):
        xmp = pipeline.told_of(system, result, metadata)
        made = {kind: image for kind, _, image in told.pictures(result)}
        if missing := [kind for kind in wanted if kind not in made]:
            raise UserError(f"--{missing[0]}: this model draws none")
        pictures += [output.Picture(kind, path, made[kind], result.seed, xmp) for kind, path in wanted.items()]
    output.write_pictures(pictures)
    pipeline.report(system, results, parts, pictures, json, TOLD)


def _beside(path: Path, kind: str) -> Path:
    return path if kind == "result" else path.with_name(f"{path.stem}-{kind}.png")
