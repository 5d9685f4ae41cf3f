"""`handfirst batch`: many pictures from a list of jobs, on this machine or on a Ray cluster, resumed after any end.

Exit codes: 0 all jobs are done, 3 some have failed (the others are done), 2 the batch could not be run or go on.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from handfirst.engines.errors import UserError
from handfirst.runtime.cli import options, output, pipeline
from handfirst.runtime.cli.bars import Throughput

if TYPE_CHECKING:
    from handfirst.engines.bundle import Bundle
    from handfirst.runtime.batch.job import BadJob, Job
    from handfirst.runtime.batch.ledger import Ledger
    from handfirst.runtime.batch.run import Renderer
    from handfirst.runtime.system import Resident

EXIT_SOME_FAILED = 3
MOST_NAMED = 10
"""Failures that are named on stderr; all of them are in results.jsonl."""


class ImageFormat(StrEnum):
    """Of the pictures' files."""

    png = "png"
    webp = "webp"


@dataclass(frozen=True)
class _How:
    """Where and how to render."""

    bundle: Path | None
    engine: str
    threads: int | None
    resident: Resident
    overlap: bool | None
    ray: str | None
    workers: int | None
    batch_size: int
    image_format: ImageFormat
    metadata: bool


def batch(
    jobs: Annotated[
        Path, typer.Argument(help="JSON, CSV or Parquet; or a folder of poses, with --prompts.", metavar="JOBS")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for pictures and results.jsonl.", metavar="FOLDER")],
    prompts: Annotated[
        Path | None, typer.Option(help="A prompt on every line, each for all poses of a folder.", metavar="FILE")
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option(help="Folder of the model.", show_default="the embedded one", metavar="PATH")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of jobs that name none.", metavar="N")] = 0,
    steps: Annotated[
        int | None,
        typer.Option(min=1, max=1000, help="Of jobs that name none.", show_default="the model's", metavar="N"),
    ] = None,
    solver: options.Solver = None,
    speed: options.Speed = None,
    size: options.Size = None,
    canvas: options.Canvas = None,
    batch_size: Annotated[int, typer.Option(min=1, max=256, help="Pictures at once.", metavar="N")] = 4,
    image_format: Annotated[ImageFormat, typer.Option("--format", help="Of the pictures; neither loses anything.")] = (
        ImageFormat.png
    ),
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try failed jobs again.")] = False,
    engine: options.Engine = "auto",
    threads: options.Threads = None,
    low_memory: options.LowMemory = False,
    overlap: Annotated[
        bool | None,
        typer.Option("--overlap/--no-overlap", help="Begin the next pictures beside these.", show_default="if it pays"),
    ] = None,
    ray: Annotated[
        str | None, typer.Option(help='A Ray cluster: "auto", HOST:PORT, or "local".', metavar="ADDRESS")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="On Ray.", show_default="one per GPU or node", metavar="N")
    ] = None,
    metadata: options.Metadata = True,
    progress: options.Progress = None,
    json: options.Json = False,
) -> None:
    """Paint a list of jobs; run it again after any end, and it goes on."""
    output.folder_target(out)
    options.parse_size(size)
    options.parse_size(canvas, "--canvas")
    if low_memory and overlap:
        raise UserError("--overlap needs the networks of all stages at once; leave out --overlap or --low-memory")
    if overlap and ray is not None:
        raise UserError("--overlap is about this process; leave it out with --ray, where workers paint side by side")
    if workers is not None and ray is None:
        raise UserError("--workers are those of a Ray cluster; add --ray local, or leave it out")

    from handfirst.engines.bundle import Bundle, demo_bundle_path
    from handfirst.runtime.batch.read_jobs import read_jobs
    from handfirst.runtime.batch.results import open_results
    from handfirst.runtime.batch.run import pending
    from handfirst.runtime.systems import module_of

    model = Bundle.open(bundle or demo_bundle_path())
    kind = module_of(model.manifest).JOBS
    usual_size = "default_size" if "default_size" in kind.names else "size"
    defaults = {
        "seed": seed, "steps": steps, "solver": solver, "speed": speed, usual_size: size, "canvas": canvas,
    }  # fmt: skip
    said = {name: value for name, value in defaults.items() if value is not None}
    pipeline.check_known(kind, said, defaults)
    wanted = read_jobs(kind, jobs, prompts, said)
    if jobs.is_dir():
        output.print_warnings(_skipped(jobs, prompts))
    how = _How(
        bundle, engine, threads, options.resident(low_memory), overlap, ray, workers, batch_size, image_format, metadata
    )
    shared = {"model": f"{model.manifest.name} {model.digest}", "format": image_format.value}
    with open_results(out, shared) as ledger:
        todo = pending(wanted, ledger, retry_failed)
        spoilt = list(ledger.spoilt)
        start = time.perf_counter()
        with Throughput("jobs", len(wanted), len(wanted) - len(todo), options.show_progress(progress, json)) as bar:
            failures = _render(todo, ledger, model, how, bar)
        seconds = time.perf_counter() - start
        failed = sum(ledger.status(job) != "done" for job in wanted)
    counts = {
        "jobs": len(wanted),
        "done": len(wanted) - failed,
        "failed": failed,
        "painted": len(todo) - len(failures),
    }
    _report(out, model, counts, failures, spoilt, seconds, json)
    if failed:
        raise typer.Exit(EXIT_SOME_FAILED)


def _skipped(folder: Path, prompts: Path | None) -> list[str]:
    """What lies in a folder of poses and is none, nor the prompts."""
    from handfirst.runtime.pose.formats import pose_files

    skipped = pose_files(folder)[1]
    names = [path.name for path in skipped if prompts is None or path.absolute() != prompts.absolute()]
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return [f"skipped, as no pose: {', '.join(names[:MOST_NAMED])}{more}"] if names else []


def _render(
    todo: Sequence[Job | BadJob], ledger: Ledger, model: Bundle, how: _How, bar: Throughput
) -> list[tuple[Job | BadJob, str]]:
    """Renders what is to do; the jobs that failed, and why. Without jobs to paint nothing is opened."""
    from handfirst.runtime.batch.groups import group_jobs
    from handfirst.runtime.batch.job import Failed
    from handfirst.runtime.batch.run import run
    from handfirst.runtime.systems import module_of

    failures = []
    told = module_of(model.manifest)
    together = partial(told.together, settings=told.read_settings(model.manifest))
    planned = group_jobs(todo, together, how.batch_size)
    with ExitStack() as stack:
        opener = partial(_renderer, how, model, stack)
        for outcomes in run(todo, planned, ledger, opener, how.image_format.value):
            bar.advance(len(outcomes))
            failures += [(over.job, over.reason) for over in outcomes if isinstance(over, Failed)]
    return failures


def _renderer(how: _How, model: Bundle, stack: ExitStack) -> Renderer:
    """Opens the model, here or on the cluster; `stack` closes it."""
    if how.ray is not None:
        from handfirst.runtime.batch.on_ray import OnRay, Opening

        opening = Opening(how.bundle and how.bundle.absolute(), model.digest, how.engine, how.threads, how.resident)
        return stack.enter_context(OnRay(how.ray, opening, how.image_format.value, how.workers, how.metadata))

    from handfirst.runtime.batch.run import Here, spare_memory
    from handfirst.runtime.system import TwoHalves

    spare_memory()
    system = pipeline.open_pipeline(how.bundle, how.engine, how.threads, how.resident)
    if how.overlap and not isinstance(system, TwoHalves):
        raise UserError("--overlap needs a model whose work comes in two halves; leave it out with this one")
    overlap = _overlaps(how, system.engine.engine, model) if how.overlap is None else how.overlap
    return Here(system, how.image_format.value, overlap, model if how.metadata else None)


def _overlaps(how: _How, engine: str, model: Bundle) -> bool:
    """Where it was measured to pay, or to be expected: small models in onnxruntime, and GPUs. Networks that fill all
    cores and much memory by themselves gain nothing from each other's company."""
    from handfirst.engines.choice import ON_CPU
    from handfirst.engines.opening import TOGETHER

    if how.resident == "stage":
        return False
    small = sum(model.size(role) for role in model.manifest.engines) <= TOGETHER
    return engine not in ON_CPU or (engine == "cpu" and small)


def _report(
    out: Path,
    model: Bundle,
    counts: dict[str, int],
    failures: Sequence[tuple[Job | BadJob, str]],
    spoilt: Sequence[str],
    seconds: float,
    json: bool,
) -> None:
    """One JSON object, or a line for people; failures on stderr."""
    if json:
        output.print_json(
            {
                "bundle": {"name": model.manifest.name, "id": pipeline.short_id(model)},
                "out": str(out),
                **counts,
                "seconds": round(seconds, 3),
                "spoilt": list(spoilt),
                "failures": [{"id": job.id, "line": job.line, "reason": reason} for job, reason in failures],
            }
        )
        return
    if spoilt:
        named = ", ".join(spoilt[:MOST_NAMED]) + (", ..." if len(spoilt) > MOST_NAMED else "")
        output.print_warnings([f"not what was painted, and so painted again: {named}"])
    for job, reason in failures[:MOST_NAMED]:
        print("failed:", output.one_line(f"line {job.line}: {reason}"), file=sys.stderr)
    if counts["failed"] > len(failures[:MOST_NAMED]):
        print(f"all {counts['failed']} failures are in {out / 'results.jsonl'}", file=sys.stderr)
    pace = f", {60 * counts['painted'] / seconds:.1f} a minute" if counts["painted"] else ""
    print(f"{counts['done']} of {counts['jobs']} jobs done, {counts['failed']} failed, in {out}")
    print(f"{counts['painted']} painted now in {seconds:.1f} s{pace}")
