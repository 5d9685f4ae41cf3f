"""Silences what diffusers and transformers say about themselves: bars per file, advice to their own callers.

For commands, which have bars and errors of their own; an application that imports the package keeps its settings.
"""

from __future__ import annotations


def quiet() -> None:
    """From here on both libraries report errors only."""
    from diffusers.utils import logging as diffusers
    from transformers.utils import logging as transformers

    for logging in (diffusers, transformers):
        logging.set_verbosity_error()
        logging.disable_progress_bar()
