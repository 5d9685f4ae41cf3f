"""Opens all engines of a bundle, two at a time where that is safe and quick.

Knows nothing about what the engines mean to each other.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from handfirst.engines.bundle import Bundle
from handfirst.engines.engine import Engine

TOGETHER = 1 << 29
"""Bytes of a bundle up to which onnxruntime opens two graphs at a time.

Opening the 38 MB of the embedded model so takes 0.55 of the time on two cores; more threads gain nothing. What opening
needs for a while on top is several times a graph's size: larger models are opened one by one, the largest first while
little else is loaded, which saves a third of the memory at full size.
"""


def open_engines(bundle: Bundle, roles: Iterable[str], engine: str, threads: int | None) -> dict[str, Engine]:
    """An engine per role.

    Args:
        engine: one of choice.ENGINES.
        threads: for one operator; None: one per usable core.

    Raises:
        BundleError, EngineError: as `Bundle.engine`, of the largest graph that fails.
    """
    ordered = sorted(roles, key=bundle.size, reverse=True)
    small = sum(bundle.size(role) for role in ordered) <= TOGETHER
    with ThreadPoolExecutor(2 if engine == "cpu" and small else 1, "handfirst-open") as pool:
        return dict(zip(ordered, pool.map(lambda role: bundle.engine(role, engine, threads), ordered), strict=True))
