"""`handfirst serve`: bundles behind HTTP, docs/serve.md."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from handfirst.engines.errors import UserError
from handfirst.engines.installed import importable
from handfirst.runtime.cli import options

PORT = 8700
NEEDS = ("fastapi", "uvicorn", "prometheus_client")


def serve(
    bundles: Annotated[
        list[Path] | None, typer.Argument(help="Folders of models.", show_default="the embedded one", metavar="BUNDLE")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.", metavar="ADDRESS")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 picks a free one.", metavar="PORT")] = PORT,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Processes that paint.", metavar="N")] = 1,
    jobs: Annotated[
        int, typer.Option(min=1, max=256, help="Pictures that each of them paints at a time.", metavar="N")
    ] = 1,
    limit: Annotated[
        list[str] | None,
        typer.Option(help="Another limit, such as waiting=16 or steps=50; repeatable.", metavar="NAME=N"),
    ] = None,
    tokens: Annotated[
        Path | None,
        typer.Option(help="File of bearer tokens, a line each; $HANDFIRST_TOKENS holds more.", metavar="FILE"),
    ] = None,
    without_tokens: Annotated[
        bool, typer.Option("--without-tokens", help="Let anybody in who reaches an address beyond this machine.")
    ] = False,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Name by which callers know the server; repeatable.", metavar="NAME")
    ] = None,
    cors: Annotated[
        list[str] | None, typer.Option(help="Origin of pages that may use it; repeatable.", metavar="ORIGIN")
    ] = None,
    grace: Annotated[
        float, typer.Option(min=0, max=3600, help="Seconds in which jobs may end after SIGTERM.", metavar="S")
    ] = 30.0,
    engine: options.Engine = "auto",
    threads: options.Threads = None,
    low_memory: options.LowMemory = False,
) -> None:
    """Serve models over HTTP, with a page to try them on."""
    if missing := [name for name in NEEDS if not importable(name)]:
        raise UserError(f"'handfirst serve' needs {missing[0]}; run: pip install 'handfirst[serve]'")
    from handfirst.runtime.http.doors import Doors, hosts_of, is_loopback, read_tokens
    from handfirst.runtime.http.limits import read_limits
    from handfirst.runtime.http.run import Plan, listen, run
    from handfirst.runtime.http.served import open_bundles, openings_of, served_of, works_of

    keys = read_tokens(tokens)
    if not keys and not without_tokens and not is_loopback(host):
        raise UserError(f"--host {host}: others reach it; give --tokens FILE, or say --without-tokens")
    if bad := [origin for origin in cors or () if "://" not in origin or origin.count("/") != 2]:
        raise UserError(f"--cors: expected an origin such as https://example.org, got {bad[0][:60]!a}")
    opened = open_bundles(bundles or [])
    served = served_of(opened)
    plan = Plan(
        served,
        openings_of(opened, engine, threads, options.resident(low_memory)),
        read_limits(limit or (), works_of(served)),
        Doors(hosts_of(host, allow_host or ()), keys, tuple(cors or ())),
        workers,
        jobs,
        grace,
    )
    with listen(host, port) as listener:
        shown = f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{listener.getsockname()[1]}"
        names = ", ".join(each.name for each in served)
        run(plan, listener, lambda: print(f"{names} on {address}", file=sys.stderr, flush=True))
