"""`handfirst verify`: whether a bundle is whole and computes here what it computed where it was made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from handfirst.engines.errors import UserError
from handfirst.runtime.cli import options, output
from handfirst.runtime.cli.bars import Bars
from handfirst.runtime.cli.pipeline import short_id


def verify(
    bundle: Annotated[
        Path | None, typer.Argument(help="Folder of the bundle.", show_default="the embedded one")
    ] = None,
    engine: options.Engine = "auto",
    threads: options.Threads = None,
    isolated: Annotated[
        bool, typer.Option("--isolated", help="In a process of its own, with limits: for bundles of others.")
    ] = False,
    seconds: Annotated[float, typer.Option(min=1, max=86400, help="Time of --isolated.", metavar="N")] = 600.0,
    memory: Annotated[str, typer.Option(help="Memory of --isolated, such as 16GB.", metavar="SIZE")] = "16GiB",
    json: options.Json = False,
) -> None:
    """Check a bundle: hashes, versions, and its golden tensors on this machine."""
    from handfirst.engines.bundle import Bundle, demo_bundle_path
    from handfirst.engines.verify import verify as run_checks

    path = bundle or demo_bundle_path()
    opened = Bundle.open(path, verify=False)
    if isolated:
        from handfirst.runtime.cli.cache import parse_bytes
        from handfirst.runtime.isolated import MEMORY, verify_isolated

        checks = verify_isolated(path, engine, threads, seconds, parse_bytes(memory, "--memory") or MEMORY)
    else:
        with Bars(options.show_progress(None, json)):
            checks = list(run_checks(opened, engine, threads))
    failed = [check.name for check in checks if not check.ok]
    blameless = all(check.ok or check.of_engine for check in checks)
    if json:
        output.print_json(
            {
                "bundle": {"name": opened.manifest.name, "id": short_id(opened), "path": str(path)},
                "ok": not failed,
                "checks": [
                    {"name": check.name, "ok": check.ok, "detail": check.detail, "psnr": output.finite(check.psnr)}
                    for check in checks
                ],
            }
        )
    else:
        output.print_table(
            f"{opened.manifest.name} {short_id(opened)}",
            ("check", "", "what was found"),
            [(check.name, "ok" if check.ok else "FAILED", check.detail) for check in checks],
        )
    if failed:
        remedy = "the engine does not run them here: see its lines" if blameless else "fetch the bundle again"
        raise UserError(f"{len(failed)} of {len(checks)} checks failed ({', '.join(failed)}); {remedy}")
