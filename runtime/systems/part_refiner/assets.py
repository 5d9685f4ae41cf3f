"""What stands in for a text encoder: one array in an .npy file of the bundle, which may be anybody's."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.errors import BundleError
from handfirst.runtime.systems.part_refiner.settings import CONTEXT


def read_context(data: bytes, where: str) -> NDArray[np.float32]:
    """The bytes of the file -> float32 [L, D].

    Raises:
        BundleError: no .npy file, or another array in it.
    """
    try:
        array = np.load(io.BytesIO(data), allow_pickle=False)
    except Exception as error:  # NumPy raises ValueError, EOFError, SyntaxError and others
        raise BundleError(f"{where}: {CONTEXT}: expected an .npy file, got another; export the bundle again") from error
    fits = isinstance(array, np.ndarray) and array.dtype == np.float32 and array.ndim == 2 and np.isfinite(array).all()
    if not fits:
        got = f"{array.dtype} {list(array.shape)}" if isinstance(array, np.ndarray) else "an archive"
        raise BundleError(f"{where}: {CONTEXT}: expected finite float32 [L, D], got {got}; export the bundle again")
    return np.ascontiguousarray(array)
