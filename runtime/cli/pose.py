"""`handfirst pose`: what a pose file or a photo says, as a table and as a picture; the same pose in another format."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from handfirst.engines.errors import UserError
from handfirst.runtime.cli import options, output
from handfirst.runtime.pose.formats import ARRAYS, PoseFormat, WritableFormat

if TYPE_CHECKING:
    from handfirst.runtime.pose.person import Person, Pose

PARTS = {"body": "body", "feet": "feet", "face": "face", "left hand": "left_hand", "right hand": "right_hand"}


def pose(
    file: Annotated[
        Path, typer.Argument(help="A pose in any of the formats, or a photo (eval extra).", metavar="FILE")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Also draw it to this picture; with --to, write it there.", metavar="FILE")
    ] = None,
    to: Annotated[WritableFormat | None, typer.Option(help="Convert it to this format.")] = None,
    format: Annotated[PoseFormat | None, typer.Option(help="For files that do not say what they are.")] = None,
    mirrored: Annotated[
        bool, typer.Option("--mirrored", help="MediaPipe Hands saw the picture flipped; flip the pose back.")
    ] = False,
    size: options.Size = None,
    frame: options.Frame = None,
    image: options.Image = None,
    json: options.Json = False,
) -> None:
    """Read a pose, show what was found, draw or convert it."""
    target = _target(out, to)
    canvas = options.parse_size(size)

    from handfirst.runtime.pose.read import read_pose

    read = read_pose(file, canvas, format, mirrored, frame, image)
    files = _write(read, target, to)
    if json:
        output.print_json(
            {
                "files": files,
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
    for entry in files:
        print(f"{entry['kind']}  {entry['path']}  ({entry['width']} x {entry['height']})")
    output.print_warnings(read.warnings)


def _target(out: Path | None, to: WritableFormat | None) -> Path | None:
    """Where the picture, or the pose in its new format, goes.

    Raises:
        UserError: it cannot be written there, or its name does not fit the format.
    """
    if to is None:
        if out is not None and out.suffix.lower() in (".json", ".npz"):
            raise UserError(f"a pose in '{out}' needs its format: add --to NAME; a picture's name ends in .png")
        return None if out is None else output.png_target(out)
    if out is None:
        raise UserError(f"--to {to}: where to? add --out FILE")
    ending = ".npz" if to in ARRAYS else ".json"
    if out.suffix.lower() != ending:
        raise UserError(f"--to {to}: expected a file name that ends in {ending}, got '{out}'")
    if out.is_dir():
        raise UserError(f"expected a file to write, but '{out}' is a folder; add a file name to it")
    output.folder_target(out.parent, make=False)
    return out


def _write(read: Pose, target: Path | None, to: WritableFormat | None) -> list[dict[str, Any]]:
    """Draws it, or converts it; the entries of the JSON object."""
    if target is None:
        return []
    if to is None:
        from handfirst.runtime.pose.picture import draw_pose

        picture = output.Picture("pose", target, draw_pose(read))
        output.write_pictures([picture])
        return [picture.describe()]
    from handfirst.runtime.pose.write import write_pose

    write_pose(read, target, to)
    return [{"path": str(target), "kind": to, "seed": None, "width": read.width, "height": read.height}]


def found(person: Person) -> dict[str, Any]:
    """How many key points of each part have coordinates."""
    import numpy as np

    parts = {name: getattr(person, attribute) for name, attribute in PARTS.items()}
    return {
        name: {"found": int(np.isfinite(points).all(axis=1).sum()), "of": len(points)} for name, points in parts.items()
    }
