"""The `tensorrt` package: found, checked, and made to say why something failed.

Serves TensorRT 10.13 and newer 10.x, and 11: the classes, functions and flags that are used have the same names in
both. TensorRT itself has not been run here; TensorRT for RTX, which has the same builder and parser, has.
"""

from __future__ import annotations

import functools
import threading
from collections import deque
from typing import Any

from handfirst.engines.errors import EngineError, one_line

INSTALL = "pip install 'handfirst[tensorrt]'"
DTYPES = {
    "FLOAT": "float32",
    "HALF": "float16",
    "BF16": "bfloat16",
    "INT64": "int64",
    "INT32": "int32",
    "UINT8": "uint8",
    "BOOL": "bool",
}
"""tensorrt.DataType by name -> spec.DType."""


def import_tensorrt() -> Any:
    """The library.

    Raises:
        EngineError: not installed, its shared libraries are missing, or too old.
    """
    try:
        import tensorrt
    except (ImportError, OSError) as error:  # OSError: the package without its shared libraries
        raise EngineError(f"tensorrt is not installed ({one_line(error)[:120]}); run: {INSTALL}") from error
    return check_library(tensorrt)


def check_library(library: Any) -> Any:
    """The library itself, if it is new enough.

    Raises:
        EngineError: too old, or not all there: the stub without NVIDIA's libraries.
    """
    version = getattr(library, "__version__", "of unknown version")
    if not hasattr(getattr(library, "OnnxParser", None), "load_initializer"):
        raise EngineError(f"tensorrt {version} is too old, 10.13 or newer is needed; run: {INSTALL} --upgrade")
    return library


@functools.cache
def logger(library: Any) -> Any:
    """The one logger of a library: silent, and remembers its errors. `logger(library).reason()` tells the last ones."""

    class Log(library.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            library.ILogger.__init__(self)  # pybind11 refuses an object whose own base was not initialised
            self._errors: deque[str] = deque(maxlen=3)
            self._lock = threading.Lock()

        def log(self, severity: Any, message: str) -> None:
            if severity in (library.ILogger.Severity.ERROR, library.ILogger.Severity.INTERNAL_ERROR):
                with self._lock:
                    self._errors.append(one_line(message)[:200])

        def reason(self) -> str:
            """The errors since the last call, in one line."""
            with self._lock:
                said, self._errors = "; ".join(self._errors), deque(maxlen=3)
            return said or "it does not say why"

    return Log()
