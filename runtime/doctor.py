"""What is installed here, what of it works, and what to do about the rest: findings, one thing to do for each problem.

The default path is what `handfirst demo` does: the engine that "auto" picks, and the embedded bundle. Nothing is left
behind, and libraries are only opened in processes of their own (engines/probe.py). It looks at one machine as it is
now; whether pictures are good, and whether all of a bundle computes rightly, is what `handfirst verify` is for.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from handfirst.engines.bundle import Bundle, demo_bundle_path
from handfirst.engines.cache import EngineCache
from handfirst.engines.choice import ENGINES, ON_CPU, choose
from handfirst.engines.cuda.driver import Driver, nvidia_driver
from handfirst.engines.errors import UserError
from handfirst.engines.installed import computes_bfloat16, distributed, importable
from handfirst.engines.probe import probe
from handfirst.runtime.profile.machine import machine

State = Literal["ok", "absent", "problem"]
"""Fine; not here, which is no fault; or something to mend."""

DEFAULT, EMBEDDED = "default engine", "embedded model"
BASE = ("numpy", "pillow", "pydantic", "tokenizers", "typer", "rich", "filelock")
LIBRARY = {
    "cpu": "onnxruntime",
    "cuda": "onnxruntime-gpu",
    "openvino": "openvino",
    "openvino-bf16": "openvino",
    "tensorrt": "tensorrt",
}
"""Distribution of an engine; each has an extra of the engine's own name, but openvino-bf16."""

_KERNEL_DRIVER = Path("/proc/driver/nvidia/version")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `remedy` is what to do, where there is something to do."""

    part: str
    state: State
    detail: str
    remedy: str | None = None


def examine() -> Iterator[Finding]:
    """Everything, one after the other; takes a few seconds, as each engine is opened."""
    driver = nvidia_driver()
    yield _installation()
    yield Finding("libraries", "ok", _versions(BASE))
    yield _cpu()
    yield _gpu(driver)
    for engine in ENGINES:
        yield _engine(engine, driver)
    yield from _default()
    yield _cache(EngineCache())
    yield Finding("extras", "ok", ", ".join(complete_extras()) or "none")


def default_works(findings: Iterable[Finding]) -> bool:
    """Whether a picture can be painted without any option."""
    return {each.part for each in findings if each.state == "ok"} >= {DEFAULT, EMBEDDED}


def complete_extras() -> list[str]:
    """Extras of which everything is installed; versions are pip's to check."""
    wanted: dict[str, list[str]] = {}
    for line in metadata.requires("handfirst") or ():
        requirement, _, marker = line.partition(";")
        if extra := re.search(r"extra == ['\"]([\w-]+)['\"]", marker):
            wanted.setdefault(extra[1], []).append(re.split(r"[^\w.-]", requirement.strip(), maxsplit=1)[0])
    return sorted(extra for extra, names in wanted.items() if all(map(distributed, names)))


def _installation() -> Finding:
    version = metadata.version("handfirst")
    return Finding("handfirst", "ok", f"{version} on Python {platform.python_version()} in {sys.prefix}")


def _cpu() -> Finding:
    found = machine(())
    flags = ", ".join(found["flags"]) or "none of the flags that matter"
    memory = f", {found['memory_bytes'] / 2**30:.1f} GiB of memory" if found["memory_bytes"] else ""
    return Finding("cpu", "ok", f"{found['cpu']}, cores for this process: {found['cores']} ({flags}){memory}")


def _gpu(driver: Driver | None) -> Finding:
    if driver is None and _KERNEL_DRIVER.exists():
        return Finding(
            *("gpu", "problem", "the kernel has an NVIDIA driver, but libcuda does not answer"),
            "in a container: start it with --gpus all; else install the driver's libraries (libcuda.so.1)",
        )
    if driver is None:
        return Finding("gpu", "absent", "no NVIDIA driver answers")
    if not any(_installed(engine) for engine in ENGINES if engine not in ON_CPU):
        remedy = "pip uninstall -y onnxruntime, then pip install 'handfirst[cuda]'"
        return Finding("gpu", "problem", f"{driver}; no engine that uses it is installed", remedy)
    return Finding("gpu", "ok", str(driver))


