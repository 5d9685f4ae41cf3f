"""One job as its server remembers it: what was asked, how it stands, what happened, what came of it.

Everything happens in the thread of the event loop. Knows nothing about queues, processes or HTTP.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Literal, NamedTuple

from handfirst.runtime.http.asking import Asked

State = Literal["waiting", "running", "succeeded", "failed", "cancelled", "timed-out"]
GOING = ("waiting", "running")
EVENTS = 512
"""Newest events of a job that are kept."""


RANDOM = 16
"""Characters of an id that nobody can guess."""


class Event(NamedTuple):
    """Something that happened to a job."""

    number: int
    """From 1 on, by one."""
    name: str
    """state, step or end."""
    data: dict[str, Any]


class Picture(NamedTuple):
    """A file of a result."""

    kind: str
    width: int
    height: int
    png: bytes


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of a job that succeeded."""

    told: dict[str, Any]
    """seed, asked, seconds, warnings."""
    pictures: Mapping[str, Picture]
    """By name, the picture itself first."""

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(len(picture.png) for picture in self.pictures.values())


@dataclass(eq=False)
class Job:
    """Begins as one that waits."""

    bundle: str
    """Name of the model."""
    number: int
    """Of the model, as the processes that paint count them."""
    client: str
    """Who asked; nobody else hears of it."""
    asked: Asked | None
    """None once it has ended: it may be large."""
    deadline: float
    """Seconds of `time.monotonic`."""
    born: str
    """Begins its id: tells one server's jobs from those of another."""

    id: str = ""
    state: State = "waiting"
    position: int = 0
    step: tuple[str, int, int] | None = None
    attempts: int = 0
    """How often it was given to a process; counted there and then, as one that dies at once says nothing."""
    created: float = field(default_factory=monotonic)
    began: float | None = None
    ended: float | None = None
    outcome: Outcome | None = None
    error: dict[str, str] | None = None
    fetched: bool = False
    """Whether somebody has got the picture."""
    key: tuple[str, str] | None = None
    """Client and Idempotency-Key."""
    _events: deque[Event] = field(default_factory=lambda: deque(maxlen=EVENTS))
    _happened: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.id = f"{self.born}{secrets.token_urlsafe(RANDOM)[:RANDOM]}"
        self._tell("state", {"state": "waiting", "position": self.position})

    @property
    def going(self) -> bool:
        """Whether it has not ended."""
        return self.state in GOING

    def move(self, position: int) -> None:
        """So many are before it now."""
        if position != self.position:
            self.position = position
            self._tell("state", {"state": "waiting", "position": position})

    def wait_again(self) -> None:
        """Whoever painted it is gone; another will begin from nothing."""
        self.state, self.step, self.began = "waiting", None, None
        self._tell("state", {"state": "waiting", "position": self.position})

    def begin(self) -> None:
        """Somebody paints it."""
        self.state, self.began = "running", monotonic()
        self._tell("state", {"state": "running", "position": None})

    def advance(self, stage: str, step: int, total: int, known: Sequence[str] = ()) -> None:
        """A step is done; `known` are names of what there is to see beside the preview."""
        self.step = (stage, step, total)
        told = {"stage": stage, "step": step, "total": total, "seconds": self.seconds["running"], "known": list(known)}
        self._tell("step", told)

    def end(self, state: State, outcome: Outcome | None = None, error: dict[str, str] | None = None) -> None:
        """Any end; only the first counts."""
        if self.going:
            self.state, self.outcome, self.error = state, outcome, error
            self.ended, self.asked = monotonic(), None
            self._tell("end", {})  # the job itself, as whoever reads it sees it

    @property
    def seconds(self) -> dict[str, float]:
        """In the queue, and under way."""
        now = monotonic() if self.ended is None else self.ended
        began = now if self.began is None else self.began
        return {"waiting": round(began - self.created, 3), "running": round(now - began, 3)}

    def describe(self) -> dict[str, Any]:
        """The job as JSON, docs/serve.md."""
        stage, step, total = self.step or (None, None, None)
        result = None
        if self.outcome is not None:
            pictures = [
                {
                    "name": name,
                    "kind": each.kind,
                    "width": each.width,
                    "height": each.height,
                    "bytes": len(each.png),
                    "href": f"/v1/jobs/{self.id}/pictures/{name}",
                }
                for name, each in self.outcome.pictures.items()
            ]
            result = {**self.outcome.told, "pictures": pictures}
        return {
            "id": self.id,
            "bundle": self.bundle,
            "state": self.state,
            "position": self.position if self.state == "waiting" else None,
            "stage": stage,
            "step": step,
            "total": total,
            "attempts": self.attempts,
            "seconds": self.seconds,
            "result": result,
            "error": self.error,
        }

    def after(self, number: int) -> list[Event]:
        """What happened after the event of that number, as far as it is kept."""
        return [event for event in self._events if event.number > number]

    async def news(self, number: int) -> list[Event]:
        """The same, once there is something."""
        while not (events := self.after(number)) and self.going:
            await self._changed.wait()
        return events

    async def over(self) -> None:
        """Waits for its end."""
        while self.going:
            await self._changed.wait()

    def _tell(self, name: str, data: dict[str, Any]) -> None:
        self._happened += 1
        self._events.append(Event(self._happened, name, data))
        self._changed.set()  # whoever waits now is woken, whoever comes later waits for the next
        self._changed = asyncio.Event()
