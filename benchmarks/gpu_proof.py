"""An NVIDIA GPU against torch and NumPy on the same machine: is every part right, and how fast is it?

    pip install -e '.[export,cuda]' matplotlib
    python benchmarks/gpu_proof.py                          # full size -> benchmarks/results/gpu-<name>.json and .png
    python benchmarks/gpu_proof.py --device cpu --tiny      # tries the script itself, without a GPU, in some minutes

Three parts (--parts), of which each adds rows of its own to one JSON, under the GPU's name:
    kernel  the step kernel against the NumPy loop over random tables: values equal to the last bit, the worst one's ulp
    jobs    whole two-stage pictures, 1, 4 and 8 at once, with every engine: the loop on the GPU against the NumPy loop
            (latents, pixels, milliseconds of a job and of a step, what the host asked of CUDA), and torch's own loop,
            eager and compiled (max-autotune)
    graphs  each graph in each precision, exported from random weights in Stable Diffusion 1.5's sizes (or taken from a
            bundle: --bundle), against torch in float32 with TF32 off; torch eager and compiled race with it

One command ends within nine minutes, whatever a library does. Every graph, and every kind of job, runs in a process of
its own: one that says nothing for four minutes (--patience), or crashes, is ended and becomes a row that says so, and
the others of its kind go on. Nothing new is begun after seven minutes (--minutes), and what is under way a minute and a
half later is ended. What is left is the next command's: a row that is there is not measured again (--again does,
--again-cut-off those that were cut off), and every row is written as soon as it is known. So the same line is called
until it says that nothing is left. TensorRT tells how far its builds are, and they are kept; torch.compile keeps what
it has tuned, so that a second attempt gets further. `--hang NAME` tries the cutting off: that contestant hangs.

Graphs of half precision are written as `handfirst export --opset 23` writes them for GPUs; `--form plain` measures the
others, in rows of their own. `--graphs DIR` keeps exported graphs for the next command, if that
runs on the same disk (about 6 GB in float16). Where commands may take ten minutes and no package index is at hand:

    carry   the working tree, and the wheels that are missing there, in pieces of at most 64 MiB (benchmarks/README.md)
    run     python benchmarks/gpu_proof.py --parts kernel jobs --graphs graphs --name h200 --out $OUT
    bring   gpu-h200.json (under 1 MB) and the .png; give the .json back in --out of the next command: it goes on there

The figures do not depend on what the weights know. Exit code 2: no GPU, or arguments that make no sense. Has not run on
a GPU yet; without one, what needs it is named in its row as skipped.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from proof_options import FORMS, PARTS, Item, complaint, read_options, with_fields
from proof_report import add, key, path_of, read_report, write
from proof_watch import CUT_OFF, teller, watched

STARTED = time.monotonic()
LEEWAY = 90.0
"""Seconds after --minutes that what was begun before has to end."""

Keys = set[tuple[Any, ...]]
"""Of rows that are there already."""


def main() -> int:
    """Runs the proof; returns the exit code."""
    options = read_options(__doc__)
    if why := complaint(options):
        print(why, file=sys.stderr)
        return 2
    if options.item:
        _measure(options)
        return 0
    report = read_report(options)
    if report is None:
        print(f"{path_of(options)} holds another machine's results; give another --name", file=sys.stderr)
        return 2
    seen = {part: [key(part, row) for row in report[part] if _stays(row, options)] for part in PARTS}

    def hear(part: str, row: dict[str, Any]) -> None:
        print(f"{part}: {row}", flush=True)
        seen[part].append(key(part, row))
        add(report, part, row)
        write(report, path_of(options))

    broken = None
    for item in _items(options):
        if time.monotonic() < _deadline(options):
            broken = _run(item, options, seen, hear) or broken
    late = time.monotonic() > _deadline(options)
    print(
        "the time is up; the same command goes on from here" if late else "nothing is left of these parts", flush=True
    )
    print(f"{path_of(options)}: {sum(len(report[part]) for part in PARTS)} rows")
    if broken is not None:
        print(broken, file=sys.stderr)
    return 0 if broken is None else 1


def _stays(row: dict[str, Any], options: argparse.Namespace) -> bool:
    """Whether it is not measured again."""
    cut_off = str(row.get("refused", "")).startswith(CUT_OFF)
    return not options.again and not (options.again_cut_off and cut_off)


def _deadline(options: argparse.Namespace) -> float:
    """time.monotonic() after which nothing is begun."""
    return float(STARTED + 60 * options.minutes)


def _items(options: argparse.Namespace) -> list[Item]:
    from proof_jobs import contestants
    from proof_model import ROLES

    names = {
        "kernel": [""],
        "jobs": contestants(_rules(options, {})) if "jobs" in options.parts else [],
        "graphs": options.roles or ROLES,
    }
    return [Item(part, name) for part in options.parts for name in names[part]]


def _run(
    item: Item, options: argparse.Namespace, seen: dict[str, list[Any]], hear: Callable[[str, dict[str, Any]], None]
) -> str | None:
    """Runs an item again and again, until nothing of it hangs or crashes; why it cannot be run at all, if so."""

    def heard(row: dict[str, Any]) -> None:
        hear(item.part, row)

    if options.one_process:
        _measure(with_fields(options, item=item, seen=seen), lambda message: heard(message["row"]))
        return None
    while (left := _deadline(options) - time.monotonic()) > 0:
        with tempfile.TemporaryDirectory(prefix="handfirst-proof-") as folder:
            done = Path(folder) / "seen.json"
            done.write_text(json.dumps(seen))
            command = [sys.executable, __file__, *sys.argv[1:], "--item", str(item), "--seen", str(done)]
            command += ["--minutes", str(left / 60)]
            end = watched(command, 60 * options.patience, _deadline(options) + LEEWAY, heard)
        if end.late and left > 0.8 * 60 * options.minutes and end.begun is not None:
            heard(end.begun | {"refused": f"{CUT_OFF} with the command, most of which it had"})  # no command has more
        if end.failed is None:
            return None
        if end.begun is None or key(item.part, end.begun) in seen[item.part]:
            return f"{item}: {end.failed}, and nothing was under way that could be left out"
        heard(end.begun | {"refused": end.failed})
    return None


def _measure(options: argparse.Namespace, tell: Callable[[dict[str, Any]], None] | None = None) -> None:
    """One item, here and now."""
    from proof_model import honest_float32

    from handfirst.engines.building import listening

    honest_float32()
    item = options.item
    told = tell or teller(options.tell)
    seen = options.seen if isinstance(options.seen, dict) else json.loads(options.seen.read_text())
    keys = {part: {tuple(key) for key in rows} for part, rows in seen.items()}
    rules = _rules(options, keys)
    if tell is None:
        rules = replace(rules, begin=lambda heading: told({"begin": heading}))
    makes = {"kernel": _kernel, "jobs": _jobs, "graphs": _graphs}
    with listening(lambda role, share: told({"compiling": role, "share": share}) if tell is None else None):
        for row in makes[item.part](with_fields(options, roles=[item.name]), rules, keys[item.part]):
            told({"row": row})


def _rules(options: argparse.Namespace, keys: dict[str, Keys]) -> Any:
    from proof_race import Rules

    return Rules(
        options.device, options.rounds, options.compile_backend, options.compile_mode, not options.no_compile,
        options.nhwc, _deadline(options), keys.get("graphs", set()), options.form, hang=options.hang,
    )  # fmt: skip


def _kernel(options: argparse.Namespace, rules: Any, there: Keys) -> Iterator[dict[str, Any]]:
    """The step kernel: one row."""
    from proof_kernel import TABLES, kernel_row
    from proof_race import refusal

    if there:
        return
    heading: dict[str, Any] = {"where": "GPU" if options.device == "cuda" else "its source compiled for the processor"}
    rules.begin(heading)
    if options.device == "cpu" and not (shutil.which("g++") or shutil.which("clang++")):
        yield heading | {"skipped": "no GPU and no C++ compiler"}
        return
    try:
        yield heading | kernel_row(options.device, tables=TABLES, side=8 if options.tiny else 64)
    except Exception as error:  # whatever a library raises is a finding
        yield heading | refusal(error)


def _jobs(options: argparse.Namespace, rules: Any, there: Keys) -> Iterator[dict[str, Any]]:
    """Whole pictures."""
    from proof_jobs import Jobs, job_rows

    store = _store(options)
    jobs = Jobs(
        store, store.model.tokenizer(), options.job_precision, tuple(options.batches), options.steps, options.job_rounds
    )
    yield from job_rows(jobs, rules, lambda row: key("jobs", row) in there, options.item.name)


def _graphs(options: argparse.Namespace, rules: Any, there: Keys) -> Iterator[dict[str, Any]]:
    """One graph at a time."""
    from proof_model import free_memory
    from proof_race import race

    for subject in _subjects(options, rules):
        print(f"{subject.role} in {subject.precision} ...", flush=True)
        yield from race(subject, rules)
        del subject
        free_memory()
        if time.monotonic() > rules.deadline:
            return


def _store(options: argparse.Namespace) -> Any:
    """The graphs of a model with random weights."""
    from proof_model import RandomModel, Store, TinyModel

    size = "tiny" if options.tiny else "full"
    folder = options.graphs / size if options.graphs else None
    return Store(TinyModel() if options.tiny else RandomModel(options.device), folder, FORMS[options.form])


EXPORT = "the export itself"
"""What a row is about that says how an export hung or crashed."""


def _subjects(options: argparse.Namespace, rules: Any) -> Iterator[Any]:
    """One graph at a time, of those that somebody has not run yet; nothing here holds on to one."""
    from proof_model import ROLES, exported, from_bundle
    from proof_race import contestants

    from handfirst.engines.bundle import Bundle

    names = contestants(rules)
    for role in options.roles or ROLES:
        if options.bundle:
            yield from_bundle(Bundle.open(options.bundle), role, options.model)
            continue
        left = [
            precision
            for precision in options.precisions
            if (role, precision, options.form, EXPORT, options.batch) not in rules.done  # it hung or crashed
            and any((role, precision, options.form, name, options.batch) not in rules.done for name in names)
        ]
        if left:
            heading = {"role": role, "form": options.form, "contestant": EXPORT, "batch": options.batch}

            def begin(precision: str, heading: dict[str, Any] = heading) -> None:
                rules.begin({**heading, "precision": precision})

            yield from exported(_store(options), role, left, options.batch, options.device, begin)


if __name__ == "__main__":
    sys.exit(main())
