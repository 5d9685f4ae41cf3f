"""A picture that nobody asked for, painted ahead, so that the first caller waits no longer than the next.

What a first run pays for, whatever the engine: modules that load when they are needed, memory that an engine asks the
system for, kernels and graphs that are made for shapes when they first come. Knows nothing about who calls.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any

from handfirst.runtime.errors import RequestError
from handfirst.runtime.system import Request
from handfirst.runtime.systems import module_of

STEPS = 3
"""Of the example: onnxruntime records a CUDA graph at the third run of a shape."""


def warm_up(model: Any, request: Request | None = None) -> float:
    """Paints once and throws it away.

    Args:
        model: an opened model, e.g. `handfirst.open()`.
        request: what to paint. An engine that makes something for every shape (OpenVINO, TensorRT, CUDA graphs) is warm
            for those of this request: its canvas, its people and hands. None: the system's own example in 3 steps.

    Returns:
        Seconds that it took.

    Raises:
        RequestError: the request does not fit the model; or there is none, and the model is from no bundle.
        Exception: what the model raised; a UserError, unless something unforeseen went wrong.
    """
    start = perf_counter()
    asked = example_of(model) if request is None else request
    if not isinstance(asked, Request):
        raise RequestError(f"warm_up: expected one of the model's requests, got {type(asked).__name__}")
    for _ in model.steps(asked):
        pass
    return perf_counter() - start


def example_of(model: Any) -> Request:
    try:
        told = module_of(model.bundle.manifest)
    except (AttributeError, ValueError):
        raise RequestError("warm_up: this model is from no bundle and has no example; give a request") from None
    fewer = {"steps": STEPS} if "steps" in told.JOBS.fields.model_fields else {}
    return told.example(**fewer)
