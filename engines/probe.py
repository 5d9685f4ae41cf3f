"""Whether an engine works on this machine: it is opened on a graph of one addition and run, in a process of its own.

A library that crashes, hangs or does not import ends that process, and the caller gets a line. What it compiles goes
into a folder that is thrown away. Knows nothing about what any engine needs (choice.py).
"""

from __future__ import annotations

import sys
import tempfile

import numpy as np

from handfirst.engines.bundle import Bundle
from handfirst.engines.child import answer, ask, command
from handfirst.engines.errors import UserError
from handfirst.engines.graph import Graph
from handfirst.engines.opening import open_engine
from handfirst.engines.spec import EngineSpec, TensorSpec
from handfirst.engines.verify import check_role

SECONDS = 180.0
"""Until a probe is given up: on a cold machine a GPU's libraries need minutes for their first word."""

_X, _Y = (TensorSpec(name=name, dtype="float32", shape=("batch", 2)) for name in "xy")
ADDITION = Graph(
    role="probe",
    spec=EngineSpec(inputs=(_X,), outputs=(_Y,)),
    model=b'\x08\n:G\n\x0e\n\x01x\n\x01x\x12\x01y"\x03Add\x12\x01g'
    b"Z\x18\n\x01x\x12\x13\n\x11\x08\x01\x12\r\n\x07\x12\x05batch\n\x02\x08\x02"
    b"b\x18\n\x01y\x12\x13\n\x11\x08\x01\x12\r\n\x07\x12\x05batch\n\x02\x08\x02B\x04\n\x00\x10\x15",
)
"""y = x + x, float32 [batch, 2]: ONNX of opset 21, written down, as nothing here can write one."""

_COMMAND = command("handfirst.engines.probe")


def probe(engine: str, bundle: str | None = None) -> str | None:
    """None if the engine works here, or why it does not, in one line.

    Args:
        engine: one of choice.ENGINES.
        bundle: folder of a bundle whose smallest graph is also run, on its golden tensors; None: the addition alone.
    """
    if getattr(sys, "frozen", False):  # sys.executable is then the program itself and would be started again
        return _problem(engine, bundle)
    with tempfile.TemporaryDirectory(prefix="handfirst-", ignore_cleanup_errors=True) as folder:
        reply = ask(_COMMAND, {"engine": engine, "bundle": bundle}, SECONDS, {"HANDFIRST_CACHE": folder})
    if reply is None:
        return f"gave no answer within {SECONDS:g} seconds"
    last = f" ({reply.said})" if reply.said else ""
    if reply.answer is None or "problem" not in reply.answer:
        return f"the process that opened it {reply.ending}{last}"
    what, semicolon, remedy = (reply.answer["problem"] or "").partition("; ")
    return f"{what}{last}{semicolon}{remedy}" if what else None


def child() -> None:
    """What the process does: reads what to try from its input, writes one line of JSON to its output."""
    answer(lambda asked: {"problem": _problem(asked["engine"], asked["bundle"])})


def _problem(engine: str, bundle: str | None) -> str | None:
    try:
        return _try(engine, bundle)
    except UserError as error:
        cause = error.__cause__
        return f"its library does not import: {cause}" if isinstance(cause, ImportError) else str(error)


def _try(engine: str, bundle: str | None) -> str | None:
    x = np.array([[1, -2], [0.5, 4]], np.float32)
    y = open_engine(ADDITION, engine, 1).run({"x": x})["y"]
    if not np.array_equal(y, 2 * x):
        return f"it computes {x.tolist()} + {x.tolist()} = {y.tolist()}"
    if bundle is None:
        return None
    opened = Bundle.open(bundle)
    check = check_role(opened, min(opened.manifest.engines, key=opened.size), opened.golden(), engine)
    return None if check.ok else f"{check.name}: {check.detail}"