def _engine(engine: str, driver: Driver | None) -> Finding:
    """Whether one engine works here; what this machine lacks the hardware for is no problem."""
    part = f"engine {engine}"
    if not _installed(engine):
        return Finding(part, "absent", "not installed", f"pip install '{_extra(engine)}'")
    version = _versions([LIBRARY[engine]] if distributed(LIBRARY[engine]) else ["onnxruntime-gpu"])
    if engine not in ON_CPU and driver is None:
        return Finding(part, "absent", f"{version}; needs an NVIDIA GPU, and no driver answers")
    if engine == "openvino-bf16" and not computes_bfloat16():
        return Finding(part, "absent", f"{version}; this CPU does not compute bfloat16")
    wrong = probe(engine)
    if wrong is None:
        return Finding(part, "ok", f"{version}; opened and computed")
    return _problem(part, wrong, f"{version}; ", _again(engine))


def _installed(engine: str) -> bool:
    """Whether an engine's library is here; onnxruntime-gpu computes on the CPU as well."""
    return distributed("onnxruntime-gpu") if engine == "cuda" else importable(LIBRARY[engine])


def _default() -> Iterator[Finding]:
    """The engine that "auto" picks for the embedded model, and the model itself: hashes, and its smallest graph."""
    model, wrong = _embedded()
    whole = None if model is None or wrong else str(model.path)
    try:
        chosen = choose(model_bytes=sum(file.size for file in model.manifest.files.values()) if model else None)
        failed = probe(chosen.engine, whole)
        if failed and whole and probe(chosen.engine) is None:  # the engine works: it is the model's fault
            wrong, failed = failed, None
        tried = "its smallest graph is right" if failed is None else "no graph was run"
        if failed is None:
            yield Finding(DEFAULT, "ok", f"{chosen.engine}: {chosen.reason}")
        else:
            yield _problem(DEFAULT, failed, f"{chosen.engine}: ", _again(chosen.engine))
    except UserError as error:
        yield _problem(DEFAULT, str(error), remedy="pip install 'handfirst[cpu]'")
        tried = "no graph was run"
    if model is None or wrong:
        yield _problem(EMBEDDED, wrong or "", remedy="pip install --force-reinstall handfirst")
    else:
        yield Finding(EMBEDDED, "ok", f"{model.manifest.name} {model.digest[:12]}, every file as listed; {tried}")


def _embedded() -> tuple[Bundle | None, str | None]:
    """The embedded bundle with all of its files read and hashed, and what is wrong with it."""
    model = None
    try:
        model = Bundle.open(demo_bundle_path())
        for name in model.manifest.files:
            model.bytes(name)
    except UserError as error:
        return model, str(error)
    return model, None


def _cache(cache: EngineCache) -> Finding:
    """Where compiled graphs are kept. Without it everything works, but is compiled again in every process."""
    standing = next(place for place in (cache.folder, *cache.folder.absolute().parents) if place.exists())
    if standing != cache.folder and standing.is_dir() and os.access(standing, os.W_OK | os.X_OK):
        return Finding("cache", "ok", f"{cache.folder}: nothing was compiled yet")
    if problem := cache.problem():
        return _problem("cache", problem)
    entries, broken = cache.entries(), cache.broken()
    detail = f"{cache.folder}: {len(entries)} graphs, {sum(entry.size for entry in entries) / 1e6:.0f} MB"
    if broken:
        return Finding("cache", "problem", f"{detail}; {len(broken)} broken files", "handfirst cache prune")
    return Finding("cache", "ok", detail)


def _versions(names: Iterable[str]) -> str:
    return ", ".join(f"{name} {metadata.version(name)}" for name in names if distributed(name))


def _extra(engine: str) -> str:
    return f"handfirst[{engine.removesuffix('-bf16')}]"


def _again(engine: str) -> str:
    return f"pip install --force-reinstall '{_extra(engine)}'"


def _problem(part: str, message: str, before: str = "", remedy: str | None = None) -> Finding:
    """What an error says is wrong, and what to do: behind its semicolon where it has one, or else `remedy`."""
    what, _, said = message.partition("; ")
    return Finding(part, "problem", before + what, said.removeprefix("run: ") or remedy)
