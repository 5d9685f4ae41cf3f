"""What a user can get wrong at the runtime's door. The tree is drawn in engines/errors.py."""

from __future__ import annotations

from handfirst.engines.errors import UserError


class RequestError(UserError):
    """A request that makes no sense or does not fit the model."""


class PoseError(UserError):
    """A pose file that cannot be read."""


class BusyError(UserError):
    """A server takes no more requests now: as many wait as it keeps, or it was closed."""


class DeadlineError(UserError, TimeoutError):
    """A job was not done within the time that its caller gave it."""


class JobCancelledError(UserError):
    """A job was cancelled, by its caller or by a server that stopped."""


class ForkError(UserError):
    """A model, a server or a job that was made before this process was forked, and did not survive it."""


class JobError(UserError):
    """A job of a batch that makes no sense."""


class BatchError(UserError):
    """A file of jobs, or a folder of results, that a batch cannot work with."""
