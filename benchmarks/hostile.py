"""Hostile bundles, tokenizers, pickles and plans, each in a process with limits: refused in a line or run within them.

    python benchmarks/hostile.py [RESULT.json]          # -> benchmarks/results/hostile.json

The kinds are those of the tests (tests/support), and graphs that pass every rule and are slow or large. Linux or macOS.
Ends with code 1 if any of them crashed, took too long, or was refused in more than a line.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

ROOT = Path(__file__).resolve().parents[1]
RESULT = Path(__file__).parent / "results" / "hostile.json"
sys.path.insert(0, str(ROOT / "tests"))

from support.hostile_bundle import Draft, Spoil  # noqa: E402
from support.hostile_folders import FOLDER  # noqa: E402
from support.hostile_golden import GOLDEN  # noqa: E402
from support.hostile_graphs import GRAPH, made, many, weight  # noqa: E402
from support.hostile_manifests import MANIFEST  # noqa: E402
from support.hostile_tokenizers import LEFT_OUT, TOKENIZERS  # noqa: E402
from training.prepare.test_record_file import HOSTILE as PLANS  # noqa: E402
from training.prepare.test_record_file import write as write_plan  # noqa: E402
from training.sources.test_plain_pickle import BOMBS  # noqa: E402
from training.sources.test_plain_pickle import write as write_pickle  # noqa: E402

from handfirst.engines.bundle import Bundle  # noqa: E402
from handfirst.engines.errors import UserError  # noqa: E402
from handfirst.engines.files import atomic_write_bytes  # noqa: E402
from handfirst.runtime.diffusion.settings import TextSettings  # noqa: E402
from handfirst.runtime.diffusion.text import open_tokenizer, token_ids  # noqa: E402
from handfirst.runtime.profile.machine import machine  # noqa: E402
from handfirst.training.data.prepare.record_file import read_records  # noqa: E402
from handfirst.training.data.sources.entry import UnusableError  # noqa: E402
from handfirst.training.data.sources.plain_pickle import read_objects  # noqa: E402

SECONDS, MEMORY = 60, 4 << 30
LIBRARIES = ("handfirst", "numpy", "onnx", "onnxruntime", "pydantic", "tokenizers")
REFUSED, RAN, TALKED = 10, 11, 12
ENDS = {REFUSED: "refused", RAN: "ran", TALKED: "refused, but not in one line"}
TEXT = TextSettings(length=8, width=2, begin=0, end=1, pad=1)

Attempt = Callable[[Path], Any]


def chain(op_type: str, count: int) -> Spoil:
    return many(count, lambda g, i: g.node.append(helper.make_node(op_type, [f"v{i}" if i else "x"], [f"v{i + 1}"])))


def outer(draft: Draft) -> None:
    """Every sum squares the number of elements."""
    g = draft.graph
    g.initializer.append(numpy_helper.from_array(np.array([-1, 1]), "column"))
    g.initializer.append(numpy_helper.from_array(np.array([1, -1]), "row"))
    for i in range(6):
        at = f"o{i}" if i else "x"
        g.node.append(helper.make_node("Reshape", [at, "column"], [f"c{i}"]))
        g.node.append(helper.make_node("Reshape", [at, "row"], [f"r{i}"]))
        g.node.append(helper.make_node("Add", [f"c{i}", f"r{i}"], [f"o{i + 1}"]))
    used(g, "o6")


def used(g: onnx.GraphProto, name: str) -> None:
    """A value becomes part of the output, so that nothing optimises it away."""
    g.initializer.append(numpy_helper.from_array(np.array([0, 1]), "axes"))
    g.node.append(helper.make_node("ReduceMean", [name, "axes"], ["mean"], keepdims=0))
    last = g.node[2]
    last.output[0] = "before"
    g.node.append(helper.make_node("Add", ["before", "mean"], ["y"]))


def expanded(draft: Draft) -> None:
    """The sizes of an input, multiplied: 24 ** 8 elements."""
    g = draft.graph
    g.initializer.append(numpy_helper.from_array(np.array(1.0, np.float32), "one"))
    g.node.append(helper.make_node("Shape", ["x"], ["s0"]))
    for i in range(3):
        g.node.append(helper.make_node("Mul", [f"s{i}", f"s{i}"], [f"s{i + 1}"]))
    g.node.append(helper.make_node("Expand", ["one", "s3"], ["large"]))
    used(g, "large")


def other_shape(draft: Draft) -> None:
    """Says [n, 12] and gives [12, n]."""
    g = draft.graph
    g.node[2].output[0] = "before"
    g.node.append(helper.make_node("Transpose", ["before"], ["y"], perm=[1, 0]))


SLOW: dict[str, Spoil] = {
    "9,900 operators in a row": chain("Relu", 9_900),
    "9,900 sines": chain("Sin", 9_900),
    "4,900 scalars": many(
        4_900, lambda g, i: g.initializer.append(numpy_helper.from_array(np.array(i, np.float32), f"w{i}"))
    ),
    "4,900 sums of scalars": lambda draft: [
        spoil(draft)
        for i in range(4_900)
        for spoil in (weight(f"w{i}", i, np.float32), made("Add", ["x", f"w{i}"], f"s{i}"))
    ],
    "outer sums of outer sums": outer,
    "a hundred gigabytes out of a shape": expanded,
    "another shape than it says": other_shape,
    "concatenated with itself": lambda draft: [
        made("Concat", [f"c{i}" if i else "x"] * 2, f"c{i + 1}", axis=0)(draft) for i in range(40)
    ],
}


def run_bundle(draft: Draft) -> Attempt:
    def attempt(folder: Path) -> None:
        bundle = Bundle.open(draft.write(folder / "b"))
        golden = bundle.golden()
        engine = bundle.engine("conv", threads=1)
        engine.run({"x": golden["conv.in.x"]})

    return attempt


def spoilt(spoil: Callable[[Any], Any]) -> Attempt:
    def attempt(folder: Path) -> None:
        draft = Draft()
        spoil(draft)
        run_bundle(draft)(folder)

    return attempt


def spoilt_folder(spoil: Callable[[Path], Any]) -> Attempt:
    def attempt(folder: Path) -> None:
        path = Draft().write(folder / "b")
        spoil(path)
        Bundle.open(path).engine("conv", threads=1)

    return attempt


def tokenizer(make: Callable[[], bytes]) -> Attempt:
    return lambda folder: token_ids(open_tokenizer(make(), TEXT), "ab " * 10_000, TEXT)


def pickled(payload: bytes) -> Attempt:
    return lambda folder: read_objects(write_pickle(folder / "a.npz", payload))


def planned(content: bytes) -> Attempt:
    return lambda folder: list(read_records(write_plan(folder, content), "train", [0]))


def attempts() -> Iterator[tuple[str, str, Attempt]]:
    for name, (spoil, _) in MANIFEST.items():
        yield "manifest", name, spoilt(spoil)
    for name, (spoil, _) in GRAPH.items():
        yield "graph", name, spoilt(spoil)
    for name, (spoil, _) in GOLDEN.items():
        yield "golden tensors", name, spoilt(spoil)
    for name, (change, _) in FOLDER.items():
        yield "folder", name, spoilt_folder(change)
    for name, spoil in SLOW.items():
        yield "slow or large", name, spoilt(spoil)
    for name, (make, _) in TOKENIZERS.items():
        yield "tokenizer", name, tokenizer(make)
    for name, make in LEFT_OUT.items():
        yield "tokenizer, left out", name, tokenizer(make)
    for name, payload in BOMBS.items():
        yield "pickle", name, pickled(payload)
    for name, content in PLANS.items():
        yield "plan", name, planned(content)


def limited(attempt: Attempt, folder: Path) -> tuple[str, float, float]:
    """In a process of its own: (how it ended, seconds, most memory in MB)."""
    begin = time.monotonic()
    child = os.fork()
    if child == 0:
        os._exit(_in_child(attempt, folder))
    while True:
        done, status, usage = os.wait4(child, os.WNOHANG)
        if done:
            break
        if time.monotonic() - begin > SECONDS:
            os.kill(child, signal.SIGKILL)
            _, status, usage = os.wait4(child, 0)
            return "TOOK TOO LONG", time.monotonic() - begin, usage.ru_maxrss / 1024
        time.sleep(0.005)
    code = os.waitstatus_to_exitcode(status)
    end = ENDS.get(code, f"ENDED WITH {code}")
    return end, time.monotonic() - begin, usage.ru_maxrss / 1024


def _in_child(attempt: Attempt, folder: Path) -> int:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.chdir(folder)
    try:
        attempt(folder)
    except (UserError, UnusableError) as error:
        return REFUSED if str(error).isprintable() and len(str(error)) <= 600 else TALKED
    except BaseException as error:
        print(f"{type(error).__name__}: {error}"[:300], file=sys.stderr)
        return 1
    return RAN


def main() -> int:
    found = []
    for kind, name, attempt in attempts():
        with tempfile.TemporaryDirectory() as folder:
            end, seconds, megabytes = limited(attempt, Path(folder))
        found.append({"kind": kind, "name": name, "end": end, "seconds": round(seconds, 2), "MB": round(megabytes)})
        if end not in ("refused", "ran") or seconds > 5:
            print(kind, "|", name, "|", end, f"| {seconds:.1f} s, {megabytes:.0f} MB", flush=True)
    report = {
        "what": f"hostile inputs, each in a process with {SECONDS} s and {MEMORY >> 30} GiB of address space",
        "kinds": len(found),
        "ends": counted(found),
        "slowest": max(found, key=lambda each: each["seconds"]),
        "largest": max(found, key=lambda each: each["MB"]),
        "found": found,
        "machine": machine(LIBRARIES),
    }
    print(json.dumps({name: value for name, value in report.items() if name != "found"}, indent=1))
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else RESULT
    atomic_write_bytes(out, (json.dumps(report, indent=1) + "\n").encode())
    return sum(each["end"] not in ("refused", "ran") for each in found)


def counted(found: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """How often each kind of input ended how."""
    counts = Counter((each["kind"], each["end"]) for each in found)
    kinds = sorted({kind for kind, _ in counts})
    return {kind: {end: count for (of, end), count in sorted(counts.items()) if of == kind} for kind in kinds}


if __name__ == "__main__":
    sys.exit(bool(main()))
