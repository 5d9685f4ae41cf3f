"""`handfirst verify`: whether a bundle is whole and computes here what it computed where it was made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from handfirst.engines.errors import UserError
from handfirst.runtime.cli import options, output
from handfirst.runtime.cli.pipeline import short_id


def verify(
    bundle: Annotated[
        Path | None, typer.Argument(help="Folder of the bundle.", show_default="the embedded one")
    ] = None,
    engine: options.Engine = "auto",
    threads: options.Threads = None,
    json: options.Json = False,
) -> None:
    """Check a bundle: hashes, versions, and its golden tensors on this machine."""
    from handfirst.engines.bundle import Bundle, demo_bundle_path
    from handfirst.engines.verify import verify as run_checks

    path = bundle or demo_bundle_path()
    opened = Bundle.open(path, verify=False)
    checks = list(run_checks(opened, engine, threads))
    failed = [check.name for check in checks if not check.ok]
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
        raise UserError(f"{len(failed)} of {len(checks)} checks failed ({', '.join(failed)}); fetch the bundle again")
