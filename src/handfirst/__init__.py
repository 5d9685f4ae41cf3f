"""Human pictures with hands that are right: hands first, then the body.

    from pathlib import Path

    import handfirst

    model = handfirst.open()
    request = handfirst.Request(pose=handfirst.read_pose(Path("pose.json")), prompt="a woman")
    result = model.render(request)

    with handfirst.Server(model) as server:  # many threads, one model
        result = server.submit(request, timeout=60).result()

The names below are loaded when they are first used, so that `import handfirst` costs next to nothing.
"""

from __future__ import annotations

import importlib
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from handfirst.engines.errors import BundleError, EngineError, UserError
    from handfirst.runtime.errors import BusyError, DeadlineError, JobCancelledError, PoseError, RequestError
    from handfirst.runtime.pose.person import Pose
    from handfirst.runtime.pose.read import read_pose
    from handfirst.runtime.serve.job import Job
    from handfirst.runtime.serve.server import Server
    from handfirst.runtime.serve.warm_up import warm_up
    from handfirst.runtime.system import Progress
    from handfirst.runtime.systems import open
    from handfirst.runtime.systems.two_stage.request import Request, Result
    from handfirst.runtime.systems.two_stage.system import TwoStage

    __version__: str

__all__ = [
    "BundleError",
    "BusyError",
    "DeadlineError",
    "EngineError",
    "Job",
    "JobCancelledError",
    "Pose",
    "PoseError",
    "Progress",
    "Request",
    "RequestError",
    "Result",
    "Server",
    "TwoStage",
    "UserError",
    "__version__",
    "open",
    "read_pose",
    "warm_up",
]

_HOMES = {
    "BundleError": ("handfirst.engines.errors", "BundleError"),
    "BusyError": ("handfirst.runtime.errors", "BusyError"),
    "DeadlineError": ("handfirst.runtime.errors", "DeadlineError"),
    "EngineError": ("handfirst.engines.errors", "EngineError"),
    "Job": ("handfirst.runtime.serve.job", "Job"),
    "JobCancelledError": ("handfirst.runtime.errors", "JobCancelledError"),
    "Pose": ("handfirst.runtime.pose.person", "Pose"),
    "PoseError": ("handfirst.runtime.errors", "PoseError"),
    "Progress": ("handfirst.runtime.system", "Progress"),
    "Request": ("handfirst.runtime.systems.two_stage.request", "Request"),
    "RequestError": ("handfirst.runtime.errors", "RequestError"),
    "Result": ("handfirst.runtime.systems.two_stage.request", "Result"),
    "Server": ("handfirst.runtime.serve.server", "Server"),
    "TwoStage": ("handfirst.runtime.systems.two_stage.system", "TwoStage"),
    "UserError": ("handfirst.engines.errors", "UserError"),
    "open": ("handfirst.runtime.systems", "open"),
    "read_pose": ("handfirst.runtime.pose.read", "read_pose"),
    "warm_up": ("handfirst.runtime.serve.warm_up", "warm_up"),
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
