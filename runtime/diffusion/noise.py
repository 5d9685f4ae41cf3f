"""Gaussian noise from a seed, equal to torch's CPU generator without torch.

`randn(seed, shape)` equals `torch.randn(shape, generator=torch.Generator("cpu").manual_seed(seed))` to float32
rounding (torch's vectorised logarithm and cosine differ from NumPy's in the last bits). Both are a Mersenne twister
seeded with the low 32 bits and the Box-Muller transform, in blocks of 16.

Every part of a picture has a stream of its own, so that it is the same alone, in any batch and beside any other part.
Knows nothing about what the parts are.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MAX_SEED = 2**63 - 1
BLOCK = 16


def randn(seed: int, shape: Sequence[int]) -> NDArray[np.float32]:
    """Standard normal float32 of `shape`; only the low 32 bits of `seed` matter, as in torch.

    Raises:
        ValueError: if the seed is negative or above 2**63 - 1.
    """
    if not 0 <= seed <= MAX_SEED:
        raise ValueError(f"a seed must lie between 0 and {MAX_SEED}, got {seed}")
    twister = np.random.RandomState(np.random.MT19937())
    twister.seed(seed & 0xFFFFFFFF)  # the reference initialisation, as torch does it
    count = math.prod(shape)
    values = _blocks(twister, count) if count >= BLOCK else _singles(twister, count)
    return values.reshape(tuple(shape))


def part_seed(seed: int, part: str) -> int:
    """The seed of one part of a picture. "body" is the seed itself, so that it can be compared with other pipelines;
    any other part ("hand-0-left") gets the first 63 bits of SHA-256 over "seed/part"."""
    if part == "body":
        return seed
    digest = hashlib.sha256(f"{seed}/{part}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


class Streams:
    """The noise of B parts over a whole run.

    A part's stream is one draw of torch's CPU generator seeded with its seed: first x_T, then, where eta is not 0, the
    fresh noise of one step after the other, as a diffusers pipeline with that generator would draw it.

    Args:
        seeds: one per part.
        shape: of one part, [C, h, w].
        steps: S if fresh noise is needed in every step, else 0.

    Attributes:
        draws: all of it, float32 [B, 1 + steps, C, h, w].
    """

    def __init__(self, seeds: Sequence[int], shape: tuple[int, int, int], steps: int = 0) -> None:
        self.draws = np.stack([randn(seed, (1 + steps, *shape)) for seed in seeds])

    @property
    def x_T(self) -> NDArray[np.float32]:  # noqa: N802
        """The starting noise, float32 [B, C, h, w]."""
        return self.draws[:, 0]

    def fresh(self, index: int) -> NDArray[np.float32]:
        """The noise of step 1..S, float32 [B, C, h, w]."""
        return self.draws[:, index]


class Uniforms:
    """Float32 numbers as torch's CPU generator draws them after manual_seed: what `Tensor.uniform_` fills one fresh
    tensor after the other with.

    Args:
        seed: only its low 32 bits matter, as in torch.
    """

    def __init__(self, seed: int) -> None:
        self._twister = np.random.RandomState(np.random.MT19937())
        self._twister.seed(seed & 0xFFFFFFFF)

    def draw(self, count: int, low: float, high: float) -> NDArray[np.float32]:
        """The next ones, uniform in low .. high: float32 [count]."""
        return _uniforms(self._twister, count) * np.float32(high - low) + np.float32(low)


def _words(twister: np.random.RandomState, count: int) -> NDArray[np.uint32]:
    return twister.randint(0, 2**32, size=count, dtype=np.uint32)


def _uniforms(twister: np.random.RandomState, count: int) -> NDArray[np.float32]:
    """24-bit uniforms in [0, 1)."""
    return ((_words(twister, count) & 0xFFFFFF) * np.float32(2.0**-24)).astype(np.float32)


def _blocks(twister: np.random.RandomState, count: int) -> NDArray[np.float32]:
    """16 values or more: whole blocks; a ragged end is drawn again as one block over the last 16 places."""
    values = _uniforms(twister, count)
    whole = count - count % BLOCK
    values[:whole] = _box_muller(values[:whole])
    if whole < count:
        values[-BLOCK:] = _box_muller(_uniforms(twister, BLOCK))
    return values


def _box_muller(uniforms: NDArray[np.float32]) -> NDArray[np.float32]:
    """[16 n] uniforms -> normals: the first eight of a block give the radii, the last eight the angles."""
    pairs = uniforms.reshape(-1, 2, BLOCK // 2)
    radius = np.sqrt(np.float32(-2) * np.log(np.float32(1) - pairs[:, 0]))
    angle = np.float32(2 * np.pi) * pairs[:, 1]
    normals: NDArray[np.float32] = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).astype(np.float32)
    return normals.reshape(-1)


def _singles(twister: np.random.RandomState, count: int) -> NDArray[np.float32]:
    """Fewer than 16 values: one pair of doubles at a time, the second normal kept for the next call."""
    out: list[float] = []
    while len(out) < count:
        first, second = (_double(twister) for _ in range(2))
        radius = math.sqrt(-2 * math.log1p(-second))
        out += [radius * math.cos(2 * math.pi * first), radius * math.sin(2 * math.pi * first)]
    return np.array(out[:count], np.float32)


def _double(twister: np.random.RandomState) -> float:
    """A 53-bit uniform in [0, 1) from two words, the first one high."""
    high, low = (int(w) for w in _words(twister, 2))
    return (((high << 32) | low) & ((1 << 53) - 1)) * 2.0**-53
