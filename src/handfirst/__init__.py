"""Human pictures with hands that are right: hands first, then the body.

    from pathlib import Path

    import handfirst

    model = handfirst.open()
    result = model.render(handfirst.Request(pose=handfirst.read_pose(Path("pose.json")), prompt="a woman"))

The names below are loaded when they are first used, so that `import handfirst` costs next to nothing.
"""

from __future__ import annotations

import importlib
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from handfirst.engines.errors import UserError
    from handfirst.runtime.pose.person import Pose
    from handfirst.runtime.pose.read import read_pose
    from handfirst.runtime.request import Request, Result
    from handfirst.runtime.systems.two_stage import TwoStage

    open = TwoStage.open
    __version__: str

__all__ = ["Pose", "Request", "Result", "UserError", "__version__", "open", "read_pose"]

_HOMES = {
    "Pose": ("handfirst.runtime.pose.person", "Pose"),
    "Request": ("handfirst.runtime.request", "Request"),
    "Result": ("handfirst.runtime.request", "Result"),
    "UserError": ("handfirst.engines.errors", "UserError"),
    "open": ("handfirst.runtime.systems.two_stage", "TwoStage.open"),
    "read_pose": ("handfirst.runtime.pose.read", "read_pose"),
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("handfirst")
    if name in _HOMES:
        module, attribute = _HOMES[name]
        return attrgetter(attribute)(importlib.import_module(module))
    raise AttributeError(f"module 'handfirst' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
