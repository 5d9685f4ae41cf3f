"""The errors a user can cause. Each message is one line: what was expected, what came, how to mend it.

UserError
├── BundleError         a bundle that is missing, altered or does not fit      (engines/bundle.py)
├── EngineError         an engine that cannot be opened or was fed wrongly     (engines/)
├── RequestError        a request that makes no sense                          (runtime/errors.py)
├── PoseError           a pose file that cannot be read                        (runtime/errors.py)
├── BusyError           a server that takes no more requests now               (runtime/errors.py)
├── DeadlineError       a job that was not done in time                        (runtime/errors.py)
├── JobCancelledError   a job that was cancelled                               (runtime/errors.py)
├── ForkError           a model or a server that did not survive a fork        (runtime/errors.py)
├── JobError            one job of a batch that makes no sense                 (runtime/errors.py)
└── BatchError          a file of jobs or a folder of results that cannot be   (runtime/errors.py)
"""

from __future__ import annotations


class UserError(Exception):
    """Base of all of them; the command line prints the message and exits with code 2."""


class BundleError(UserError):
    """A bundle that is missing, altered, from another version, or that does not fit the request."""


class EngineError(UserError):
    """An engine that cannot be opened here, or inputs that do not match its spec."""


def one_line(text: object) -> str:
    """An error's or any other text without its line breaks and double spaces."""
    return " ".join(str(text).split())


_NO_MEMORY = (
    "out of memory",
    "bad_alloc",
    "bad allocation",
    "insufficient memory",
    "memory is full",
    "allocate memory",
    "not enough memory",
    "alloc_failed",
    "failed to map segment",
)


def lacks_memory(error: BaseException) -> bool:
    """Whether memory ran out, as far as can be told: libraries say it with errors of their own, each in its words."""
    said = one_line(error).lower().replace("_of_", " of ")
    return isinstance(error, MemoryError) or any(sign in said for sign in _NO_MEMORY)
