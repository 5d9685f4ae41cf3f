"""How a request is refused: a status, a code and one line, in one shape. Knows nothing about what was asked."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from starlette.responses import Response

_FIELD = re.compile(r"([a-z_]+): ")


class Answer(Response):
    """JSON in ASCII, whatever is in it: half of a surrogate pair is no UTF-8."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """See Response."""
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


class RefusedError(Exception):
    """A request that is not carried out.

    Args:
        status: HTTP's.
        code: for programs, docs/serve.md.
        message: for people, one line.
        field: whose fault it is, where it is one field's.
        retry: seconds after which it may be tried again.
    """

    def __init__(
        self, status: int, code: str, message: str, field: str | None = None, retry: int | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.field, self.retry = status, code, message, field, retry

    def answer(self, headers: Mapping[str, str] | None = None) -> Answer:
        """What is sent."""
        error = {"code": self.code, "message": self.message}
        if self.field is not None:
            error["field"] = self.field
        more = {} if self.retry is None else {"Retry-After": str(self.retry)}
        return Answer({"error": error}, self.status, {"Cache-Control": "no-store", **more, **(headers or {})})


def invalid(message: str, fields: Collection[str] = ()) -> RefusedError:
    """A 422; the field is the one that the message begins with, if it is one of `fields`."""
    line = " ".join(message.split())
    found = _FIELD.match(line)
    return RefusedError(422, "invalid", line, found[1] if found and found[1] in fields else None)
