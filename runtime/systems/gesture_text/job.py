"""What a job of a batch may say to a model of gestures in words, and the request that comes of it; and an example."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from handfirst.runtime.asking import Real, Text, Whole
from handfirst.runtime.system import Content, JobKind
from handfirst.runtime.systems.gesture_text.request import GestureRequest


class JobFields(BaseModel):
    """What a job may say, beside its name; ranges are the GestureRequest's to check."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: str | None = None
    gesture: Text | None = None
    seed: Whole = 0
    steps: Whole | None = None
    guidance: Real | None = None
    eta: Real | None = None
    mu: Real | None = None


def job_request(fields: JobFields, content: Mapping[str, Content]) -> GestureRequest:
    """What a model is asked; there are no files.

    Raises:
        RequestError: a field is out of its range.
    """
    return GestureRequest(**fields.model_dump())


JOBS = JobKind(JobFields, (), job_request)


def example(**fields: Any) -> GestureRequest:
    """Somebody."""
    said = {"prompt": "a portrait of a person", **fields}
    return GestureRequest(**{name: value for name, value in said.items() if value is not None})
