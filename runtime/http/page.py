"""The page: the files of the folder beside this one, at the root. No build step, nothing from elsewhere.

The policy that goes with every file allows scripts and styles of this server alone, none inline, and no frames around
it. Knows nothing about jobs.
"""

from __future__ import annotations

import re
from importlib.resources import files

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "ico": "image/x-icon",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "png": "image/png",
    "svg": "image/svg+xml",
}
"""By the ending of a file's name; no other file is given."""
_NAME = re.compile(rf"[a-z0-9][a-z0-9_-]*\.({'|'.join(TYPES)})", re.ASCII)
"""A flat name, so that nothing can point outside of the folder."""

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


def page_file(request: Request) -> Response:
    """A file of the page; index.html without a name."""
    name = request.path_params.get("name", "index.html")
    found = _NAME.fullmatch(name)
    file = files("handfirst.runtime.http") / "page" / name
    if found is None or not file.is_file():
        raise HTTPException(404)
    return Response(file.read_bytes(), media_type=TYPES[found[1]], headers=HEADERS)


ROUTES = [Route("/", page_file), Route("/{name}", page_file)]
"""Last of all routes: what stands before them is no file."""
