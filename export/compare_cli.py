"""`handfirst compare`: a bundle's graphs on an engine against the model that they came from, operator by operator."""

from __future__ import annotations

import os
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from handfirst.export.cli import LoraStages

if TYPE_CHECKING:
    from handfirst.export.options import LoraStage

app = typer.Typer(help="Find where a bundle's graph deviates from its model.")


class Library(StrEnum):
    """What runs the graphs."""

    cpu = "cpu"
    cuda = "cuda"
    tensorrt = "tensorrt"


@app.callback(invoke_without_command=True, context_settings={"allow_interspersed_args": True})
def compare(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="What export wrote.")],
    model: Annotated[Path, typer.Argument(metavar="MODEL_FOLDER", help="What it was exported from.")],
    role: Annotated[list[str] | None, typer.Option(help="A graph; may be given again.", show_default="all")] = None,
    engine: Annotated[Library, typer.Option(help="What runs the graphs.")] = Library.cpu,
    lora: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE[:WEIGHT]", help="Those that it was exported with.", show_default="none"),
    ] = None,
    lora_stage: Annotated[LoraStages, typer.Option(help="Whose UNet they change.")] = LoraStages.body,
    timings: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="Folder of TensorRT's timings.")
    ] = None,
) -> None:
    """Run every graph with all its values as outputs and name the first operator that deviates from torch.

    Ends with 1 if one does. Weights count as the graph's precision rounds them.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from handfirst.runtime.cli.output import print_table
    from handfirst.training.libraries import quiet as quiet_libraries

    quiet_libraries()
    rows = list(_rows(bundle, model, role or [], engine.value, timings, lora or [], lora_stage.value))
    print_table(f"{bundle} on {engine.value}", ("graph", "against torch", "what deviates first"), rows)
    raise typer.Exit(any(found != "nothing" for *_, found in rows))


def _rows(
    folder: Path, model: Path, roles: list[str], engine: str, timings: Path | None, loras: list[str], stage: LoraStage
) -> Iterator[tuple[str, str, str]]:
    """Role, worst output, finding."""
    from dataclasses import replace

    from handfirst.engines.bundle import Bundle
    from handfirst.engines.errors import UserError
    from handfirst.engines.verify import psnr
    from handfirst.export.examples import example
    from handfirst.export.form import NEWEST, form_of
    from handfirst.export.layerwise import check_polygraphy, first_deviation, graph_values, torch_values
    from handfirst.export.options import ExportOptions
    from handfirst.export.systems import open_source
    from handfirst.export.weights import round_weights
    from handfirst.training.models.lora import LoraFile

    check_polygraphy()
    bundle = Bundle.open(folder)
    entries = bundle.manifest.engines
    if strange := [role for role in roles if role not in entries]:
        raise UserError(f"--role: expected one of {', '.join(entries)}; got '{strange[0]}'")
    newest = NEWEST if any(entry.opset == NEWEST for entry in entries.values()) else None
    coarser = [entry.precision for entry in entries.values() if entry.precision != "float32"]
    files = tuple(map(LoraFile.read, loras))
    options = ExportOptions(precision=coarser[0] if coarser else "float32", opset=newest, loras=files, lora_stage=stage)
    source = open_source(model, options)[1]
    held, given = (_merged(training.get("loras")) for training in (bundle.manifest.training, source.training))
    if [each[1:] for each in held] != [each[1:] for each in given]:
        said = ascii(", ".join(f"{name}:{weight}" for name, weight, _ in held) or "none")[1:-1]
        raise UserError(f"--lora: expected those that the bundle was exported with, {said[:200]}; give them in order")
    makers = source.parts()
    for role in roles or entries:
        entry, graph = entries[role], bundle.graph(role)
        part = replace(makers[role](), spec=entry.spec)
        if entry.precision == "float32" and _rounded(graph.model):
            round_weights(part.module)
        inputs = example(part, batch=1, seed=1)
        got = graph_values(graph, inputs, engine, timings)
        expected = torch_values(part, form_of(part, entry.precision, newest), inputs)
        figure = min(psnr(expected[tensor.name], got[tensor.name]) for tensor in entry.spec.outputs)
        found = first_deviation(graph, expected, got, entry.tolerance_psnr)
        yield role, f"{figure:.1f} dB", str(found or "nothing")


def _merged(told: Any) -> list[tuple[Any, Any, Any]]:
    """Name, weight and hash of the LoRA files that a manifest names."""
    files = told if isinstance(told, list) else []
    return [(each.get("file"), each.get("weight"), each.get("sha256")) for each in files if isinstance(each, dict)]


def _rounded(model: bytes) -> bool:
    """Whether a float32 graph stores weights as float16."""
    import onnx

    weights = onnx.load_from_string(model).graph.initializer
    return any(weight.data_type == onnx.TensorProto.FLOAT16 for weight in weights)
