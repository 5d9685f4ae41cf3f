"""Who gets in: the Host header, the origin of a page, tokens. In front of everything else.

A page of any site may make a browser send requests to localhost, and a name of its own may lead there (DNS rebinding):
so a server that is bound to localhost answers to localhost's names alone, and a page of another origin may ask for
nothing that changes anything. Knows nothing about jobs.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from handfirst.engines.errors import UserError
from handfirst.runtime.http.refused import RefusedError

VARIABLE = "HANDFIRST_TOKENS"
SHORTEST = 16
LOCAL = ("localhost", "127.0.0.1", "[::1]")
SAFE = ("GET", "HEAD", "OPTIONS")
GUARDED = ("/v1/", "/metrics")
"""Where a token is asked for: not for the page's files, nor for whoever looks whether the server lives."""


@dataclass(frozen=True)
class Doors:
    """What is asked of who comes."""

    hosts: tuple[str, ...] = LOCAL
    """Names in the Host header, without the port; none: any."""
    tokens: tuple[str, ...] = ()
    """One of them must come with a request; none: nothing is asked."""
    origins: tuple[str, ...] = ()
    """Pages elsewhere that may use the server (CORS)."""


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what is bound to such an address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def read_tokens(path: Path | None, environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Tokens from a file and from $HANDFIRST_TOKENS, with white space between them.

    Raises:
        UserError: one that is short or holds other characters; a file without any.
    """
    texts = {} if path is None else {f"'{path}'": _text(path)}
    texts[f"${VARIABLE}"] = environment.get(VARIABLE, "")
    found: list[str] = []
    for place, text in texts.items():
        tokens = text.split()
        if not tokens and place != f"${VARIABLE}":
            raise UserError(f"{place}: expected a token on every line, found none")
        for number, token in enumerate(tokens, 1):
            if len(token) < SHORTEST or not (token.isascii() and token.isprintable()):
                raise UserError(
                    f"{place}: token {number}: expected {SHORTEST} or more ASCII characters; "
                    "python -c 'import secrets; print(secrets.token_urlsafe())' makes one"
                )
        found += tokens
    return tuple(dict.fromkeys(found))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UserError(f"'{path}': expected tokens in ASCII, got other bytes") from None


class Guard:
    """ASGI: lets in, or refuses; `scope["client_name"]` tells one client from another from here on."""

    def __init__(self, app: ASGIApp, doors: Doors) -> None:
        self._app, self._doors = app, doors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "http":
            try:
                self._check(scope)
            except RefusedError as refused:
                extra = {"WWW-Authenticate": "Bearer"} if refused.status == 401 else None
                await refused.answer(extra)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self._doors.hosts and _name(host) not in self._doors.hosts:
            raise RefusedError(
                421, "host", f"Host: expected {' or '.join(self._doors.hosts)}, got another name; --allow-host adds one"
            )
        origin = headers.get("origin")
        if origin is not None and scope["method"] not in SAFE and not self._own(origin, host):
            raise RefusedError(403, "origin", "Origin: a page of another origin may not do this; --cors lets one in")
        scope["client_name"] = (scope.get("client") or ("", 0))[0]
        asks = self._doors.tokens and scope["method"] != "OPTIONS"
        if asks and scope["path"].startswith(GUARDED):
            scope["client_name"] = _who(headers.get("authorization", ""), self._doors.tokens)

    def _own(self, origin: str, host: str) -> bool:
        return origin in self._doors.origins or urlsplit(origin).netloc == host


def _name(host: str) -> str:
    """A host without its port."""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() and (not name.count(":") or name.endswith("]")) else host).lower()


def _who(authorization: str, tokens: Sequence[str]) -> str:
    """A client by its token. Every token is compared, each in the same time, wherever it differs.

    Raises:
        RefusedError: none of them.
    """
    scheme, _, given = authorization.partition(" ")
    candidate = given.strip().encode("utf-8", "replace") if scheme.lower() == "bearer" else b""
    right = [token for token in tokens if hmac.compare_digest(candidate, token.encode())]
    if not right:
        raise RefusedError(401, "unauthorized", "Authorization: expected 'Bearer TOKEN' with a token of this server")
    return hashlib.sha256(right[0].encode()).hexdigest()[:16]


def hosts_of(bound: str, allowed: Collection[str]) -> tuple[str, ...]:
    """Names that a server answers to: those of localhost where it is bound there, and those that are allowed.

    Bound elsewhere, and with none allowed, it answers to any, as nobody knows what it is called there.
    """
    return tuple(dict.fromkeys((*(LOCAL if is_loopback(bound) or allowed else ()), *(a.lower() for a in allowed))))
