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
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from proof_watch import CUT_OFF, teller, watched

RESULTS = Path(__file__).parent / "results"
LIBRARIES = (
    "torch", "triton", "diffusers", "transformers", "onnx", "onnxscript", "onnxruntime", "onnxruntime-gpu", "tensorrt",
    "numpy",
)  # fmt: skip
PRECISIONS = ("float32", "float16", "bfloat16")
PARTS = ("kernel", "jobs", "graphs")


STARTED = time.monotonic()
LEEWAY = 90.0
"""Seconds after --minutes that what was begun before has to end."""

Keys = set[tuple[Any, ...]]
"""Of rows that are there already."""

FORMS = {"plain": None, "opset 23": 23}


@dataclass(frozen=True)
class Item:
    """What is measured in a process of its own: the kernel, a contestant's jobs, or a role's graphs."""

    part: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.part}:{self.name}"


def main() -> int:
    """Runs the proof; returns the exit code."""
    options = _options()
    if complaint := _complaint(options):
        print(complaint, file=sys.stderr)
        return 2
    if options.item:
        _measure(options)
        return 0
    report = _report(options)
    if report is None:
        print(f"{_out(options)} holds another machine's results; give another --name", file=sys.stderr)
        return 2
    seen = {part: [_key(part, row) for row in report[part] if _stays(row, options)] for part in PARTS}

    def hear(part: str, row: dict[str, Any]) -> None:
        print(f"{part}: {row}", flush=True)
        seen[part].append(_key(part, row))
        _add(report, part, row)
        _write(report, _out(options))

    broken = None
    for item in _items(options):
        if time.monotonic() < _deadline(options):
            broken = _run(item, options, seen, hear) or broken
    late = time.monotonic() > _deadline(options)
    print(
        "the time is up; the same command goes on from here" if late else "nothing is left of these parts", flush=True
    )
    print(f"{_out(options)}: {sum(len(report[part]) for part in PARTS)} rows")
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
        _measure(replace_options(options, item=item, seen=seen), lambda message: heard(message["row"]))
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
        if end.begun is None or _key(item.part, end.begun) in seen[item.part]:
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
        for row in makes[item.part](replace_options(options, roles=[item.name]), rules, keys[item.part]):
            told({"row": row})


