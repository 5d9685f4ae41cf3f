"""Who computes a graph, and how long each takes: torch eager, torch.compile, onnxruntime, TensorRT.

One evaluation is timed from the call until the device has nothing left to do, all contestants in turn within every
round, so that what the machine does meanwhile falls on all alike. Knows nothing about where graphs come from.
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from full_size import relative_error
from proof_model import Subject, on_device, synchroniser

from handfirst.engines.engine import Engine
from handfirst.engines.errors import one_line
from handfirst.engines.installed import importable
from handfirst.engines.ort import OrtEngine
from handfirst.engines.ort_cuda import CudaOptions
from handfirst.engines.verify import psnr

EAGER = "torch eager"
WARM_UPS = 4
"""Untimed runs: compiling, cuDNN's search, and the third run that captures a CUDA graph."""


@dataclass
class Rules:
    """How the race is run.

    Attributes:
        device: "cuda" or "cpu".
        rounds: timed runs of each contestant.
        backend: of torch.compile; "inductor" needs a C++ compiler.
        mode: of torch.compile; None: its default.
        compiles: whether torch.compile takes part.
        nhwc: whether onnxruntime runs once more with channels last.
        deadline: time.monotonic() after which no contestant is opened.
        done: rows that are there already, as `key` writes them.
        form: how graphs of half precision are written: "plain", or "opset 23".
        hang: a contestant that waits for ever, to try what becomes of it.
        begin: called with the heading of a row before each piece of work for it that may take long.
    """

    device: str
    rounds: int
    backend: str
    mode: str | None
    compiles: bool
    nhwc: bool
    deadline: float
    done: Collection[tuple[Any, ...]] = ()
    form: str = "plain"
    begin: Callable[[dict[str, Any]], None] = lambda heading: None
    hang: str | None = None


@dataclass
class Contestant:
    """One way to compute the graph.

    Attributes:
        run: one evaluation; what it returns may still be under way.
        answer: its outputs as arrays.
        close: frees it.
    """

    run: Callable[[], Any]
    answer: Callable[[], Mapping[str, np.ndarray]]
    close: Callable[[], None] = lambda: None


def race(subject: Subject, rules: Rules) -> list[dict[str, Any]]:
    """A row per contestant: error against torch in float32 and milliseconds, or why it did not run.

    All of them are in memory together, as they take turns; who finds the time up is left out.
    """
    opened: dict[str, Contestant] = {}
    rows: dict[str, dict[str, Any]] = {}
    for name, opens in _field(subject, rules):
        heading = _heading(subject, name, rules)
        if key(heading) in rules.done:
            continue
        if time.monotonic() > rules.deadline:
            print(f"{name}: the time is up", flush=True)
            continue
        rules.begin(heading)
        while name == rules.hang:
            time.sleep(60)
        try:
            opened[name] = opens()
            rows[name] = _errors(subject, opened[name].answer())
            for _ in range(WARM_UPS):
                opened[name].run()
        except Exception as error:  # whatever a library raises is a finding
            if (failed := opened.pop(name, None)) is not None:
                failed.close()
            rows[name] = refusal(error)
        print(f"{name}: {rows[name]}", flush=True)
    seconds = _time(opened, rules, rows, lambda name: rules.begin(_heading(subject, name, rules)))
    for name, values in seconds.items():
        rows[name] |= _times(values, seconds.get(EAGER))
    for contestant in opened.values():
        contestant.close()
    return [_heading(subject, name, rules) | row for name, row in rows.items()]


def key(row: dict[str, Any]) -> tuple[Any, ...]:
    """What a row of `race` is about: role, precision, form, contestant, batch."""
    return row["role"], row["precision"], row["form"], row["contestant"], row["batch"]


def contestants(rules: Rules) -> list[str]:
    """Their names, for a graph that torch takes part in."""
    anything: Any = SimpleNamespace(module=True)
    return [name for name, _ in _field(anything, rules)]


def _field(subject: Subject, rules: Rules) -> Iterator[tuple[str, Callable[[], Contestant]]]:
    """Who takes part; nothing is opened before it is called."""
    if subject.module is not None:
        yield EAGER, lambda: _torch(subject, rules)
        if rules.compiles:
            yield f"torch.compile ({rules.mode or rules.backend})", lambda: _torch(subject, rules, compiled=True)
    gpu = rules.device == "cuda"
    plain = cache(lambda: _ort(subject, gpu))  # one copy of the weights for both
    yield "onnxruntime", lambda: _host(subject, plain())
    yield "onnxruntime resident", lambda: _resident(subject, plain())
    if gpu:
        yield "onnxruntime CUDA graph", lambda: _resident(subject, _ort(subject, gpu, graphs=True))
        if rules.nhwc:
            yield "onnxruntime CUDA graph nhwc", lambda: _resident(subject, _ort(subject, gpu, graphs=True, nhwc=True))
        if importable("tensorrt"):
            yield "TensorRT", lambda: _host(subject, _tensorrt(subject))


