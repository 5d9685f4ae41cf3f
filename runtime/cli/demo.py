"""`handfirst demo`: the embedded model paints the embedded pose, and every picture on the way is kept."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from handfirst.runtime.cli import options, output, pipeline

if TYPE_CHECKING:
    from handfirst.runtime.pose.person import Pose
    from handfirst.runtime.request import Result

PROMPT = (
    "a person with short black hair and tan skin, wearing a yellow t-shirt and blue trousers, "
    "left hand open palm, right hand flat hand, plain teal background"
)


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the pictures.", metavar="FOLDER")] = Path("handfirst-demo"),
    seed: options.Seed = 0,
    engine: options.Engine = "auto",
    threads: options.Threads = None,
    progress: options.Progress = None,
    json: options.Json = False,
) -> None:
    """Paint the embedded pose with the embedded model."""
    output.folder_target(out)

    from handfirst.runtime.request import Request

    request = Request(pose=demo_pose(), prompt=PROMPT, seed=seed)
    system = pipeline.open_pipeline(None, engine, threads)
    results, parts = pipeline.run(system, [request], options.show_progress(progress, json))
    pictures = story(results[0], out)
    output.write_pictures(pictures, folder=out)
    pipeline.report(system, results, parts, pictures, json)


def demo_pose() -> Pose:
    """The pose that the package carries: half a body, both hands in sight."""
    from handfirst.runtime.pose.read import read_pose

    with as_file(files("handfirst.runtime.cli") / "demo_pose.json") as path:
        return read_pose(path)


def story(result: Result, folder: Path) -> list[output.Picture]:
    """Everything that a result holds, as pictures in `folder`."""
    from handfirst.runtime.pose.skeleton import draw_skeleton
    from handfirst.runtime.sheet import contact_sheet

    height, width = result.mask.shape
    images = {
        "result": result.image,
        "sheet": contact_sheet(result),
        "pose": draw_skeleton(result.request.pose, width, height),
        "canvas": result.canvas,
        "mask": result.mask,
    }
    pictures = [output.Picture(kind, folder / f"{kind}.png", image, result.seed) for kind, image in images.items()]
    for hand in result.hands:
        pictures.append(output.Picture("hand", folder / f"{hand.name}.png", hand.image, result.seed))
        pictures.append(output.Picture("hand-mask", folder / f"{hand.name}-mask.png", hand.mask, result.seed))
    return pictures
