"""From requests to results with bars, and what is said of them: shared by `demo`, `render` and `batch`.

Knows of a system what its module tells, and that it has steps.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from handfirst.engines.errors import UserError
from handfirst.runtime.cli import output
from handfirst.runtime.cli.bars import Bars

if TYPE_CHECKING:
    from handfirst.engines.bundle import Bundle
    from handfirst.runtime.system import Content, JobKind, Progress, Request, Resident, Result, System, SystemModule
    from handfirst.runtime.timing.totals import Part


def open_pipeline(bundle: Path | None, engine: str, threads: int | None, resident: Resident = "all") -> System:
    """The system of the bundle at `bundle`, or of the embedded one. Imports the engines."""
    from handfirst.runtime import systems

    opened: System = systems.open(bundle, engine, threads, resident)
    return opened


def system_of(bundle: Path | None) -> SystemModule:
    """What the system of a bundle, or of the embedded one, tells before it is opened."""
    from handfirst.engines.bundle import Bundle, demo_bundle_path
    from handfirst.runtime.systems import module_of

    return module_of(Bundle.open(bundle or demo_bundle_path()).manifest)


def asked(kind: JobKind, options: Mapping[str, object], more: Sequence[str] = ()) -> Request:
    """The request that the options of a verb come to.

    Args:
        kind: what the model can be asked.
        options: the verb's own, by the names of fields and files; those that are None were not given.
        more: NAME=VALUE for fields and files that have no option of their own.

    Raises:
        UserError: something that this model does not know, or nothing where it needs something; a value out of range.
    """
    from handfirst.runtime.batch.job import job_fields

    said = {name: value for name, value in options.items() if value is not None}
    for name, value in map(_one_more, more):
        if name in options or name in said:
            raise UserError(f"--set {name}: expected it once, as {_option(name, options)}")
        said[name] = value
    check_known(kind, said, options)
    if missing := [name for name in kind.required if name not in said]:
        raise UserError(f"expected {' and '.join(_option(name, options) for name in missing)}; this model needs it")
    files: dict[str, Content] = {name: Path(str(said.pop(name))) for name in kind.every_file if name in said}
    return kind.request(job_fields(kind, said), files)


def check_known(kind: JobKind, said: Collection[str], options: Collection[str]) -> None:
    """Raises a UserError where a model that takes such requests knows nothing of what is said."""
    names = [name for name in kind.names if name != "id"]
    if unknown := [name for name in said if name not in names]:
        raise UserError(f"{_option(unknown[0], options)}: this model knows no {unknown[0]}; it has {', '.join(names)}")


def _one_more(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise UserError(f"--set: expected NAME=VALUE, got {text[:60]!a}")
    return name.strip(), value


def _option(name: str, options: Collection[str]) -> str:
    """How it is said on the command line."""
    return f"--{name.replace('_', '-')}" if name in options else f"--set {name}=VALUE"


def run(system: System, requests: Sequence[Request], bars: Bars) -> tuple[list[Result], list[Part]]:
    """Results in the order of `requests`, painted together, and what every part of the work took."""
    from handfirst.runtime.timing.spans import Recording, recording
    from handfirst.runtime.timing.totals import parts

    with recording(Recording()) as heard:
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
            result: Result = progress.result
            return result
    raise ValueError("the system's steps ended without a result")


def told_of(system: System, result: Result, metadata: bool) -> bytes | None:
    """What the files of a result's pictures say of how they were made; None where they shall say nothing."""
    from handfirst.runtime.metadata import packet

    return packet(system.bundle, result) if metadata else None


def report(
    system: System,
    results: Sequence[Result],
    parts: Sequence[Part],
    pictures: Sequence[output.Picture],
    json: bool,
    asked: Collection[str] = (),
) -> None:
    """Says what was made: one JSON object, or a line per file and one for the time; warnings are never lost.

    Args:
        asked: what is told of every result beside that, by the names that it has in `Result.asked`.
    """
    alone = len(results) == 1
    warnings = [line if alone else f"seed {made.seed}: {line}" for made in results for line in made.warnings]
    seconds = results[0].seconds
    more = [{name: made.asked[name] for name in asked if name in made.asked} for made in results]
    if json:
        output.print_json(
            {
                "bundle": {"name": system.bundle.manifest.name, "id": short_id(system.bundle)},
                "engine": {"name": system.engine.engine, "reason": system.engine.reason},
                "seed": results[0].seed,
                **({"pictures": more} if asked else {}),
                "files": [picture.describe() for picture in pictures],
                "seconds": {stage: round(duration, 4) for stage, duration in seconds.items()},
                "parts": [part.describe() for part in parts],
                "warnings": warnings,
            }
        )
        return
    output.print_files(pictures)
    for made, told in zip(results, more, strict=True):
        if told:
            print(f"seed {made.seed}: {', '.join(f'{name} {value}' for name, value in told.items())}")
    model = f"{system.bundle.manifest.name} {short_id(system.bundle)}"
    print(f"{seconds['total']:.1f} s with {model} on {system.engine.engine}")
    output.print_warnings(warnings)


def short_id(bundle: Bundle) -> str:
    """Enough of a bundle's digest to tell it from any other."""
    return bundle.digest[:12]