def _ort(subject: Subject, gpu: bool, graphs: bool = False, nhwc: bool = False) -> OrtEngine:
    with warnings.catch_warnings():
        if graphs:
            warnings.simplefilter("error", RuntimeWarning)  # without a graph it would be the contestant before
        options = CudaOptions(graphs=graphs, prefer_nhwc=nhwc)
        return OrtEngine(subject.graph, "cuda" if gpu else "cpu", cuda=options)


def _tensorrt(subject: Subject) -> Engine:
    from handfirst.engines.tensorrt.engine import TrtEngine

    return TrtEngine(subject.graph)


def _host(subject: Subject, engine: Engine) -> Contestant:
    """From arrays to arrays: what the runtime's plain path costs."""
    return Contestant(lambda: engine.run(subject.inputs), lambda: engine.run(subject.inputs), engine.close)


def _resident(subject: Subject, engine: OrtEngine) -> Contestant:
    """Inputs lie on the device already, outputs stay there. The answer comes after a replay, so that it is its own."""
    inputs = {name: engine.upload(array) for name, array in subject.inputs.items()}
    keep = list(subject.reference)

    def run() -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            return engine.run_resident(inputs, keep)

    def answer() -> dict[str, np.ndarray]:
        for _ in range(WARM_UPS):
            run()
        return {name: np.asarray(value.numpy()) for name, value in run().items()}

    return Contestant(run, answer, engine.close)


def _torch(subject: Subject, rules: Rules, compiled: bool = False) -> Contestant:
    assert subject.module is not None
    spec = subject.graph.spec
    module = subject.module.to(rules.device)
    given = on_device(subject.inputs, [tensor.name for tensor in spec.inputs], rules.device)
    call: Any = torch.compile(module, backend=rules.backend, mode=rules.mode, dynamic=False) if compiled else module

    @torch.no_grad()
    def run() -> Any:
        return call(*given)

    def answer() -> dict[str, np.ndarray]:
        found = run()
        values = found if isinstance(found, tuple) else (found,)
        return {t.name: value.float().cpu().numpy() for t, value in zip(spec.outputs, values, strict=True)}

    return Contestant(run, answer, torch.compiler.reset if compiled else lambda: None)


def _time(
    opened: dict[str, Contestant], rules: Rules, rows: dict[str, dict[str, Any]], begin: Callable[[str], None]
) -> dict[str, list[float]]:
    """Seconds by name. Who fails is out, and its row says so."""
    seconds: dict[str, list[float]] = {name: [] for name in opened}
    wait = synchroniser(rules.device)
    for _ in range(rules.rounds):
        for name in list(seconds):
            begin(name)
            try:
                wait()
                started = time.perf_counter()
                opened[name].run()
                wait()
                seconds[name].append(time.perf_counter() - started)
            except Exception as error:
                rows[name] = refusal(error)
                del seconds[name]
    return seconds


def _heading(subject: Subject, name: str, rules: Rules) -> dict[str, Any]:
    return {
        "role": subject.role,
        "precision": subject.precision,
        "form": rules.form,
        "contestant": name,
        "batch": len(next(iter(subject.inputs.values()))),
        "export_seconds": subject.export_seconds,
    }


def refusal(error: Exception) -> dict[str, Any]:
    """What a row says in place of a time."""
    return {"refused": f"{type(error).__name__}: {one_line(error)[:300]}"}


def _errors(subject: Subject, found: Mapping[str, np.ndarray]) -> dict[str, Any]:
    worst = min(psnr(value, found[name]) for name, value in subject.reference.items())
    return {
        "psnr_db": round(worst, 1) if np.isfinite(worst) else str(worst),
        "relative_error": float(f"{relative_error(subject.reference, dict(found)):.3g}"),
    }


def _times(seconds: list[float], eager: list[float] | None) -> dict[str, Any]:
    median = statistics.median(seconds)
    times = {
        "milliseconds": round(1e3 * median, 4),
        "fastest_milliseconds": round(1e3 * min(seconds), 4),
        "runs": len(seconds),
    }
    return times | ({"times_as_fast_as_eager": round(statistics.median(eager) / median, 3)} if eager else {})
