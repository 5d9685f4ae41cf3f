"""`handfirst evaluate`: look at pictures with MediaPipe, then score what was found. Heavy imports wait.

Two verbs for pictures that are there, because they need two environments: MediaPipe (`eval` extra) holds NumPy below 2,
FID, KID and CLIPSIM (`metrics` extra) need torch. What one finds, the other reads from a file. `judge` is the whole
recipe for a bundle: fixed poses, painted, looked at and compared with their true renders.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from handfirst.engines.errors import UserError
from handfirst.runtime.cli import options, output

app = typer.Typer(help="Measure how good pictures are.", no_args_is_help=True)

Cases = Annotated[
    Path, typer.Argument(help="JSON lines, shards, or a folder of pictures: what is evaluated.", metavar="CASES")
]
Pictures = Annotated[
    Path | None,
    typer.Option(help="Folder of KEY.png in place of the pictures of CASES.", metavar="DIR", show_default=False),
]


@app.callback()
def _group() -> None:
    """Measure how good pictures are: first 'detect', then 'score'; or 'judge' a bundle on fixed poses."""


@app.command()
def detect(
    cases: Cases,
    out: Annotated[Path, typer.Option(help="The file of detections to write.", metavar="FILE.json")],
    pictures: Pictures = None,
    progress: options.Progress = None,
) -> None:
    """Find people, hands and faces with MediaPipe ('eval' extra, an environment of its own)."""
    output.folder_target(out.parent, make=False)
    from handfirst.runtime.cli.bars import Bars
    from handfirst.training.evaluate.cases import read_cases
    from handfirst.training.evaluate.detect import detect_all
    from handfirst.training.evaluate.detections import write_detections

    chosen = read_cases(cases, pictures)
    with Bars(progress) as bars:
        found = detect_all(chosen, lambda i, n: bars.update("detect", i, n))
    write_detections(out, found)
    people = sum(bool(picture.people) for picture in found.pictures.values())
    typer.echo(f"{len(chosen)} pictures, a person in {people}: {out}")


@app.command()
def score(
    cases: Cases,
    out: Annotated[Path, typer.Option(help="Folder for evaluate.json and the plots.", metavar="DIR")],
    detections: Annotated[
        Path | None, typer.Option(help="What 'detect' found in these pictures.", metavar="FILE.json")
    ] = None,
    ceiling: Annotated[
        Path | None, typer.Option(help="What 'detect' found in the true pictures of the same cases.", metavar="FILE")
    ] = None,
    pictures: Pictures = None,
    real: Annotated[Path | None, typer.Option(help="Real pictures for FID and KID, as CASES.", metavar="PATH")] = None,
    masks: Annotated[Path | None, typer.Option(help="Foregrounds, KEY.png, for FID fg.", metavar="DIR")] = None,
    real_masks: Annotated[Path | None, typer.Option(help="Those of the real pictures.", metavar="DIR")] = None,
    inception: Annotated[
        Path | None, typer.Option(help="Weights of the FID network: pt_inception-2015-12-05-6726825d.pth.")
    ] = None,
    clip: Annotated[Path | None, typer.Option(help="Folder of a CLIP checkpoint, ViT-B/16 as a rule.")] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(help="Attribute to make subsets by; again for more.", show_default="gesture, view"),
    ] = None,
    resamples: Annotated[int, typer.Option(min=0, max=100_000, help="Of the bootstrap; 0: no intervals.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    progress: options.Progress = None,
    json: options.Json = False,
) -> None:
    """Compute all that the given files allow, and say what they do not."""
    output.folder_target(out)
    from handfirst.runtime.cli.bars import Bars
    from handfirst.training.evaluate.run import Inputs, run
    from handfirst.training.evaluate.score import Sampling

    inputs = Inputs(cases, detections, ceiling, pictures, real, masks, real_masks, inception, clip)
    with Bars(options.show_progress(progress, json)) as bars:
        report, files = run(inputs, out, tuple(by) if by else None, Sampling(resamples, seed), bars.update)
    if json:
        output.print_json(report.to_json() | {"files": [str(file) for file in files]})
        return
    report.print()
    for file in files:
        print(file)


@app.command()
def judge(
    out: Annotated[Path, typer.Option(help="Folder for pictures, looks and table.json; goes on there.", metavar="DIR")],
    bundle: Annotated[Path | None, typer.Option(help="What is judged.", metavar="DIR", show_default="embedded")] = None,
    pictures: Annotated[
        Path | None, typer.Option(help="Pictures of another program, person-000.png ..., in place of a bundle.")
    ] = None,
    system: Annotated[str | None, typer.Option(help="Name of that program in the table.")] = None,
    people: Annotated[int | None, typer.Option(min=0, help="The first of 384.", show_default="all")] = None,
    hands: Annotated[int | None, typer.Option(min=0, help="The first of 256.", show_default="all")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Of either stage.", show_default="the model's")] = None,
    engine: options.Engine = "auto",
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="A variant: a request's field, or settings.* of the model; repeatable."
        ),
    ] = None,
    rtmlib: Annotated[
        Path | None, typer.Option(help="Folder of hand_detector.onnx, hand.onnx, whole_body.onnx.", metavar="DIR")
    ] = None,
    inception: Annotated[
        Path | None, typer.Option(help="Weights of the FID network, for KID of hand crops.", metavar="FILE")
    ] = None,
    into: Annotated[Path | None, typer.Option(help="A table of several bundles to join.", metavar="FILE.json")] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(help="The first pictures and their true renders, as one (.png, .jpg).", metavar="FILE"),
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print one table, for a README.")] = False,
    resamples: Annotated[int, typer.Option(min=0, max=100_000, help="Of the bootstrap; 0: no intervals.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
    progress: options.Progress = None,
    json: options.Json = False,
) -> None:
    """Judge a bundle on held-out poses, beside their true renders; run again to go on or to add a judge."""
    output.folder_target(out)
    from handfirst.runtime.cli.bars import Bars
    from handfirst.training.evaluate.judging import readme
    from handfirst.training.evaluate.judging.held_out import held_out
    from handfirst.training.evaluate.judging.painting import Changes
    from handfirst.training.evaluate.judging.run import Recipe, judge_all
    from handfirst.training.evaluate.judging.table import Table, print_rows, read_table, write_table
    from handfirst.training.evaluate.score import Sampling

    if bundle is not None and pictures is not None:
        raise UserError("give either --bundle or --pictures: one table is about one of them")
    if pictures is not None and set_:
        raise UserError("--set changes how a bundle paints: leave it out with --pictures")
    if markdown and json:
        raise UserError("give either --markdown or --json: both say what is printed")
    if sheet is not None:
        if sheet.suffix.lower() not in readme.ENCODERS:
            raise UserError(f"--sheet: expected a file name that ends in .png or .jpg, got '{sheet}'")
        output.file_target(sheet, sheet.suffix.lower())
    common = read_table(into) if into is not None and into.exists() else Table()
    recipe = Recipe(
        bundle, pictures, system, people, hands, steps, engine, Changes.read(set_ or ()), rtmlib, inception,
        Sampling(resamples, seed),
    )  # fmt: skip
    with Bars(options.show_progress(progress, json)) as bars:
        table = judge_all(recipe, out, bars.update)
    if into is not None:
        write_table(into, common.joined(table))
    if sheet is not None:
        readme.write_sheet(sheet, out, held_out(people, hands))
    if json:
        output.print_json(table.model_dump(mode="json"))
        return
    if markdown:
        print(readme.markdown(table.rows))
        return
    print_rows(table.rows)
    print(out / "table.json")
