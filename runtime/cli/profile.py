"""`handfirst profile`: where the time of a picture goes on this machine, part by part; and what became of it since."""

from __future__ import annotations

import json as json_module
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from handfirst.engines.errors import UserError
from handfirst.runtime.cli import options, output, pipeline
from handfirst.runtime.cli.bars import Bars

if TYPE_CHECKING:
    from handfirst.runtime.profile.compare import Change, Comparison
    from handfirst.runtime.profile.profile import Profile


def profile(
    context: typer.Context,
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
    solver: options.Solver = None,
    speed: options.Speed = None,
    pose: Annotated[
        Path | None, typer.Option(help="The pose to paint.", show_default="the model's example", metavar="FILE")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="A report with bars.", metavar="FILE.html")] = None,
    trace: Annotated[
        Path | None, typer.Option(help="A trace for Perfetto or chrome://tracing.", metavar="FILE.json")
    ] = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Meanwhile serve /metrics for Prometheus on 127.0.0.1.", metavar="PORT"),
    ] = None,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            help="Two outputs of --json: what got slower or faster. Measures nothing.", metavar="A.json B.json"
        ),
    ] = None,
    engine: options.Engine = "auto",
    threads: options.Threads = None,
    low_memory: options.LowMemory = False,
    progress: options.Progress = None,
    json: options.Json = False,
) -> None:
    """Measure every part of a bundle on this machine, or compare two measurements."""
    if compare is not None:
        _compare(context, *compare, json)
        return
    for target, suffix in ((out, ".html"), (trace, ".json")):
        if target is not None:
            output.file_target(target, suffix)

    from handfirst.runtime.profile.profile import Plan, measure
    from handfirst.runtime.timing.spans import recording

    resident = options.resident(low_memory)
    told = pipeline.system_of(bundle)
    asked = {"pose": pose, "steps": steps, "solver": solver, "speed": speed}
    said = {name: value for name, value in asked.items() if value is not None}
    pipeline.check_known(told.JOBS, said, said)
    request = told.example(**said)
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
    from handfirst.runtime.profile.profile import chrome_trace
    from handfirst.runtime.profile.report import html_report

    if out is not None:
        atomic_write_bytes(out, html_report(found).encode())
    if trace is not None:
        events = chrome_trace((*found.cold, *found.steady), found.about())
        atomic_write_bytes(trace, (json_module.dumps(events) + "\n").encode())


def _print(found: Profile, out: Path | None, trace: Path | None) -> None:
    from handfirst.runtime.profile.table import LEFT, NARROW, remarks, table

    name, digest = found.bundle
    title = f"{name} {digest[:12]} on {found.engine.engine}: {len(found.steady)} jobs"
    if "steps" in found.asked:
        title += f", {found.asked['steps']} steps"
    whole, room = table(found.parts), output.columns()
    _print_table(title, whole if room is None or _width(whole) <= room else table(found.parts, NARROW), LEFT)
    for line in remarks(found):
        print(line)
    for kind, path in (("report", out), ("trace", trace)):
        if path is not None:
            print(f"{kind}  {path}")


def _print_table(title: str, lines: Sequence[Sequence[str]], words: int) -> None:
    """Heads first; as wide as the terminal, or as it needs to be where there is none."""
    width = output.columns() or max(_width(lines), len(title))
    output.print_table(title, lines[0], lines[1:], words=words, width=width)


def _width(lines: Sequence[Sequence[str]]) -> int:
    """Characters to a line of the table: its cells, a space on either side of each, and one between them."""
    return sum(max(map(len, column)) + 3 for column in zip(*lines, strict=True)) + 1


def _compare(context: typer.Context, a: Path, b: Path, json: bool) -> None:
    from handfirst.runtime.profile.compare import compare, read_profile

    given = [
        name for name in context.params if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"
    ]
    if useless := [name for name in given if name not in ("compare", "json")]:
        raise UserError(f"--compare measures nothing, leave out: {', '.join(useless).replace('_', '-')}")
    found = compare(read_profile(a), read_profile(b))
    if json:
        output.print_json({"a": str(a), "b": str(b), **found.describe()})
    else:
        _print_comparison(found, a, b)


def _print_comparison(found: Comparison, a: Path, b: Path) -> None:
    from handfirst.runtime.profile.table import number

    def figures(each: Change) -> tuple[str, ...]:
        times = ("" if ms is None else number(ms) for ms in (each.a_ms, each.b_ms))
        return (*times, number(each.lost_ms), "" if each.ratio is None else f"{each.ratio:.3f}")

    heads = ("A ms / job", "B ms / job", "lost ms", "B / A")
    print(output.one_line(f"A  {a}"), output.one_line(f"B  {b}"), sep="\n")
    for line in found.obstacles:
        print(f"not comparable: {output.one_line(line)}")
    for line in found.changed:
        print(f"changed: {output.one_line(line)}")
    stages = [(each.stage or each.label, *figures(each)) for each in (*found.stages, found.whole)]
    _print_table("by stage", [("stage", *heads), *stages], 1)
    _print_table("by part", [("stage", "part", *heads), *((p.stage, p.label, *figures(p)) for p in found.parts)], 2)
    spread = " and ".join(f"{100 * (each - 1):.1f} %" for each in found.spread)
    print(f"the jobs of A and B lie {spread} from p50 to p95: less than that may be chance")
