"""`handfirst show`: what a picture's file says of how it was made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from handfirst.runtime.cli import options, output


def show(
    picture: Annotated[Path, typer.Argument(help="A picture that was made here, PNG or WebP.", metavar="PICTURE")],
    json: options.Json = False,
) -> None:
    """Show model, request and seed of a picture, as its file tells them."""
    from handfirst.runtime.metadata import read

    told = read(picture)
    if json:
        output.print_json(told)
        return
    model = " ".join(str(told["bundle"].get(name, "?")) for name in ("name", "digest"))
    said = {"model": model, "software": told.get("software"), **told["request"]}
    width = max(map(len, said))
    for name, value in said.items():
        if value not in (None, ""):
            print(f"{output.one_line(name):<{width}}  {output.one_line(str(value))}")
