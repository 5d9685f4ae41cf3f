"""What all endpoints share: bodies are read, jobs are made of them. Knows HTTP's requests, and no endpoint."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from starlette.requests import ClientDisconnect, Request

from handfirst.engines.errors import UserError
from handfirst.runtime.batch.records import strict_json
from handfirst.runtime.http.asking import Asked, asked_of, check_fit, request_of
from handfirst.runtime.http.crew import Crew
from handfirst.runtime.http.desk import Desk
from handfirst.runtime.http.job import Job
from handfirst.runtime.http.limits import Limits
from handfirst.runtime.http.metrics import ServerMetrics
from handfirst.runtime.http.refused import RefusedError, invalid
from handfirst.runtime.http.served import LEAST_DIGEST, Served

BODY_S = 30.0
"""For a body to come."""
LONGEST_KEY = 200


@dataclass(eq=False)
class Service:
    """A server's parts."""

    served: Sequence[Served]
    limits: Limits
    desk: Desk
    crew: Crew
    metrics: ServerMetrics
    streams: int = 0
    """Readers of events now."""

    async def body(self, request: Request) -> tuple[dict[str, Any], str]:
        """The object in a request's body, and the digest of its bytes.

        Raises:
            RefusedError: another type, too long, too slow, no JSON, no object.
        """
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise RefusedError(415, "content-type", "Content-Type: expected application/json")
        data = await self._bytes(request)
        try:
            found = strict_json(data)
        except ValueError as error:
            raise RefusedError(400, "malformed", str(error)) from None
        if not isinstance(found, dict):
            raise RefusedError(400, "malformed", f"expected a JSON object, got {type(found).__name__}")
        return found, hashlib.sha256(data).hexdigest()

    async def _bytes(self, request: Request) -> bytes:
        too_large = RefusedError(413, "too-large", f"the body: expected at most {self.limits.body} bytes, got more")
        length = request.headers.get("content-length", "")
        if length.isdigit() and int(length[:18]) > self.limits.body:
            raise too_large
        data = bytearray()
        try:
            async with asyncio.timeout(BODY_S):
                async for piece in request.stream():
                    data += piece
                    if len(data) > self.limits.body:
                        raise too_large
        except TimeoutError:
            raise RefusedError(408, "slow", f"the body did not come within {BODY_S:g} s") from None
        except ClientDisconnect:
            raise RefusedError(400, "malformed", "the body ended before its end") from None
        return bytes(data)

    def model(self, said: object) -> int:
        """The number of the model that a body names.

        Raises:
            RefusedError: it names none, or none that is here.
        """
        names = ", ".join(each.name for each in self.served)
        if said is None and len(self.served) == 1:
            return 0
        for number, each in enumerate(self.served):
            if isinstance(said, str) and (
                said == each.name or (len(said) >= LEAST_DIGEST and each.digest.startswith(said))
            ):
                return number
        got = "none" if said is None else f"{said!a:.60}"
        raise invalid(f"bundle: expected one of {names}, or a digest, got {got}", ("bundle",))

    async def asked(self, number: int, said: object, example: bool, result_only: bool = False) -> Asked:
        """What a job asks of a model, as far as it can be told here; a thread looks at it.

        Raises:
            RefusedError: it makes no sense to that model, or is too much.
        """
        served = self.served[number]
        kind = served.told.JOBS
        try:
            asked = asked_of(kind, said, example, self.limits)
            if asked.whole:
                await asyncio.to_thread(self._try, served, asked)
        except UserError as error:
            raise invalid(str(error), kind.names) from None
        return replace(asked, result_only=result_only)

    def _try(self, served: Served, asked: Asked) -> None:
        check_fit(served.told, served.settings, request_of(served.told, asked), self.limits)

    def accept(self, number: int, asked: Sequence[Asked], client: str, seconds: float | None = None) -> list[Job]:
        """Jobs of one model that wait from now on; see `Desk.accept`.

        Raises:
            RefusedError: they cannot be taken now.
        """
        if self.crew.facts is None and not self.desk.ending:
            raise RefusedError(503, "not-ready", "the models are not open yet; ask again in a moment", retry=2)
        return self.desk.accept(self.served[number].name, number, asked, client, seconds)

    def seconds(self, said: object) -> float | None:
        """A job's time.

        Raises:
            RefusedError: it is none.
        """
        if said is None:
            return None
        if isinstance(said, bool) or not isinstance(said, int | float) or not 0 < said <= self.limits.seconds:
            raise invalid(
                f"timeout: expected seconds above 0, at most {self.limits.seconds}, got {said!a:.60}", ("timeout",)
            )
        return float(said)

    def key(self, request: Request) -> tuple[str, str] | None:
        """Client and Idempotency-Key.

        Raises:
            RefusedError: it is no such key.
        """
        said = request.headers.get("idempotency-key")
        if said is None:
            return None
        if not 1 <= len(said) <= LONGEST_KEY or not said.isascii() or not said.isprintable():
            raise invalid(f"Idempotency-Key: expected 1 to {LONGEST_KEY} printable ASCII characters")
        return client_of(request), said


def client_of(request: Request) -> str:
    """Who asks, as the doors have found out."""
    return cast(str, request.scope.get("client_name", ""))


def only(body: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """A body without its nulls.

    Raises:
        RefusedError: it holds a name that means nothing here.
    """
    said = {name: value for name, value in body.items() if value is not None}
    if unknown := [name for name in said if name not in names]:
        raise invalid(f"{unknown[0][:60]!a}: no such field here; expected one of {', '.join(names)}")
    return said
