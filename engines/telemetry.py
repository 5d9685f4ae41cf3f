"""Nothing is sent or left behind that nobody asked for: the switches of all libraries that report home, in one place.

Measured with an empty home, what each library does when nobody says otherwise:

- onnxruntime 1.32 (from 1.29 on, also on Linux): importing it writes an id and a database into the user's cache folder;
  some ten seconds later its threads look a collector up.
- OpenVINO 2026.4 with openvino-telemetry: importing it writes an id into ~/intel and sends from a process of its own.
- Ray: whoever starts a cluster reports its use.
- Hub clients (huggingface_hub, and through it diffusers, transformers, peft): their versions with every request.

What the host has set itself always wins, whatever it says. Knows nothing about what the libraries are for.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SWITCHES = {
    "ORT_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
}
"""Read by the libraries when they are imported, Ray's when a cluster is started; child processes inherit them."""

_OPENVINOS = "openvino_telemetry"


def switch_off() -> None:
    """Sets every switch that is not set; to be called before one of the libraries is imported.

    Where the host imported onnxruntime first, it is told by its own switch, once: that ends further events, and not
    what its import has written and queued by then.
    """
    late = None if "ORT_DISABLE_TELEMETRY" in os.environ else sys.modules.get("onnxruntime")
    for name, value in SWITCHES.items():
        os.environ.setdefault(name, value)
    if late is not None:
        with suppress(AttributeError):  # versions that report nothing
            late.disable_telemetry_events()


@contextmanager
def without_openvinos() -> Iterator[None]:
    """Within, `import openvino` finds its telemetry package missing, for which it has a stand-in that does nothing.

    There is no other switch than a file in the user's home. One that says 1 is the user's consent and is obeyed; where
    the host has imported either package itself, nothing is changed.
    """
    if _OPENVINOS in sys.modules or "openvino" in sys.modules or _consent():
        yield
        return
    sys.modules[_OPENVINOS] = None  # type: ignore[assignment]  # how Python marks what cannot be imported
    try:
        yield
    finally:
        if sys.modules.get(_OPENVINOS) is None:
            sys.modules.pop(_OPENVINOS, None)


def _consent() -> bool:
    """Whether the user opted in, with `opt_in_out --opt_in`."""
    folder = Path(os.path.expandvars("$LOCALAPPDATA"), "Intel Corporation") if os.name == "nt" else Path("~/intel")
    try:
        return (folder.expanduser() / _OPENVINOS).read_text().strip() == "1"
    except (OSError, ValueError, RuntimeError):
        return False
