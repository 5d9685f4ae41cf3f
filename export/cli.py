"""`handfirst export`: a trained model folder becomes a bundle that the runtime opens without torch."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Turn a trained model into a bundle.")


class Storage(StrEnum):
    """How large weights are stored."""

    float16 = "float16"
    float32 = "float32"


class Arithmetic(StrEnum):
    """What the graphs compute in."""

    float32 = "float32"
    float16 = "float16"
    bfloat16 = "bfloat16"


class LoraStages(StrEnum):
    """Whose UNet LoRA files change."""

    body = "body"
    both = "both"


@app.callback(invoke_without_command=True, context_settings={"allow_interspersed_args": True})
def export(
    model: Annotated[Path, typer.Argument(metavar="MODEL_FOLDER", help="What training wrote.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the bundle; must not exist.")],
    name: Annotated[str, typer.Option(help="Name in the manifest.")] = "demo",
    weights: Annotated[Storage, typer.Option(help="How large weights are stored.")] = Storage.float16,
    precision: Annotated[Arithmetic, typer.Option(help="What the graphs compute in.")] = Arithmetic.float32,
    size: Annotated[
        str | None, typer.Option(metavar="WxH", help="Canvas in pixels.", show_default="what it was trained for")
    ] = None,
    sizes: Annotated[
        str | None,
        typer.Option(
            metavar="WxH:WxH",
            help="Smallest and largest canvas for requests to choose.",
            show_default="what it was trained for",
        ),
    ] = None,
    batch: Annotated[
        int, typer.Option(metavar="N", help="Rows that a graph takes at once; 1 fixes the batch axis.")
    ] = 16,
    opset: Annotated[
        int | None,
        typer.Option(metavar="23", help="Half precision in operators that GPUs run fast.", show_default="21, 22"),
    ] = None,
    lora: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE[:WEIGHT]", help="A LoRA to merge; may be given again.", show_default="none"),
    ] = None,
    lora_stage: Annotated[LoraStages, typer.Option(help="Whose UNet it changes.")] = LoraStages.body,
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[:STEPS]", help="Few-step weights: lcm or hyper-sd, 8 steps.", show_default="the model's own"
        ),
    ] = None,
    preview: Annotated[
        Path | None,
        typer.Option(metavar="TAESD", help="A small decoder for previews, folder or file.", show_default="none"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a bundle that is already there.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bars.")] = False,
) -> None:
    """Export every network to ONNX, compare each graph with torch, write the bundle."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from handfirst.engines.bundle import Bundle
    from handfirst.export.bundle_writer import export_bundle
    from handfirst.export.options import ExportOptions, Preset
    from handfirst.runtime.cli.bars import Bars
    from handfirst.runtime.cli.options import parse_size
    from handfirst.runtime.cli.output import print_table, print_warnings
    from handfirst.training.libraries import quiet as quiet_libraries
    from handfirst.training.models.lora import LoraFile

    options = ExportOptions(
        name, weights.value, precision.value, parse_size(size), batch, _range(sizes), opset,
        tuple(map(LoraFile.read, lora or ())), lora_stage.value, None if preset is None else Preset.read(preset),
        preview,
    )  # fmt: skip
    quiet_libraries()
    with Bars(False if quiet else None) as bars:
        export_bundle(model, out, options, force, bars.update, lambda line: print_warnings([line]))
    bundle = Bundle.open(out)
    manifest = bundle.manifest
    rows = [
        (role, e.precision, str(e.opset), f"{bundle.size(role) / 1e6:.2f} MB", f"{e.measured_psnr:.1f} dB")
        for role, e in manifest.engines.items()
    ]
    total = sum(file.size for file in manifest.files.values())
    print_table(f"{manifest.name}: {out}", ("graph", "precision", "opset", "size", "against torch"), rows)
    others = len(manifest.files) - sum(1 + len(entry.data) for entry in manifest.engines.values())
    typer.echo(f"{len(rows)} graphs, {total / 1e6:.2f} MB with golden tensors and {others - 1} other files")


def _range(text: str | None) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """ "256x256:1024x768" -> ((256, 256), (1024, 768))."""
    from handfirst.engines.errors import UserError
    from handfirst.runtime.cli.options import parse_size

    if text is None:
        return None
    least, _, most = text.partition(":")
    try:
        smallest, largest = parse_size(least), parse_size(most)
    except UserError:
        smallest = largest = None
    if smallest is None or largest is None:
        raise UserError(f"--sizes: expected WIDTHxHEIGHT:WIDTHxHEIGHT, such as 256x256:1024x768; got '{text}'")
    return smallest, largest
