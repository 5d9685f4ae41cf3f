"""`handfirst repair`: a photo, and a bundle that repairs photos, to the photo with its hands drawn anew."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from handfirst.engines.errors import UserError
from handfirst.runtime.cli import options, output, pipeline
from handfirst.runtime.cli.bars import Bars


class DetectorName(StrEnum):
    """What looks for hands."""

    auto = "auto"
    mediapipe = "mediapipe"
    rtmlib = "rtmlib"


def repair(
    photo: Annotated[Path, typer.Argument(help="The photo: JPEG, PNG or WebP.", metavar="PHOTO")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The picture to write.", metavar="FILE.png")],
    bundle: Annotated[
        Path | None,
        typer.Option(help="Folder of a model that repairs photos.", show_default="the embedded one", metavar="PATH"),
    ] = None,
    pose: Annotated[
        Path | None,
        typer.Option(help="Key points, in any of the formats.", show_default="a detector's", metavar="FILE"),
    ] = None,
    pose_picture: Annotated[
        Path | None,
        typer.Option(
            help="How the hands shall be: a render or depth on black, of the photo's size.",
            show_default="drawn from the key points",
            metavar="FILE",
        ),
    ] = None,
    hand: Annotated[
        str | None,
        typer.Option(help="left, right, or the number of a hand.", show_default="all", metavar="left|right|N"),
    ] = None,
    strength: Annotated[
        float | None, typer.Option(help="How much of the old hand goes, to 1.", show_default="the model's")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of either stage.", show_default="the model's")] = None,
    seed: options.Seed = 0,
    detector: Annotated[DetectorName, typer.Option(help="What finds the hands.")] = DetectorName.auto,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Keep a hand in which MediaPipe sees the wanted pose less well once it is repaired."
        ),
    ] = False,
    more: options.More = None,
    sheet: Annotated[bool, typer.Option("--sheet", help="Also NAME-sheet.png: before, between, after.")] = False,
    engine: options.Engine = "auto",
    threads: options.Threads = None,
    low_memory: options.LowMemory = False,
    metadata: options.Metadata = True,
    progress: options.Progress = None,
    json: options.Json = False,
) -> None:
    """Draw the hands of a photo anew; every other pixel stays as it is."""
    target = output.png_target(out)
    sheet_target = output.png_target(out.with_name(f"{out.stem}-sheet.png")) if sheet else None
    if out.exists() and photo.exists() and out.samefile(photo):
        raise UserError(f"'{out}' is the photo itself; choose another name, so that nothing is lost")
    bundle = bundle or Path("repair")
    told = pipeline.system_of(bundle)
    if "photo" not in told.JOBS.files:
        raise UserError(f"--bundle: expected a model that repairs photos, and '{bundle}' is none")
    said = {
        "photo": photo,
        "pose": pose,
        "pose_picture": pose_picture,
        "hand": hand,
        "strength": strength,
        "steps": steps,
        "seed": seed,
        "detector": None if detector is DetectorName.auto else detector.value,
        "check": check or None,
    }
    request = pipeline.asked(told.JOBS, said, more or ())
    with Bars(options.show_progress(progress, json)) as bars:
        system = pipeline.open_pipeline(bundle, engine, threads, options.resident(low_memory))
        (result,), parts = pipeline.run(system, [request], bars)
    touched = bool(result.asked.get("parts"))
    xmp = pipeline.told_of(system, result, metadata and touched)  # a photo that stays as it was was made by nobody
    pictures = [output.Picture("result", target, result.image, result.seed, xmp, result)]
    if sheet_target is not None:
        pictures.append(output.Picture("sheet", sheet_target, told.sheet(result), result.seed, xmp))
    output.write_pictures(pictures)
    pipeline.report(system, [result], parts, pictures, json)
