"""Real forks that cannot hang a test: what a child made of its work, or a failure once patience is over."""

import os
import pickle
import select
import signal
import traceback
import warnings

PATIENCE = 10.0


def in_child(work):
    """What `work` returns in a forked child, or what it raises; AssertionError where it neither does in time."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # other threads run while it forks: that is the point
        child = os.fork()
    if child == 0:
        _work(work, writer)
    os.close(writer)
    try:
        assert select.select([reader], [], [], PATIENCE)[0], "the forked child hangs"
        with os.fdopen(reader, "rb") as told:
            outcome = pickle.loads(told.read())
    finally:
        os.kill(child, signal.SIGKILL)  # not reaped yet, so it is still this child, or what is left of it
        os.waitpid(child, 0)
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def _work(work, writer):
    """Never comes back: the rest of the tests is the parent's."""
    try:
        try:
            outcome = work()
        except BaseException as error:
            traceback.print_exc()
            outcome = error
        with os.fdopen(writer, "wb") as told:
            told.write(pickle.dumps(outcome))
    finally:
        os._exit(0)
