"""Gestures in a prompt's embedding (Hand1000, sections 3.2 and 3.4), and what a bundle knows of a gesture.

    F = E + U V [vec(E); g]      low rank, trained (ours)
    F = W [vec(E); g] + b        as published: torch's fresh Linear, never trained
    E'' = mu E + (1 - mu) F      what the UNet is told

E is what the text encoder says of the prompt, g the gesture's mean feature. The prompt ends in the gesture's words, in
training as here. Training says the same in torch (training/gestures/fusion.py). Knows nothing about requests, or about
what else a system does for a gesture.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.errors import BundleError
from handfirst.runtime.diffusion.noise import Uniforms
from handfirst.runtime.diffusion.settings import FEATURE, GestureSettings, TextSettings
from handfirst.runtime.timing.spans import span

if TYPE_CHECKING:
    from handfirst.engines.bundle import Bundle
    from handfirst.runtime.diffusion.text import Text

Floats = NDArray[np.float32]
Fusion = Callable[[Floats, Floats], Floats]
"""(vec(E) [n], g [63]) -> vec(F) [n]."""
CACHED = 64
"""Fused embeddings that are kept, as many as contexts of prompts."""
TOGETHER = 1 << 22
"""Numbers of the random matrix that are in memory at once; all of Stable Diffusion's would be 14 GB."""


@dataclass(frozen=True, eq=False)
class LowRank:
    """A trained fusion: V float32 [r, n + 63] and U float32 [n, r]."""

    V: Floats
    U: Floats

    def __call__(self, embedding: Floats, feature: Floats) -> Floats:
        return np.asarray(embedding + self.U @ (self.V @ np.concatenate([embedding, feature])), np.float32)


@dataclass(frozen=True)
class FrozenRandom:
    """The published fusion: what torch.nn.Linear(n + 63, n) is after torch.manual_seed(seed), made row by row."""

    seed: int

    def __call__(self, embedding: Floats, feature: Floats) -> Floats:
        x = np.concatenate([embedding, feature])
        stream, count, bound = Uniforms(self.seed), len(embedding), 1 / np.sqrt(len(x))
        rows = max(1, TOGETHER // len(x))
        mapped = [
            stream.draw(min(rows, count - start) * len(x), -bound, bound).reshape(-1, len(x)) @ x
            for start in range(0, count, rows)
        ]
        return np.asarray(np.concatenate(mapped) + stream.draw(count, -bound, bound), np.float32)


@dataclass(frozen=True, eq=False)
class Gesture:
    """What a bundle knows of one gesture.

    Attributes:
        feature: g, float32 [63].
        fuse: its fusion.
        more: what a system keeps behind them, as factors of an adapter: float32 [P], P = 0 where there is nothing.
    """

    feature: Floats
    fuse: Fusion
    more: Floats

    def fused(self, context: Floats) -> Floats:
        """F float32 [L, D] of E [L, D]."""
        return self.fuse(np.asarray(context, np.float32).reshape(-1), self.feature).reshape(context.shape)


def double_fused(context: Floats, fused: Floats, mu: float) -> Floats:
    """E'' = mu E + (1 - mu) F, float32 [L, D]."""
    return np.asarray(np.float32(mu) * context + np.float32(1 - mu) * fused, np.float32)


def gesture_prompt(prompt: str, words: str) -> str:
    """The prompt, ending in the gesture's words; one that ends in them already stays as it is."""
    said = " ".join(prompt.split()).rstrip(" .,;")
    if said.lower().endswith(words.lower()):
        return said
    return f"{said}, {words}" if said else words


class Gestures:
    """A model's gestures, and E'' of prompts that tell one; the last fused embeddings are kept, as threads may share.

    Args:
        settings: of every gesture.
        known: what a bundle holds of each, by name.
        text: makes E of a prompt.
    """

    def __init__(self, settings: Sequence[GestureSettings], known: Mapping[str, Gesture], text: Text) -> None:
        self._words = {each.name: each.words for each in settings}
        self._known = known
        self._text = text
        self._fused = lru_cache(CACHED)(self._fuse)

    def prompt(self, prompt: str, gesture: str) -> str:
        """What is encoded: the prompt, ending in the gesture's words."""
        return gesture_prompt(prompt, self._words[gesture])

    def context(self, prompt: str, gesture: str, mu: float) -> Floats:
        """E'' float32 [L, D] of a prompt, whose end is as `prompt` makes it."""
        words = self.prompt(prompt, gesture)
        (context,) = self._text.contexts([words])
        return double_fused(context, self._fused(gesture, words), mu)

    def _fuse(self, gesture: str, words: str) -> Floats:
        (context,) = self._text.contexts([words])
        with span("fusion"):
            return self._known[gesture].fused(context)


def asset(name: str) -> str:
    """What a gesture's asset is called in the manifest."""
    return f"gesture_{name}"


def read_gestures(
    bundle: Bundle, gestures: Sequence[GestureSettings], text: TextSettings, more: int = 0
) -> dict[str, Gesture]:
    """A bundle's gestures by name; arguments and errors as of `read_gesture`."""
    return {
        each.name: read_gesture(bundle.asset(asset(each.name)), each, text, str(bundle.path), more) for each in gestures
    }


def read_gesture(data: bytes, gesture: GestureSettings, text: TextSettings, where: str, more: int = 0) -> Gesture:
    """The bytes of a gesture's .npy file, which may be anybody's: g, V, U and `more` numbers, one after the other.

    Raises:
        BundleError: no .npy file, or another array in it.
    """
    expected = gesture.values(text) + more
    try:
        array = np.load(io.BytesIO(data), allow_pickle=False)
    except Exception as error:  # NumPy raises ValueError, EOFError, SyntaxError and others
        raise BundleError(
            f"{where}: gesture {gesture.name}: expected an .npy file, got another; export the bundle again"
        ) from error
    if (
        not isinstance(array, np.ndarray)
        or array.dtype not in (np.float16, np.float32)
        or array.shape != (expected,)
        or not np.isfinite(array).all()
    ):
        got = f"{array.dtype} {list(array.shape)}" if isinstance(array, np.ndarray) else "an archive"
        raise BundleError(
            f"{where}: gesture {gesture.name}: expected {expected} finite numbers of float16 or float32, got {got}; "
            "export the bundle again"
        )
    values, n, r = array.astype(np.float32), text.values, gesture.rank
    feature, rest = values[:FEATURE], values[FEATURE:]
    if gesture.fusion == "frozen-random":
        return Gesture(feature, FrozenRandom(gesture.seed), rest)
    V, U, rest = np.split(rest, [r * (n + FEATURE), r * (2 * n + FEATURE)])
    return Gesture(feature, LowRank(V.reshape(r, n + FEATURE), U.reshape(n, r)), rest)


def write_gesture(values: Floats, half: bool) -> bytes:
    """What `read_gesture` reads: float16 if `half`, else float32."""
    out = io.BytesIO()
    np.save(out, np.ascontiguousarray(values, np.float16 if half else np.float32))
    return out.getvalue()
