"""The errors a user can cause. Each message is one line: what was expected, what came, how to mend it.

UserError
├── BundleError         a bundle that is missing, altered or does not fit      (engines/bundle.py)
├── EngineError         an engine that cannot be opened or was fed wrongly     (engines/)
├── RequestError        a request that makes no sense                          (runtime/errors.py)
├── PoseError           a pose file that cannot be read                        (runtime/errors.py)
├── BusyError           a server that takes no more requests now               (runtime/errors.py)
├── DeadlineError       a job that was not done in time                        (runtime/errors.py)
└── JobCancelledError   a job that was cancelled                               (runtime/errors.py)
"""

from __future__ import annotations


class UserError(Exception):
    """Base of all of them; the command line prints the message and exits with code 2."""


class BundleError(UserError):
    """A bundle that is missing, altered, from another version, or that does not fit the request."""


class EngineError(UserError):
    """An engine that cannot be opened here, or inputs that do not match its spec."""
