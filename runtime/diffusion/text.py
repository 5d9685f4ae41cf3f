"""Prompts to contexts: words -> token ids -> the text encoder's hidden states.

Knows nothing about hands or images; nothing after it knows where a context came from.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from handfirst.engines.engine import Engine
from handfirst.engines.errors import BundleError, one_line
from handfirst.runtime.diffusion.settings import TextSettings
from handfirst.runtime.diffusion.tokenizer_file import plain_tokenizer

CACHED_PROMPTS = 64
LONGEST = 100_000
"""Characters of a prompt that are looked at, far more than any encoder reads; their tokens take a moment."""


def open_tokenizer(json: bytes, settings: TextSettings) -> Tokenizer:
    """A `tokenizer.json` of the tokenizers library; its own truncation, padding and frame are not used.

    Raises:
        BundleError: if it cannot be read, or does not know the ids that the settings frame a prompt with.
    """
    try:
        plain = plain_tokenizer(json)
        tokenizer = Tokenizer.from_str(plain)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the library raises bare Exception, and what is none where it panics
        reason = one_line(error)
        shown = "".join(c if c.isprintable() else "?" for c in reason)[:200]
        raise BundleError(
            f"tokenizer: expected a tokenizer.json as CLIP has it, got another ({shown}); export the bundle again"
        ) from error
    for name in ("begin", "end", "pad"):
        if tokenizer.id_to_token(getattr(settings, name)) is None:
            raise BundleError(
                f"tokenizer: expected it to know the {name} token {getattr(settings, name)}, "
                f"got a vocabulary of {tokenizer.get_vocab_size()}; export the bundle again"
            )
    return tokenizer


def token_ids(tokenizer: Tokenizer, prompt: str, settings: TextSettings) -> tuple[NDArray[np.int64], int]:
    """prompt -> (ids int64 [length], number of tokens that did not fit).

    begin, the prompt's tokens (cut at the end where too long), end, then pad. Runs of white space count as one space.
    """
    tokens = tokenizer.encode(" ".join(prompt.split())[:LONGEST], add_special_tokens=False).ids
    kept = tokens[: settings.length - 2]
    ids = np.full(settings.length, settings.pad, np.int64)
    ids[: len(kept) + 2] = [settings.begin, *kept, settings.end]
    return ids, len(tokens) - len(kept)


class Text:
    """Tokenizer and text encoder; the last contexts are kept, so that a repeated prompt costs nothing."""

    def __init__(self, tokenizer: bytes, settings: TextSettings, encoder: Engine) -> None:
        self._tokenizer = open_tokenizer(tokenizer, settings)
        self._settings = settings
        self._encoder = encoder
        self._context = lru_cache(CACHED_PROMPTS)(self._encode)

    def contexts(self, prompts: Sequence[str]) -> NDArray[np.float32]:
        """prompts -> contexts float32 [B, L, D]. Each prompt is encoded alone, so a batch changes nothing."""
        shape = (len(prompts), self._settings.length, self._settings.width)
        return np.array([self._context(prompt) for prompt in prompts], np.float32).reshape(shape)

    def warnings(self, prompts: Sequence[str]) -> tuple[str, ...]:
        """One line for every prompt that is longer than the encoder reads; its tail is not heard."""
        room = self._settings.length - 2
        lines = []
        for prompt in dict.fromkeys(prompts):
            dropped = token_ids(self._tokenizer, prompt, self._settings)[1]
            if dropped:
                start = " ".join(prompt.split())[:30]
                lines.append(f'the prompt "{start}..." has {room + dropped} tokens; only the first {room} are read')
        return tuple(lines)

    def _encode(self, prompt: str) -> NDArray[np.float32]:
        ids = token_ids(self._tokenizer, prompt, self._settings)[0]
        context = np.array(self._encoder.run({"ids": ids[None]})["context"][0], np.float32)
        context.flags.writeable = False
        return context
