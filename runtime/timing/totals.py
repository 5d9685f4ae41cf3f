"""From spans to parts: which part of which stage ran how often, and how long by itself.

What a stage does besides its engines and named host work is its part "host". Knows nothing about whose spans they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from handfirst.runtime.timing.spans import Span

HOST = "host"
"""The part of a stage that no other span covers: NumPy, OpenCV, Python."""

NO_STAGE = ""
"""The stage of what ran outside of all stages."""


@dataclass
class Part:
    """All calls of one part of one stage.

    Attributes:
        stage: as the clock names it.
        name: an engine's role, a piece of host work, or HOST.
        spans: its calls; of HOST the stage's own spans, one per step.
        own: nanoseconds of each without the spans inside of it. Over all parts they add up to the outermost spans.
    """

    stage: str
    name: str
    spans: list[Span] = field(default_factory=list)
    own: list[int] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Of all calls."""
        return sum(self.own) / 1e9

    @property
    def bytes(self) -> int:
        """Of all calls: tensors in and out."""
        return sum(span.bytes for span in self.spans)

    def describe(self) -> dict[str, Any]:
        """As one entry of a JSON object."""
        calls = len(self.spans)
        return {
            "stage": self.stage,
            "part": self.name,
            "calls": calls,
            "seconds": round(self.seconds, 6),
            "bytes": self.bytes,
        }


def parts(spans: Sequence[Span]) -> list[Part]:
    """Stage by stage in the order in which they first began, the part HOST last."""
    found: dict[tuple[str, str], Part] = {}
    for span, stage, own in sorted(_nested(spans), key=lambda each: (each[0].start, each[0].kind != "stage")):
        name = HOST if span.kind == "stage" else span.name
        part = found.setdefault((stage, name), Part(stage, name))
        part.spans.append(span)
        part.own.append(own)
    stages = list(dict.fromkeys(part.stage for part in found.values()))
    return sorted(found.values(), key=lambda part: (stages.index(part.stage), part.name == HOST))


def _nested(spans: Iterable[Span]) -> Iterator[tuple[Span, str, int]]:
    """(span, its stage, its own nanoseconds), thread by thread."""
    numbered = list(enumerate(spans))
    # outer ones first; of two that look alike the later was recorded later, so it is the outer one
    numbered.sort(key=lambda each: (each[1].thread, each[1].start, -each[1].end, -each[0]))
    open_spans: list[tuple[Span, str]] = []
    own: list[int] = []
    for _, span in numbered:
        while open_spans and not _holds(open_spans[-1][0], span):
            yield *open_spans.pop(), own.pop()
        outer = open_spans[-1][1] if open_spans else NO_STAGE
        if open_spans:
            own[-1] -= span.duration
        open_spans.append((span, span.name if span.kind == "stage" else outer))
        own.append(span.duration)
    while open_spans:
        yield *open_spans.pop(), own.pop()


def _holds(outer: Span, inner: Span) -> bool:
    return outer.thread == inner.thread and inner.end <= outer.end
