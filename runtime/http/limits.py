"""What a server takes at most. Knows nothing about HTTP."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from handfirst.engines.errors import UserError
from handfirst.runtime.errors import RequestError

MOST = 1 << 40
_NUMBER = re.compile("[0-9]+")


@dataclass(frozen=True)
class Limits:
    """Whole numbers from 1 on; what goes beyond is refused in one line."""

    body: int = 8 << 20
    """Bytes of a request's body."""
    numbers: int = 50_000
    """Numbers and words in what lies in a file; 133 key points are 399."""
    text: int = 2_000
    """Characters of a text, such as a prompt."""
    side: int = 2_048
    """Pixels of a picture's side that a request may choose; a model's own size is its owner's choice."""
    work: Mapping[str, int] = field(default_factory=lambda: {"people": 8, "steps": 200})
    """What the system's `work` says of a request, by its names; a name that it does not say limits nothing."""
    waiting: int = 64
    """Jobs that wait, beside those that are painted; their bodies are in memory."""
    per_client: int = 32
    """Jobs of one client that wait or are painted."""
    seconds: int = 600
    """Until a job must be done, the queue included."""
    keep_seconds: int = 900
    """For which a job is known after its end."""
    keep_bytes: int = 256 << 20
    """Of all results."""
    streams: int = 256
    """Readers of events at a time."""

    def check_work(self, work: Mapping[str, Any]) -> None:
        """Raises a RequestError where a request is more work than may be asked for."""
        for name, most in self.work.items():
            if work.get(name) is not None and work[name] > most:
                raise RequestError(f"{name}: this server takes at most {most}, got {work[name]}")

    def check_fields(self, values: Mapping[str, object]) -> None:
        """Raises a RequestError where a text among the fields is too long, or the canvas too large."""
        for side in _NUMBER.findall(str(values.get("canvas", ""))):
            if int(side[:9]) > self.side:
                raise RequestError(f"canvas: this server takes at most {self.side} pixels a side, got {side[:9]}")
        for name, value in values.items():
            if isinstance(value, str) and len(value) > self.text:
                raise RequestError(f"{name}: this server takes at most {self.text} characters, got {len(value)}")

    def check_numbers(self, name: str, content: object) -> None:
        """Raises a RequestError where what lies in a file holds too much. Without recursion: it may be deep."""
        rest, found = [content], 0
        while rest:
            each = rest.pop()
            if isinstance(each, dict | list):
                rest.extend(each.values() if isinstance(each, dict) else each)
                found += isinstance(each, dict) and len(each)
            else:
                found += 1
            if found + len(rest) > self.numbers:
                raise RequestError(f"{name}: this server takes at most {self.numbers} numbers in a file, got more")


def read_limits(said: Sequence[str], works: Sequence[str]) -> Limits:
    """Limits from NAME=N, names of `Limits` or of the systems' work.

    Args:
        works: what the systems that are served say of a request's work.

    Raises:
        UserError: no such limit, or no number for it.
    """
    limits = Limits()
    own = [each.name for each in fields(Limits) if each.name != "work"]
    for text in said:
        name, equals, value = text.partition("=")
        if not equals or not value.isascii() or not value.isdigit() or not 1 <= int(value[:16]) <= MOST:
            raise UserError(f"--limit: expected NAME=N, a whole number from 1 on, got {text[:60]!a}")
        if name in own:
            limits = replace(limits, **{name: int(value)})  # type: ignore[arg-type]
        elif name in works:
            limits = replace(limits, work={**limits.work, name: int(value)})
        else:
            raise UserError(f"--limit {name[:40]!a}: expected one of {', '.join((*own, *works))}")
    return limits
