"""Which graphs of a bundle NVIDIA's ONNX parser takes, and which operators it does not: a table, no GPU needed.

    pip install '.[cpu]' polygraphy tensorrt_rtx_cu13        # 97 MB, Linux or Windows on x86-64
    python benchmarks/trt_capability.py [--bundle DIR]

Asks `polygraphy inspect capability` with the parser of TensorRT-RTX, or with `--tensorrt` (not tried yet) that of an
installed TensorRT. Only the parser is asked: a graph that it takes may still fail to build. Exits with 1 if one is not
taken.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from rich.table import Table

from handfirst.engines.bundle import Bundle, demo_bundle_path
from handfirst.engines.graph import Graph

RESULTS = Path("polygraphy_capability_dumps") / "results.txt"  # where polygraphy writes, in the current folder
POLYGRAPHY = "from polygraphy.tools import main; main()"  # its script need not be on the PATH


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=None, help="default: the embedded demo bundle")
    parser.add_argument("--tensorrt", action="store_true", help="the parser of TensorRT itself; needs an NVIDIA GPU")
    options = parser.parse_args()
    library = "tensorrt" if options.tensorrt else "tensorrt_rtx"
    if missing := [name for name in ("polygraphy", library) if find_spec(name) is None]:
        sys.exit(
            f"{' and '.join(missing)} not installed; run: pip install polygraphy {library.replace('rtx', 'rtx_cu13')}"
        )
    bundle = Bundle.open(options.bundle or demo_bundle_path())
    found = {role: refused(bundle.graph(role), options.tensorrt) for role in bundle.manifest.engines}
    table = Table("graph", "precision", "opset", f"{library}: operators that are not taken")
    for role, reasons in found.items():
        entry = bundle.manifest.engines[role]
        table.add_row(role, entry.precision, str(entry.opset), "\n".join(reasons) or "all taken")
    Console().print(table)
    sys.exit(any(found.values()))


def refused(graph: Graph, tensorrt: bool = False) -> list[str]:
    """What the parser does not take, a line each: operator, node and reason; empty if it takes all."""
    with tempfile.TemporaryDirectory() as folder:
        for name, data in {"graph.onnx": graph.model, **graph.data}.items():
            (Path(folder) / name).write_bytes(data)
        # Never let polygraphy install anything by itself.
        environment = {**os.environ, "POLYGRAPHY_AUTOINSTALL_DEPS": "0"}
        environment["POLYGRAPHY_USE_TENSORRT_RTX"] = "0" if tensorrt else "1"
        command = [sys.executable, "-c", POLYGRAPHY, "inspect", "capability", "graph.onnx"]
        run = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)
        if run.returncode == 0 and "Graph is fully supported" in run.stdout:
            return []
        results = Path(folder) / RESULTS
        rows = results.read_text().splitlines()[3:] if results.is_file() else []
    # Columns: stack trace, operator, node, reason.
    lines = [" ".join(" ".join(row.split("|", 3)[1:]).split()) for row in rows if row.count("|") >= 3]
    return lines or [f"polygraphy failed: {' '.join((run.stderr or run.stdout).split())[-300:]}"]


if __name__ == "__main__":
    main()
