"""`handfirst cache`: what was compiled for this machine, listed and thrown away."""

from __future__ import annotations

import re
from datetime import datetime
from math import isfinite
from typing import TYPE_CHECKING, Annotated, Any

import typer

from handfirst.engines.errors import UserError
from handfirst.runtime.cli import options, output

if TYPE_CHECKING:
    from handfirst.engines.cache import EngineCache, Entry

UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}

app = typer.Typer(
    help="List and prune what was compiled for this machine.", no_args_is_help=True, rich_markup_mode=None
)


@app.command("list")
def list_entries(json: options.Json = False) -> None:
    """List what was compiled, the latest used first."""
    from handfirst.engines.cache import EngineCache

    cache = EngineCache()
    _report(cache, cache.entries(), json, "in")


@app.command()
def prune(
    max_size: Annotated[
        str | None, typer.Option(help="Keep that much of the latest used, such as 2GB.", metavar="SIZE")
    ] = None,
    older_than: Annotated[
        float | None, typer.Option(min=0, help="Remove only what was not used for so long.", metavar="DAYS")
    ] = None,
    json: options.Json = False,
) -> None:
    """Remove what was compiled: all of it, or what the limits leave no room for."""
    from handfirst.engines.cache import EngineCache

    if older_than is not None and not isfinite(older_than):
        raise UserError(f"--older-than: expected a number of days, got {older_than}")
    cache = EngineCache()
    _report(cache, cache.prune(parse_bytes(max_size), older_than), json, "removed from")


def parse_bytes(text: str | None, option: str = "--max-size") -> int | None:
    """ "2GB" -> 2000000000, "1.5 GiB", "800M", "123".

    Raises:
        UserError: anything else.
    """
    if text is None:
        return None
    match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*([KMGT]I?)?B?", text.strip(), re.ASCII | re.IGNORECASE)
    if match is None:
        raise UserError(f"{option}: expected a size such as 500MB or 2GB, got '{text}'")
    return int(float(match[1]) * UNITS[(match[2] or "").upper()])


def _report(cache: EngineCache, entries: list[Entry], json: bool, where: str) -> None:
    total = sum(entry.size for entry in entries)
    if json:
        output.print_json(
            {"path": str(cache.folder), "bytes": total, "entries": [_describe(entry) for entry in entries]}
        )
        return
    if entries:
        rows = [
            (e.key.graph[:12], e.key.library.partition("-")[0], e.key.options, f"{e.size / 1e6:.1f} MB", _day(e))
            for e in entries
        ]
        output.print_table("", ("graph", "library", "options", "size", "last use"), rows)
    print(f"{len(entries)} graphs, {total / 1e6:.0f} MB {where} {cache.folder}")


def _describe(entry: Entry) -> dict[str, Any]:
    return {
        "path": str(entry.path),
        "bytes": entry.size,
        "used": moment.isoformat(timespec="seconds") if (moment := _moment(entry)) else None,
        "key": vars(entry.key),
    }


def _day(entry: Entry) -> str:
    moment = _moment(entry)
    return moment.strftime("%Y-%m-%d %H:%M") if moment else "?"


def _moment(entry: Entry) -> datetime | None:
    """None where the file's time is in no year that a calendar has."""
    try:
        return datetime.fromtimestamp(entry.used).astimezone()
    except (ValueError, OverflowError, OSError):
        return None
