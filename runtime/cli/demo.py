"""`handfirst demo`: the embedded model paints its example, and every picture on the way is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from handfirst.runtime.cli import options, output, pipeline
from handfirst.runtime.cli.bars import Bars


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the pictures.", metavar="FOLDER")] = Path("handfirst-demo"),
    seed: options.Seed = 0,
    engine: options.Engine = "auto",
    threads: options.Threads = None,
    metadata: options.Metadata = True,
    progress: options.Progress = None,
    json: options.Json = False,
) -> None:
    """Paint the embedded pose with the embedded model."""
    output.folder_target(out)

    told = pipeline.system_of(None)
    request = told.example(seed=seed)
    with Bars(options.show_progress(progress, json)) as bars:
        system = pipeline.open_pipeline(None, engine, threads)
        (result,), parts = pipeline.run(system, [request], bars)
    xmp = pipeline.told_of(system, result, metadata)
    pictures = [
        output.Picture(kind, out / f"{name}.png", image, result.seed, None if kind == "pose" else xmp)
        for kind, name, image in told.pictures(result)  # no model made the pose
    ]
    output.write_pictures(pictures, folder=out)
    pipeline.report(system, [result], parts, pictures, json)
