"""What a step computes that does not depend on the picture, and so could be computed once: the most that may be saved.

    python benchmarks/exact_savings.py            # the embedded bundle -> results/exact-savings.json

Of every network that is asked in every step, operators are sorted by what they depend on: constants alone, the prompt
(`context`: keys and values of the text), the time (`timestep`), or the picture. onnxruntime's own profile says what
each takes, one thread, the least of all runs, as other work only adds to it. Fused operators count as what their first
output was called.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from handfirst.engines.bundle import Bundle, demo_bundle_path
from handfirst.engines.files import atomic_write_bytes
from handfirst.runtime.profile.machine import machine

ROLES = ("hand_unet", "controlnet", "body_unet")
KINDS = ("constant", "text", "time", "both", "picture")


def main() -> None:
    """Measures every network and writes the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, default=demo_bundle_path())
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "exact-savings.json")
    options = parser.parse_args()
    bundle = Bundle.open(options.bundle)
    golden = bundle.golden()
    found = {role: measure(bundle, role, golden, options.runs) for role in ROLES}
    report = {"bundle": bundle.manifest.name, "rows": 2, "networks": found, "machine": machine()}
    atomic_write_bytes(options.out, (json.dumps(report, indent=1) + "\n").encode())
    print(json.dumps(report, indent=1))


def measure(bundle: Bundle, role: str, golden: dict[str, Any], runs: int) -> dict[str, Any]:
    """Milliseconds of a run by kind, and their shares."""
    entry = bundle.manifest.engines[role]
    with tempfile.TemporaryDirectory() as folder:
        optimised = str(Path(folder) / "optimised.onnx")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.optimized_model_filepath = optimised
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(bundle.bytes(entry.file), options, providers=["CPUExecutionProvider"])
        inputs = {t.name: np.repeat(golden[f"{role}.in.{t.name}"].astype(t.dtype), 2, 0) for t in entry.spec.inputs}
        for _ in range(runs + 1):
            session.run(None, inputs)
        events = json.loads(Path(session.end_profiling()).read_text())
        kinds = kinds_of(onnx.load(optimised).graph)
    took: dict[str, list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            took[event["name"].removesuffix("_kernel_time")].append(event["dur"] / 1000)
    sums = dict.fromkeys(KINDS, 0.0)
    for node, each in took.items():
        sums[kinds.get(node, "picture")] += min(each[1:])
    total = sum(sums.values())
    return {kind: {"ms": round(ms, 3), "share": round(ms / total, 4)} for kind, ms in sums.items()} | {
        "nodes_told": f"{len(took.keys() & kinds.keys())} of {len(took)}"
    }


def kinds_of(graph: onnx.GraphProto) -> dict[str, str]:
    """By a node's name what its outputs depend on."""
    known: dict[str, frozenset[str]] = {each.name: frozenset() for each in graph.initializer}
    for each in graph.input:
        if each.name not in known:
            known[each.name] = frozenset([{"context": "text", "timestep": "time"}.get(each.name, "picture")])
    kinds = {}
    for node in graph.node:
        needs = frozenset().union(*(known.get(name, frozenset()) for name in node.input if name))
        known |= dict.fromkeys(node.output, needs)
        kinds[node.name] = (
            "picture" if "picture" in needs else "both" if len(needs) > 1 else next(iter(needs), "constant")
        )
    return kinds


if __name__ == "__main__":
    main()
