"""`handfirst pose`: what a pose file says, as a table and as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from handfirst.runtime.cli import options, output

if TYPE_CHECKING:
    from handfirst.runtime.pose.person import Person

PARTS = {"body": "body", "feet": "feet", "face": "face", "left hand": "left_hand", "right hand": "right_hand"}


def pose(
    file: Annotated[Path, typer.Argument(help="OpenPose, A1111/ComfyUI or COCO-WholeBody JSON.", metavar="FILE")],
    out: Annotated[Path | None, typer.Option(help="Also draw it to this picture.", metavar="FILE.png")] = None,
    size: options.Size = None,
    json: options.Json = False,
) -> None:
    """Read a pose and show what was found."""
    target = None if out is None else output.png_target(out)
    canvas = options.parse_size(size)

    from handfirst.runtime.pose.read import read_pose

    read = read_pose(file, canvas)
    pictures = []
    if target is not None:
        from handfirst.runtime.pose.picture import draw_pose

        pictures.append(output.Picture("pose", target, draw_pose(read)))
        output.write_pictures(pictures)
    if json:
        output.print_json(
            {
                "files": [picture.describe() for picture in pictures],
                "width": read.width,
                "height": read.height,
                "people": [found(person) for person in read.people],
                "warnings": list(read.warnings),
            }
        )
        return
    rows = [
        (str(index), *(f"{n['found']} of {n['of']}" for n in found(person).values()))
        for index, person in enumerate(read.people)
    ]
    output.print_table(f"{file.name}: {read.width} x {read.height}", ("person", *PARTS), rows)
    if pictures:
        output.print_files(pictures)
    output.print_warnings(read.warnings)


def found(person: Person) -> dict[str, Any]:
    """How many key points of each part have coordinates."""
    import numpy as np

    parts = {name: getattr(person, attribute) for name, attribute in PARTS.items()}
    return {
        name: {"found": int(np.isfinite(points).all(axis=1).sum()), "of": len(points)} for name, points in parts.items()
    }