def replace_options(options: argparse.Namespace, **fields: Any) -> argparse.Namespace:
    """The options with other values for some."""
    return argparse.Namespace(**{**vars(options), **fields})


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
    yield from job_rows(jobs, rules, lambda row: _key("jobs", row) in there, options.item.name)


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


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="the tests' tiny model instead of full size")
    parser.add_argument("--bundle", type=Path, help="take graphs, inputs and reference from a bundle")
    parser.add_argument("--model", type=Path, help="with --bundle: the folder that it was exported from, for torch")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="in this order; default: all")
    parser.add_argument("--again", action="store_true", help="measure rows that are there already once more")
    parser.add_argument("--graphs", type=Path, help="folder where exported graphs stay for the next command")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 8], help="of jobs: pictures at once")
    parser.add_argument("--steps", type=int, help="of a job's stages; twice as many are timed too")
    parser.add_argument("--job-precision", choices=PRECISIONS, help="default: float16; float32 on the CPU")
    parser.add_argument("--job-rounds", type=int, default=3, help="timed jobs of each kind")
    parser.add_argument("--roles", nargs="+", help="some graphs only; default: all, the heaviest first")
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, help="default: all; float32 on the CPU")
    parser.add_argument("--batch", type=int, default=2, help="2 is guidance of one picture")
    parser.add_argument("--rounds", type=int, default=20, help="timed runs of each contestant")
    parser.add_argument("--minutes", type=float, default=7, help="nothing new is begun after that")
    parser.add_argument("--patience", type=float, default=4, metavar="MINUTES", help="without a word from a process")
    parser.add_argument("--again-cut-off", action="store_true", help="what was cut off once more")
    parser.add_argument("--form", choices=FORMS, help="of half precision; default: opset 23, and plain on the CPU")
    parser.add_argument("--hang", metavar="NAME", help="a contestant of the graphs that shall wait for ever")
    parser.add_argument("--one-process", action="store_true", help="all in this one, and nothing is cut off")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--compile-backend", help="default: inductor; aot_eager on the CPU, which needs no compiler")
    parser.add_argument("--compile-mode", help="for example reduce-overhead (CUDA graphs) or max-autotune")
    parser.add_argument("--nhwc", action="store_true", help="onnxruntime once more with channels last")
    parser.add_argument("--name", help="of the results; default: the GPU's")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument("--item", type=_item, help=argparse.SUPPRESS)
    parser.add_argument("--seen", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--tell", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.compile_backend = options.compile_backend or ("inductor" if options.device == "cuda" else "aot_eager")
    options.precisions = options.precisions or (PRECISIONS if options.device == "cuda" else PRECISIONS[:1])
    options.form = options.form or ("opset 23" if options.device == "cuda" else "plain")
    options.job_precision = options.job_precision or ("float16" if options.device == "cuda" else "float32")
    options.steps = options.steps or (2 if options.tiny else 20)
    if options.bundle:
        options.parts, options.form = ["graphs"], "as in the bundle"
    return options


def _item(text: str) -> Item:
    part, _, name = text.partition(":")
    return Item(part, name)


def _complaint(options: argparse.Namespace) -> str | None:
    """Why nothing can be run, in one line."""
    from proof_model import ROLES

    if unknown := [role for role in options.roles or () if role not in ROLES]:
        return f"no role {', '.join(unknown)}; there are {', '.join(ROLES)}"
    if options.model and not options.bundle:
        return "--model is the folder that a bundle was exported from; give --bundle too"
    if options.device == "cpu":
        small = options.tiny or options.bundle
        return None if small else "full size takes hours on a CPU; add --tiny, or use --device cuda"
    import torch

    if not torch.cuda.is_available():
        return "torch finds no NVIDIA GPU here; to try the script itself: --device cpu --tiny"
    return None


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


def _report(options: argparse.Namespace) -> dict[str, Any] | None:
    """What the file holds already, or a new one; None if it is another machine's."""
    from handfirst.runtime.profile.machine import machine

    hardware = _hardware(options.device)
    fresh = {
        "what": "time and error of every graph against torch; random weights"
        if not options.bundle
        else f"time and error of every graph of the bundle {options.bundle.name} against its golden tensors",
        "size": options.bundle.name if options.bundle else "tiny" if options.tiny else "full",
        "method": "milliseconds: median from call to an idle device, contestants in turn within every round; errors "
        "against torch in float32 without TF32; outputs of 'resident' and torch stay on the device",
        "hardware": hardware,
        "machine": machine(LIBRARIES),
        **{part: [] for part in PARTS},
    }
    try:
        old = json.loads(_out(options).read_text())
    except (OSError, ValueError):
        return fresh
    same = old.get("hardware") == hardware and old.get("size") == fresh["size"]
    return fresh | {part: old.get(part, []) for part in PARTS} if same else None


def _hardware(device: str) -> dict[str, Any]:
    import torch

    if device == "cpu":
        from handfirst.runtime.profile.machine import machine

        return {"name": machine(())["cpu"], "device": "cpu"}
    properties = torch.cuda.get_device_properties(0)
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader", "--id=0"]
    try:
        driver = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout.strip() or None
    except (OSError, subprocess.TimeoutExpired):
        driver = None
    return {
        "name": properties.name,
        "device": "cuda",
        "memory_bytes": properties.total_memory,
        "capability": f"{properties.major}.{properties.minor}",
        "driver": driver,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


def _key(part: str, row: dict[str, Any]) -> tuple[Any, ...]:
    names = {
        "kernel": ("where",),
        "jobs": ("contestant", "precision", "form", "batch", "steps"),
        "graphs": ("role", "precision", "form", "contestant", "batch"),
    }
    return tuple(row[name] for name in names[part])


def _add(report: dict[str, Any], part: str, row: dict[str, Any]) -> None:
    """A row replaces the one that is about the same; others stay."""
    report[part] = [*({_key(part, each): each for each in [*report[part], row]}.values())]


def _out(options: argparse.Namespace) -> Path:
    name = options.name
    if name is None:
        words = "tiny-" * options.tiny + (_hardware("cuda")["name"] if options.device == "cuda" else "cpu")
        name = "-".join(words.lower().split())
    return Path(options.out / f"gpu-{name}.json")


def _write(report: dict[str, Any], path: Path) -> None:
    """The JSON first: it is what counts. The picture is left out where matplotlib is not installed."""
    from handfirst.engines.files import atomic_write_bytes

    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write_bytes(path, (json.dumps(report, indent=1) + "\n").encode())
    try:
        from proof_picture import picture
    except ImportError:
        print("no picture: matplotlib is not installed", file=sys.stderr)
        return
    atomic_write_bytes(path.with_suffix(".png"), picture(report))


if __name__ == "__main__":
    sys.exit(main())
