"""One typed door to numba: compiled without the interpreter lock, cached on disk so that workers do not recompile.

numba takes what it has cached as long as a function's own file is as it was, whatever became of the functions that it
calls: after an edit of sdf.py, touch tracing.py as well.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """`numba.njit` with fast math and an on-disk cache, keeping the function's type."""
    result: Function = numba.njit(cache=True, fastmath=True)(function)
    return result


def inlined(function: Function) -> Function:
    """The same for small functions that are folded into their callers."""
    result: Function = numba.njit(cache=True, fastmath=True, inline="always")(function)
    return result
