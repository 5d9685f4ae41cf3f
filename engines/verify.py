"""Is this bundle whole, and does this machine compute what torch computed? Hashes, versions, golden tensors."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.bundle import Bundle
from handfirst.engines.choice import AUTO, TOLERANCE, arithmetic, choose
from handfirst.engines.engine import Array
from handfirst.engines.errors import EngineError, UserError, one_line


@dataclass(frozen=True)
class Check:
    """One finding."""

    name: str
    """What was looked at: a file, a role, ..."""
    ok: bool
    """Whether it is right."""
    detail: str
    """What was found, in a line."""
    psnr: float | None = None
    """The worst output's in dB, where some were compared."""
    of_engine: bool = False
    """Whether a failure is the engine's, which cannot run here: nothing is known about the bundle."""


def verify(bundle: Bundle, engine: str = AUTO, threads: int | None = None) -> Iterator[Check]:
    """All checks, one after the other; a failure is a Check with ok False, never an exception.

    Args:
        engine: "auto" or one of choice.ENGINES; one that computes coarser than the graph has a lower bar.

    Raises:
        EngineError: no such engine.
    """
    chosen = choose(engine, sum(file.size for file in bundle.manifest.files.values()))
    yield Check("engine", True, f"{chosen.engine}: {chosen.reason}")
    yield _version(bundle)
    for name in bundle.manifest.files:
        yield _file(bundle, name)
    try:
        golden = bundle.golden()
    except UserError as error:
        yield Check("golden tensors", False, str(error))
        return
    for role in bundle.manifest.engines:
        yield check_role(bundle, role, golden, chosen.engine, threads)


def _version(bundle: Bundle) -> Check:
    made = bundle.manifest.created_with.get("handfirst", "unknown")
    here = metadata.version("handfirst")
    same = made.split(".")[:2] == here.split(".")[:2]
    advice = "" if same else "; export it again if anything below fails"
    return Check("version", True, f"made with handfirst {made}, this is {here}{advice}")


def _file(bundle: Bundle, name: str) -> Check:
    try:
        size = len(bundle.bytes(name))
    except UserError as error:
        return Check(name, False, str(error))
    return Check(name, True, f"SHA-256 matches, {size / 1e6:.2f} MB")


def check_role(bundle: Bundle, role: str, golden: dict[str, Array], engine: str, threads: int | None = None) -> Check:
    """Runs one graph on its golden tensors and compares; `engine` is one of choice.ENGINES."""
    entry = bundle.manifest.engines[role]
    inputs = {t.name: golden.get(f"{role}.in.{t.name}") for t in entry.spec.inputs}
    outputs = {t.name: golden.get(f"{role}.out.{t.name}") for t in entry.spec.outputs}
    if lacking := [name for name, value in {**inputs, **outputs}.items() if value is None]:
        return Check(role, False, f"no golden tensor for {', '.join(lacking)}; export the bundle again")
    try:
        opened = bundle.engine(role, engine, threads)
        dtypes = {t.name: t.dtype for t in entry.spec.inputs}  # golden tensors may be stored smaller
        result = opened.run({k: v.astype(dtypes[k]) for k, v in inputs.items() if v is not None})
        opened.close()
        worst = min(psnr(value, result[name]) for name, value in outputs.items() if value is not None)
    except (UserError, ValueError) as error:
        return Check(role, False, one_line(error), of_engine=isinstance(error, EngineError))
    needed = min(entry.tolerance_psnr, TOLERANCE[arithmetic(engine, entry.precision)])
    return Check(role, worst >= needed, f"{worst:.1f} dB against torch, at least {needed:.0f} needed ({engine})", worst)


def psnr(reference: NDArray[Any], value: NDArray[Any]) -> float:
    """20 log10(peak-to-peak of the reference / root mean square error), in dB.

    Infinite for equal tensors; minus infinity where the value holds NaN or infinity. A constant reference counts as
    having range 1.

    Raises:
        ValueError: if the shapes differ.
    """
    if reference.shape != value.shape:
        raise ValueError(f"expected shape {reference.shape}, got {value.shape}")
    a, b = reference.astype(np.float64), value.astype(np.float64)
    if not np.isfinite(b).all():
        return -math.inf
    error = float(np.sqrt(np.mean((a - b) ** 2))) if a.size else 0.0
    if error == 0:
        return math.inf
    return 20 * math.log10((float(np.ptp(a)) or 1.0) / error)
