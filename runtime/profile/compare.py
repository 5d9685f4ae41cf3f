"""Two saved profiles beside each other: which parts got slower and which faster, and whether they compare at all.

Knows nothing of chance: the same thing measured twice differs too, which is why the spread of the jobs stands beside.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from handfirst.engines.errors import UserError
from handfirst.engines.manifest import Line
from handfirst.runtime.profile.figures import BETWEEN, short

MOST_BYTES = 1 << 24
"""Of a saved profile; real ones have some 20 kB."""

HARDWARE = ("cpu", "cores", "gpu", "memory_bytes")
"""What makes two machines other machines; the rest of the stamp may change under the same one."""


class _Saved(BaseModel):
    """Fields that a comparison needs; what else is in the file is left alone."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False, strict=True)


class SavedPart(_Saved):
    """One part of one stage: see PartFigures."""

    stage: Line
    part: Line
    label: Line
    job_ms: float
    sizes: list[list[int]] = []


class SavedWall(_Saved):
    """Milliseconds of steady jobs."""

    mean: float = Field(gt=0)
    p50: float = Field(gt=0)
    p95: float = Field(gt=0)


class SavedBundle(_Saved):
    """What was measured."""

    name: Line
    digest: Line


class SavedEngine(_Saved):
    """What ran it."""

    name: Line


class SavedProfile(_Saved):
    """What `handfirst profile --json` printed."""

    bundle: SavedBundle
    engine: SavedEngine
    request: dict[Line, Any]
    machine: dict[Line, Any]
    jobs: Annotated[int, Field(ge=1)]
    wall_ms: SavedWall
    parts: list[SavedPart] = Field(min_length=1)

    @model_validator(mode="after")
    def _each_part_stands_once(self) -> SavedProfile:
        if len({(part.stage, part.part) for part in self.parts}) != len(self.parts):
            raise ValueError("a part stands twice")
        return self


def read_profile(path: Path) -> SavedProfile:
    """A saved profile.

    Raises:
        UserError: no such file, or it is not what `handfirst profile --json` printed.
    """
    remedy = "give what `handfirst profile --json` printed"
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise UserError(f"'{path}' cannot be read ({error.strerror}); {remedy}") from error
    if len(data) > MOST_BYTES:
        raise UserError(f"'{path}' is larger than {MOST_BYTES} bytes, no profile is; {remedy}")
    try:
        return SavedProfile.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the file"
        raise UserError(f"'{path}' is no saved profile ({field[:100]}: {first['msg']}); {remedy}") from error


@dataclass(frozen=True)
class Change:
    """Milliseconds of a job in A and in B, of a part or of a whole stage; None where one of them has no such part."""

    stage: str
    label: str
    a_ms: float | None
    b_ms: float | None

    @property
    def lost_ms(self) -> float:
        """How much longer B takes; below 0 where it is faster."""
        return (self.b_ms or 0.0) - (self.a_ms or 0.0)

    @property
    def ratio(self) -> float | None:
        """B / A; None where one has no such part, or none that takes time."""
        return self.b_ms / self.a_ms if self.a_ms is not None and self.b_ms is not None and self.a_ms > 0 else None

    def describe(self) -> dict[str, Any]:
        """As an entry of a JSON object: numbers with five digits."""
        ratio = None if self.ratio is None else short(self.ratio)
        return {"a_ms": self.a_ms, "b_ms": self.b_ms, "lost_ms": short(self.lost_ms), "ratio": ratio}


@dataclass(frozen=True)
class Comparison:
    """What became of A in B.

    Attributes:
        whole: the mean wall time of a job.
        stages, parts: what lost most first, what gained most last.
        obstacles: why the two do not compare, a line each; empty if they do.
        changed: what else is not the same: usually what the comparison is about.
        spread: p95 over p50 of the jobs' wall time, of A and of B.
    """

    whole: Change
    stages: tuple[Change, ...]
    parts: tuple[Change, ...]
    obstacles: tuple[str, ...]
    changed: tuple[str, ...]
    spread: tuple[float, float]

    def describe(self) -> dict[str, Any]:
        """The JSON object; times in milliseconds, `lost_ms` is B - A and `ratio` B / A."""
        return {
            "comparable": not self.obstacles,
            "not_comparable": list(self.obstacles),
            "changed": list(self.changed),
            "wall_ms": self.whole.describe(),
            "p95_over_p50": dict(zip("ab", map(short, self.spread), strict=True)),
            "stages": [{"stage": each.stage, **each.describe()} for each in self.stages],
            "parts": [{"stage": each.stage, "label": each.label, **each.describe()} for each in self.parts],
        }


