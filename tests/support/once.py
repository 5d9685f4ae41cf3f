"""What takes long to make is made once in a run, by whichever of its processes asks first."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock


def once(shared: Path, name: str, make: Callable[[Path], object]) -> Path:
    """The folder `name` in `shared` that `make` filled, here or in another process; it is read only.

    A folder that `make` could not fill does not appear: the error is raised, and who asks next tries again.
    """
    folder = shared / name
    with FileLock(shared / f"{name}.lock"):
        if not folder.exists():
            made = Path(tempfile.mkdtemp(dir=shared)) / name
            made.mkdir()
            make(made)
            made.rename(folder)
    return folder
