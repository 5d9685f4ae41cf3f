"""A gesture in a prompt's embedding (Hand1000, sections 3.2 and 3.4), and what a bundle knows of a gesture.

    F = E + U V [vec(E); g]      low rank, trained (ours)
    F = W [vec(E); g] + b        as published: torch's fresh Linear, never trained
    E'' = mu E + (1 - mu) F      what the UNet is told

E is what the text encoder says of the prompt, g the gesture's mean feature. The prompt ends in the gesture's words, in
training as here. Training says the same in torch (training/systems/gesture_text/networks.py). Knows nothing about
requests or engines.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.errors import BundleError
from handfirst.runtime.diffusion.noise import Uniforms
from handfirst.runtime.systems.gesture_text.settings import FEATURE, GestureSettings, GestureTextSettings

Floats = NDArray[np.float32]
Fusion = Callable[[Floats, Floats], Floats]
"""(vec(E) [n], g [63]) -> vec(F) [n]."""
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
        adapter: both low-rank factors of every layer, float32 [P].
    """

    feature: Floats
    fuse: Fusion
    adapter: Floats

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


def read_gesture(data: bytes, settings: GestureTextSettings, gesture: GestureSettings, where: str) -> Gesture:
    """The bytes of a gesture's .npy file, which may be anybody's: g, V, U and the adapter, one after the other.

    Raises:
        BundleError: no .npy file, or another array in it.
    """
    expected = settings.values(gesture)
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
    values, n, r = array.astype(np.float32), settings.embedding, gesture.rank
    feature, rest = values[:FEATURE], values[FEATURE:]
    if gesture.fusion == "frozen-random":
        return Gesture(feature, FrozenRandom(gesture.seed), rest)
    V, U, adapter = np.split(rest, [r * (n + FEATURE), r * (2 * n + FEATURE)])
    return Gesture(feature, LowRank(V.reshape(r, n + FEATURE), U.reshape(n, r)), adapter)


def write_gesture(values: Floats, half: bool) -> bytes:
    """What `read_gesture` reads: float16 if `half`, else float32."""
    out = io.BytesIO()
    np.save(out, np.ascontiguousarray(values, np.float16 if half else np.float32))
    return out.getvalue()
