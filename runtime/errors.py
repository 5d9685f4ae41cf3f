"""What a user can get wrong at the runtime's door. The tree is drawn in engines/errors.py."""

from __future__ import annotations

from handfirst.engines.errors import UserError


class RequestError(UserError):
    """A request that makes no sense or does not fit the model."""


class PoseError(UserError):
    """A pose file that cannot be read."""


class JobError(UserError):
    """A job of a batch that makes no sense."""


class BatchError(UserError):
    """A file of jobs, or a folder of results, that a batch cannot work with."""
