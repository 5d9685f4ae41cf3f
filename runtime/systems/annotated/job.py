"""What a job of a batch may say to a model of annotated hands, and the request that comes of it; and an example."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from handfirst.runtime.asking import Real, Text, Whole
from handfirst.runtime.system import Content, JobKind
from handfirst.runtime.systems.annotated.request import SampleRequest


class JobFields(BaseModel):
    """What a job may say, beside its name; ranges are the SampleRequest's to check."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: str | None = None
    label: Text | None = None
    seed: Whole = 0
    steps: Whole | None = None
    guidance: Real | None = None
    eta: Real | None = None
    best_of: Whole | None = None
    check: bool = False


def job_request(fields: JobFields, content: Mapping[str, Content]) -> SampleRequest:
    """What a model is asked; there are no files.

    Raises:
        RequestError: a field is out of its range.
    """
    return SampleRequest(**fields.model_dump())


JOBS = JobKind(JobFields, (), job_request)


def example(**fields: Any) -> SampleRequest:
    """Any picture."""
    return SampleRequest(**{name: value for name, value in fields.items() if value is not None})
