"""`handfirst build`: what an engine compiles for this machine is compiled now and kept, not while somebody waits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from handfirst.engines.errors import EngineError
from handfirst.runtime.cli import options, output
from handfirst.runtime.cli.bars import Bars
from handfirst.runtime.cli.pipeline import short_id

if TYPE_CHECKING:
    from handfirst.engines.bundle import Bundle

COMPILING = ("openvino", "openvino-bf16", "tensorrt")


@dataclass(frozen=True)
class Built:
    """One role that was opened and run; `runs` are the batch and the height and width of its maps."""

    role: str
    runs: list[tuple[int, tuple[int, int]]]
    seconds: float

    def describe(self) -> dict[str, Any]:
        """As one entry of the JSON object."""
        runs = [{"batch": rows, "height": height, "width": width} for rows, (height, width) in self.runs]
        return {"role": self.role, "runs": runs, "seconds": round(self.seconds, 4)}


def build(
    bundle: Annotated[
        Path | None, typer.Argument(help="Folder of the bundle.", show_default="the embedded one")
    ] = None,
    engine: options.Engine = "auto",
    batch: Annotated[int, typer.Option(min=1, max=256, help="Pictures at once.", metavar="N")] = 1,
    threads: options.Threads = None,
    progress: options.Progress = None,
    json: options.Json = False,
) -> None:
    """Compile a bundle's graphs ahead and keep them in the cache."""
    from handfirst.engines.bundle import Bundle, demo_bundle_path
    from handfirst.engines.cache import EngineCache
    from handfirst.engines.choice import choose

    opened = Bundle.open(bundle or demo_bundle_path())
    chosen = choose(engine, sum(file.size for file in opened.manifest.files.values()))
    if chosen.engine not in COMPILING:
        raise EngineError(
            f"engine {chosen.engine} ({chosen.reason}) compiles nothing ahead; "
            f"give --engine with one that does: {', '.join(COMPILING)}"
        )
    cache = EngineCache()
    if problem := cache.problem():
        raise EngineError(f"the cache cannot be used: {problem}")
    built = []
    with Bars(options.show_progress(progress, json)) as bars:
        total = len(opened.manifest.engines)
        bars.update("build", 0, total)
        for done in build_all(opened, chosen.engine, batch, threads):
            built.append(done)
            bars.update("build", len(built), total)
    kept = cache.entries()
    if json:
        output.print_json(
            {
                "bundle": {"name": opened.manifest.name, "id": short_id(opened)},
                "engine": {"name": chosen.engine, "reason": chosen.reason},
                "built": [each.describe() for each in built],
                "cache": {"path": str(cache.folder), "entries": len(kept), "bytes": sum(e.size for e in kept)},
            }
        )
        return
    rows = [(e.role, ", ".join(f"{n} x {h} x {w}" for n, (h, w) in e.runs), f"{e.seconds:.1f} s") for e in built]
    output.print_table(f"{opened.manifest.name} {short_id(opened)} on {chosen.engine}", ("role", "runs", ""), rows)
    print(f"{len(kept)} graphs, {sum(entry.size for entry in kept) / 1e6:.0f} MB in {cache.folder}")


def build_all(bundle: Bundle, engine: str, pictures: int, threads: int | None) -> Iterator[Built]:
    """Opens every role's engine and runs it on zeros, once with each of the shapes that rendering has.

    In the order of the roles, as one's outputs tell the sizes of another's inputs.
    """
    from handfirst.runtime.running import blank_inputs
    from handfirst.runtime.systems import module_of

    told = module_of(bundle.manifest)
    settings = told.read_settings(bundle.manifest)
    specs = {role: entry.spec for role, entry in bundle.manifest.engines.items()}
    told.check_roles(settings, specs)
    given: dict[str, tuple[int, ...]] = {}
    for role, (shapes, tells) in told.runs(settings, specs, pictures).items():
        start = time.perf_counter()
        opened = bundle.engine(role, engine, threads)
        for rows, sizes in shapes:
            made = opened.run(blank_inputs(opened.spec, rows, sizes, given))
        if tells:
            given.update({name: value.shape for name, value in made.items()})
        opened.close()
        yield Built(role, shapes, time.perf_counter() - start)
