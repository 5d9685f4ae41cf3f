"""What onnxruntime says when something fails, and what a user can do about it.

Its messages from a GPU begin with several hundred characters of C++ signatures before they say what happened; only the
rest is shown. What is recognised was read in its sources and in what people reported; nothing here has run on a GPU.
"""

from __future__ import annotations

import ctypes
import re
from pathlib import Path
from typing import Any

from handfirst.engines.errors import BundleError, EngineError, one_line
from handfirst.engines.graph import Graph

NO_CUDA = "onnxruntime's CUDA provider does not start; it needs an NVIDIA driver, CUDA and cuDNN 9"
_INSTALL_CUDA = "run: pip install 'onnxruntime-gpu[cuda,cudnn]', or use engine 'cpu'"

_HAPPENED = re.compile(r"(CUDA|CUDNN|CUDNN_FE|CUBLAS|CUFFT) failure|Failed to allocate memory|Available memory of")
"""Where a message begins to say what happened."""

_NO_MEMORY = re.compile(
    r"out of memory|failed to allocate|bad_alloc|CUDNN_STATUS_ALLOC_FAILED|CUBLAS_STATUS_ALLOC_FAILED"
    r"|smaller than requested bytes",
    re.IGNORECASE,
)
_NO_LIBRARY = re.compile(
    r"cannot open shared object|error loading \"|LoadLibrary failed|DllNotFound|CUDA_PATH is set but", re.IGNORECASE
)
_NO_DRIVER = re.compile(r"(CUDA|CUDNN|CUBLAS) failure")
_NO_CAPTURE = re.compile(r"graph capture|CUDA ?Graph", re.IGNORECASE)


def reason(error: object) -> str:
    """What happened, in one line of 300 characters at most."""
    said = one_line(error)
    happened = _HAPPENED.search(said)
    return said[happened.start() if happened else 0 :][:300]


def refuses_capture(error: object) -> bool:
    """Whether a session did not open because its graph cannot become a CUDA graph."""
    return _NO_CAPTURE.search(str(error)) is not None


def opening_failed(graph: Graph, error: object) -> EngineError | BundleError:
    """Memory, libraries and drivers can be mended here; what is left is said of the graph."""
    source, said, why = graph.source or graph.role, one_line(error), reason(error)
    if _NO_MEMORY.search(said):
        return EngineError(f"{source}: not enough memory to open it ({why}); close what else runs, or use --low-memory")
    if _NO_LIBRARY.search(said):
        return EngineError(f"{source}: onnxruntime lacks a library ({why}); {_INSTALL_CUDA}")
    if _NO_DRIVER.search(said):
        return EngineError(f"{source}: the GPU refused ({why}); update its driver, or use engine 'cpu'")
    return BundleError(
        f"{source}: not a graph that onnxruntime can load ({why}); export the bundle again, or upgrade onnxruntime"
    )


def no_cuda(ort: Any) -> EngineError:
    """Why the CUDA provider did not start, as far as it can be told."""
    lacks = missing_library(ort)
    return EngineError(f"{NO_CUDA} ({lacks}); {_INSTALL_CUDA}" if lacks else f"{NO_CUDA}; {_INSTALL_CUDA}")


def missing_library(ort: Any) -> str:
    """What the CUDA provider lacks, as the system's loader says it; the library itself writes it to a log alone."""
    folder = Path(getattr(ort, "__file__", "") or ".").parent / "capi"
    try:
        ctypes.CDLL(str(folder / "libonnxruntime_providers_shared.so"), ctypes.RTLD_GLOBAL)
        ctypes.CDLL(str(folder / "libonnxruntime_providers_cuda.so"))
    except OSError as error:
        return one_line(error)[:200]
    return ""
