"""`handfirst build`: what an engine compiles for this machine is compiled now and kept, not while somebody waits."""

from __future__ import annotations

import json as json_module
import time
from collections.abc import Iterator, Mapping
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
    """One role that was opened and run; `runs` are the batch and the height and width of its maps; `plans` is what the
    library tells of what it compiled, by shapes, where it was asked."""

    role: str
    runs: list[tuple[int, tuple[int, int]]]
    seconds: float
    plans: Mapping[str, Any]

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
    inspect: Annotated[
        Path | None,
        typer.Option(help="TensorRT's layers of every plan, as JSON.", metavar="FILE", show_default="none"),
    ] = None,
    progress: options.Progress = None,
    json: options.Json = False,
) -> None:
    """Compile a bundle's graphs ahead and keep them in the cache."""
    from handfirst.engines.bundle import Bundle, demo_bundle_path
    from handfirst.engines.cache import EngineCache
    from handfirst.engines.choice import choose, parse_engine
    from handfirst.engines.files import atomic_write_bytes

    if inspect is not None:
        output.file_target(inspect, ".json")
    opened = Bundle.open(bundle or demo_bundle_path())
    chosen = choose(engine, sum(file.size for file in opened.manifest.files.values()))
    if (library := parse_engine(chosen.engine).library) not in COMPILING:
        raise EngineError(
            f"engine {chosen.engine} ({chosen.reason}) compiles nothing ahead; "
            f"give --engine with one that does: {', '.join(COMPILING)}"
        )
    if inspect is not None and library != "tensorrt":
        raise EngineError(f"--inspect: expected engine tensorrt, which tells its layers, got {chosen.engine}")
    cache = EngineCache()
    if problem := cache.problem():
        raise EngineError(f"the cache cannot be used: {problem}")
    built = []
    with Bars(options.show_progress(progress, json)) as bars:
        total = len(opened.manifest.engines)
        bars.update("build", 0, total)
        for done in build_all(opened, chosen.engine, batch, threads, inspect is not None):
            built.append(done)
            bars.update("build", len(built), total)
    if inspect is not None:
        told = {each.role: each.plans for each in built}
        atomic_write_bytes(inspect, (json_module.dumps(told, indent=1) + "\n").encode())
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
    if inspect is not None:
        print(f"layers  {inspect}")
    print(f"{len(kept)} graphs, {sum(entry.size for entry in kept) / 1e6:.0f} MB in {cache.folder}")


def build_all(
    bundle: Bundle, engine: str, pictures: int, threads: int | None, inspect: bool = False
) -> Iterator[Built]:
    """Opens every role's engine and runs it on zeros, once with each of the shapes that rendering has.

    In the order of the roles, as one's outputs tell the sizes of another's inputs. With `inspect` engines that are a
    LayeredEngine tell their layers.
    """
    from handfirst.engines.engine import LayeredEngine
    from handfirst.runtime.running import blank_inputs
    from handfirst.runtime.systems import module_of

    told = module_of(bundle.manifest)
    settings = told.read_settings(bundle.manifest)
    specs = {role: entry.spec for role, entry in bundle.manifest.engines.items()}
    told.check_roles(settings, specs)
    given: dict[str, tuple[int, ...]] = {}
    for role, (shapes, tells) in told.runs(settings, specs, pictures).items():
        start = time.perf_counter()
        plans: dict[str, Any] = {}
        opened = bundle.engine(role, engine, threads)
        for rows, sizes in shapes:
            made = opened.run(blank_inputs(opened.spec, rows, sizes, given))
            if inspect and isinstance(opened, LayeredEngine):
                plans |= opened.layers()  # it keeps so many plans loaded, and no more
        if tells:
            given.update({name: value.shape for name, value in made.items()})
        opened.close()
        yield Built(role, shapes, time.perf_counter() - start, plans)