def compare(a: SavedProfile, b: SavedProfile) -> Comparison:
    """B against A."""
    parts_a, parts_b = ({(part.stage, part.part): part for part in each.parts} for each in (a, b))
    parts = [
        Change(part.stage, part.label, _ms(parts_a.get(key)), _ms(parts_b.get(key)))
        for key, part in (parts_a | parts_b).items()
    ]
    stages_a, stages_b = _by_stage(a.parts), _by_stage(b.parts)
    stages = [Change(stage, BETWEEN, stages_a.get(stage), stages_b.get(stage)) for stage in stages_a | stages_b]
    sizes = [
        f"{parts_b[key].label} takes {_shapes(parts_a[key].sizes)} and {_shapes(parts_b[key].sizes)}"
        for key in parts_a.keys() & parts_b.keys()
        if parts_a[key].sizes and parts_b[key].sizes and parts_a[key].sizes != parts_b[key].sizes
    ]
    obstacles = [f"the engine is {a.engine.name} and {b.engine.name}"] if a.engine != b.engine else []
    obstacles += [f"the request's {line}" for line in _differences(a.request, b.request)]
    obstacles += [f"the size: {line}" for line in sorted(sizes)]
    obstacles += [f"the machine's {line}" for line in _differences(_hardware(a), _hardware(b))]
    return Comparison(
        whole=Change("", "a job", a.wall_ms.mean, b.wall_ms.mean),
        stages=_ordered(stages),
        parts=_ordered(parts),
        obstacles=tuple(obstacles),
        changed=tuple(_changed(a, b)),
        spread=(a.wall_ms.p95 / a.wall_ms.p50, b.wall_ms.p95 / b.wall_ms.p50),
    )


def _ms(part: SavedPart | None) -> float | None:
    return None if part is None else part.job_ms


def _ordered(changes: Sequence[Change]) -> tuple[Change, ...]:
    return tuple(sorted(changes, key=lambda each: -each.lost_ms))


def _by_stage(parts: Sequence[SavedPart]) -> dict[str, float]:
    spent: dict[str, float] = defaultdict(float)
    for part in parts:
        spent[part.stage] += part.job_ms
    return dict(spent)


def _hardware(profile: SavedProfile) -> dict[str, Any]:
    return {name: profile.machine.get(name) for name in HARDWARE}


def _changed(a: SavedProfile, b: SavedProfile) -> Iterator[str]:
    if a.bundle != b.bundle:
        names = (f"{each.bundle.name} {each.bundle.digest[:12]}" for each in (a, b))
        yield f"bundle: {' and '.join(names)}"
    rest_a, rest_b = (
        {name: value for name, value in each.machine.items() if name not in (*HARDWARE, "load")} for each in (a, b)
    )
    libraries = [rest.pop("libraries", {}) for rest in (rest_a, rest_b)]
    yield from _differences(rest_a, rest_b)
    if all(isinstance(each, dict) for each in libraries):
        yield from _differences(*libraries)


def _differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[str]:
    """A line for every entry that differs or that one of them lacks."""
    for name in dict.fromkeys((*a, *b)):
        if a.get(name) != b.get(name):
            yield f"{name}: {_said(a.get(name))} and {_said(b.get(name))}"


def _said(value: Any) -> str:
    return "none" if value is None else str(value)[:100]


def _shapes(sizes: Sequence[Sequence[int]]) -> str:
    return ", ".join(" x ".join(map(str, shape)) for shape in sizes[:3])
