"""`handfirst profile`: where the time of a picture goes on this machine, part by part."""

from __future__ import annotations

import json as json_module
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from handfirst.runtime.cli import options, output, pipeline
from handfirst.runtime.cli.bars import Bars

if TYPE_CHECKING:
    from handfirst.runtime.profile.profile import Profile


def profile(
    bundle: Annotated[
        Path | None, typer.Argument(help="Folder of the bundle.", show_default="the embedded one")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, max=10_000, help="Measured jobs of one picture.", metavar="N")] = 10,
    warmup: Annotated[
        int, typer.Option(min=1, max=1000, help="Jobs before them; the first is shown.", metavar="N")
    ] = 2,
    batch_limit: Annotated[
        int, typer.Option(min=0, max=256, help="Most pictures at once; 0 leaves batches out.", metavar="N")
    ] = 64,
    steps: Annotated[int | None, typer.Option(help="Steps of either stage.", show_default="the model's")] = None,
    pose: Annotated[
        Path | None, typer.Option(help="The pose to paint.", show_default="the embedded one", metavar="FILE")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="A report with charts.", metavar="FILE.html")] = None,
    trace: Annotated[
        Path | None, typer.Option(help="A trace for Perfetto or chrome://tracing.", metavar="FILE.json")
    ] = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Meanwhile serve /metrics for Prometheus on 127.0.0.1.", metavar="PORT"),
    ] = None,
    engine: options.Engine = "auto",
    threads: options.Threads = None,
    low_memory: options.LowMemory = False,
    progress: options.Progress = None,
    json: options.Json = False,
) -> None:
    """Measure every part of a bundle on this machine."""
    for target, suffix in ((out, ".html"), (trace, ".json")):
        if target is not None:
            output.file_target(target, suffix)

    from handfirst.runtime.profile.profile import Plan, measure
    from handfirst.runtime.timing.spans import recording

    resident = options.resident(low_memory)
    request = pipeline.system_of(bundle).example(pose=pose, steps=steps)
    with ExitStack() as stack:
        if metrics_port is not None:
            from handfirst.runtime.timing.prometheus import Metrics

            metrics = Metrics()
            port = stack.enter_context(metrics.served(metrics_port))
            print(f"metrics on http://127.0.0.1:{port}/metrics", file=sys.stderr)
            stack.enter_context(recording(metrics))
        bars = stack.enter_context(Bars(options.show_progress(progress, json)))
        system = pipeline.open_pipeline(bundle, engine, threads, resident)
        found = measure(system, request, Plan(warmup, jobs, batch_limit, threads, resident), bars.update)
    _write(found, out, trace)
    if json:
        output.print_json(found.describe())
    else:
        _print(found, out, trace)


def _write(found: Profile, out: Path | None, trace: Path | None) -> None:
    from handfirst.engines.files import atomic_write_bytes
    from handfirst.runtime.profile.report import html_report
    from handfirst.runtime.profile.trace import chrome_trace

    if out is not None:
        atomic_write_bytes(out, html_report(found).encode())
    if trace is not None:
        events = chrome_trace((*found.cold, *found.steady), found.about())
        atomic_write_bytes(trace, (json_module.dumps(events) + "\n").encode())


def _print(found: Profile, out: Path | None, trace: Path | None) -> None:
    from handfirst.runtime.profile.table import LEFT, NARROW, WIDTH, remarks, table

    name, digest = found.bundle
    title = f"{name} {digest[:12]} on {found.engine.engine}: {len(found.steady)} jobs"
    if "steps" in found.asked:
        title += f", {found.asked['steps']} steps"
    room = output.columns() or WIDTH
    heads, *lines = table(found.parts) if room >= WIDTH else table(found.parts, NARROW)
    output.print_table(title, heads, lines, words=LEFT, width=room)
    for line in remarks(found):
        print(line)
    for kind, path in (("report", out), ("trace", trace)):
        if path is not None:
            print(f"{kind}  {path}")
