"""From requests to results with bars, and what is said of them: shared by `demo`, `render` and `batch`.

Knows nothing about poses, and of a system only that it has steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from handfirst.runtime.cli import output
from handfirst.runtime.cli.bars import Bars

if TYPE_CHECKING:
    from handfirst.engines.bundle import Bundle
    from handfirst.engines.choice import Choice
    from handfirst.runtime.drawn import Drawn
    from handfirst.runtime.parts import Part
    from handfirst.runtime.progress import Progress
    from handfirst.runtime.request import Request, Result
    from handfirst.runtime.systems.two_stage_engines import Resident


class Pipeline(Protocol):
    """What the commands use of a system."""

    @property
    def bundle(self) -> Bundle: ...

    @property
    def engine(self) -> Choice: ...

    def steps(self, request: Request) -> Iterator[Progress]: ...

    def render_batch(self, requests: Sequence[Request]) -> list[Result]: ...

    def draw_hands(self, requests: Sequence[Request]) -> Drawn: ...

    def paint_bodies(self, drawn: Drawn) -> list[Result]: ...


def open_pipeline(bundle: Path | None, engine: str, threads: int | None, resident: Resident = "all") -> Pipeline:
    """The system of the bundle at `bundle`, or of the embedded one. Imports the engines."""
    from handfirst.runtime.systems.two_stage import TwoStage

    return TwoStage.open(bundle, engine=engine, threads=threads, resident=resident)


def run(system: Pipeline, requests: Sequence[Request], show: bool | None) -> tuple[list[Result], list[Part]]:
    """Results in the order of `requests`, painted together, and what every part of the work took."""
    from handfirst.runtime.parts import parts
    from handfirst.runtime.recorder import Recording, recording

    with Bars(show) as bars, recording(Recording()) as heard:
        if len(requests) == 1:
            results = [_follow(system.steps(requests[0]), bars)]
        else:
            bars.update("pictures", 0, None)
            results = system.render_batch(requests)
            bars.update("pictures", len(results), len(requests))
    return results, parts(heard.spans)


def _follow(story: Iterator[Progress], bars: Bars) -> Result:
    """The result that the last step of `story` holds."""
    for progress in story:
        bars.update(progress.stage, progress.step, progress.total)
        if progress.result is not None:
            return progress.result
    raise ValueError("the system's steps ended without a result")


def report(
    system: Pipeline,
    results: Sequence[Result],
    parts: Sequence[Part],
    pictures: Sequence[output.Picture],
    json: bool,
) -> None:
    """Says what was made: one JSON object, or a line per file and one for the time; warnings are never lost."""
    alone = len(results) == 1
    warnings = [line if alone else f"seed {made.seed}: {line}" for made in results for line in made.warnings]
    seconds = results[0].seconds
    if json:
        output.print_json(
            {
                "bundle": {"name": system.bundle.manifest.name, "id": short_id(system.bundle)},
                "engine": {"name": system.engine.engine, "reason": system.engine.reason},
                "seed": results[0].seed,
                "files": [picture.describe() for picture in pictures],
                "seconds": {stage: round(duration, 4) for stage, duration in seconds.items()},
                "parts": [part.describe() for part in parts],
                "warnings": warnings,
            }
        )
        return
    output.print_files(pictures)
    model = f"{system.bundle.manifest.name} {short_id(system.bundle)}"
    print(f"{seconds['total']:.1f} s with {model} on {system.engine.engine}")
    output.print_warnings(warnings)


def short_id(bundle: Bundle) -> str:
    """Enough of a bundle's digest to tell it from any other."""
    return bundle.digest[:12]
