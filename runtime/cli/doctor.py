"""`handfirst doctor`: what is installed, what works here, and one thing to do for each problem.

Exit codes: 0 a picture can be painted without any option, 1 it cannot. Other problems are named and change nothing.
"""

from __future__ import annotations

from dataclasses import asdict

import typer

from handfirst.runtime.cli import options, output

EXIT_DEFAULT_FAILS = 1


def doctor(json: options.Json = False) -> None:
    """Look at this machine: engines, hardware, cache, the embedded model."""
    from handfirst.runtime.doctor import default_works, examine
    from handfirst.runtime.profile.machine import machine

    found = list(examine())
    works = default_works(found)
    if json:
        output.print_json({"ok": works, "findings": [asdict(each) for each in found], "machine": machine()})
    else:
        output.print_table("", ("part", "", "what was found"), [(each.part, each.state, each.detail) for each in found])
        problems = [each for each in found if each.state == "problem"]
        for remedy in dict.fromkeys(each.remedy for each in problems):
            parts = ", ".join(each.part for each in problems if each.remedy == remedy)
            print(output.one_line(f"to do ({parts}): {remedy}"))
        print("`handfirst demo` works here" if works else "`handfirst demo` does not work here")
    if not works:
        raise typer.Exit(EXIT_DEFAULT_FAILS)
