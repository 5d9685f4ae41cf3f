"""Whose networks are in memory: all of them, or those of one stage at a time, opened when they run.

Groups of engines take turns in memory, one group is open at a time.

Whoever runs an engine of a group that is not open waits until nobody needs the one that is; then everything is closed,
and the group is opened as a whole. Engines of no group are opened beside any, and closed with it.

Threads that are in the same group run it together. A thread keeps its group between two runs, or each of two threads
would send the other's away at every step; but it does so for a moment only (PATIENCE), so that a caller who stops in
the middle keeps nobody waiting. One thread alone never waits.

Knows nothing about bundles or stages. Tensors between lazy engines come to the host: they are no DeviceEngines.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from math import inf
from time import monotonic
from typing import get_args

import numpy as np

from handfirst.engines.bundle import Bundle
from handfirst.engines.engine import Array, Engine, Tensor, TimedEngine
from handfirst.engines.errors import EngineError
from handfirst.engines.opening import open_engines
from handfirst.engines.spec import EngineSpec
from handfirst.runtime.system import Resident
from handfirst.runtime.timing.spans import span

PATIENCE = 1.0
"""Seconds after its last run for which a thread keeps its group open: longer than the work between two steps, short
beside the opening of networks for which this is worth the trouble."""

Opens = Callable[[Sequence[str]], Mapping[str, Engine]]
"""Roles -> their engines, all of them."""


def open_resident(
    bundle: Bundle,
    roles: Sequence[str],
    stages: Sequence[Sequence[str]],
    engine: str,
    threads: int | None,
    resident: Resident,
) -> Mapping[str, Engine]:
    """An engine per role.

    Args:
        roles: in the order of use; the bundle is known to have them.
        stages: roles that one stage alone needs; the others serve several.
        engine: one of choice.ENGINES.
        threads: for one operator; None: one per usable core.

    Raises:
        BundleError, EngineError: as `open_engines`. With "stage" the first role is opened alone, as the first that is
            needed: it shows that the engine runs here; what is wrong with the others is said when their stage begins.
    """
    if resident not in get_args(Resident):
        raise EngineError(f"resident must be one of {', '.join(get_args(Resident))}, got {resident!r}")
    opens = partial(open_engines, bundle, engine=engine, threads=threads)
    if resident == "all":
        return opens(roles)
    engines = lazy_engines({role: bundle.manifest.engines[role].spec for role in roles}, stages, opens)
    engines[roles[0]].open()
    return engines


def lazy_engines(
    specs: Mapping[str, EngineSpec], groups: Sequence[Sequence[str]], opens: Opens
) -> dict[str, LazyEngine]:
    """An engine per role, none of them open.

    Args:
        specs: by role; what opened engines will take and give.
        groups: of roles that are needed together; each role is in one of them or in none.
        opens: called again and again, by one thread at a time.
    """
    turns = _Turns(groups, opens)
    return {role: LazyEngine(role, spec, turns) for role, spec in specs.items()}


class LazyEngine:
    """See Engine, and `lazy_engines`, which makes them."""

    def __init__(self, name: str, spec: EngineSpec, turns: _Turns) -> None:
        self.name = name
        self.spec = spec
        self._turns = turns

    def run(self, inputs: Mapping[str, Array], wanted: Collection[str] | None = None) -> dict[str, Array]:
        """See Engine; also raises what opening raises, and the next run then tries again."""
        with self._turns.taken(self.name) as engine:
            return engine.run(inputs, wanted)

    def run_timed(
        self, inputs: Mapping[str, Tensor], keep: Collection[str] = (), wanted: Collection[str] | None = None
    ) -> tuple[dict[str, Tensor], float | None]:
        """As `run`; see TimedEngine. No seconds where what is opened tells none."""
        with self._turns.taken(self.name) as engine:
            if isinstance(engine, TimedEngine):
                return engine.run_timed(inputs, keep, wanted)
            arrays = {name: value for name, value in inputs.items() if isinstance(value, np.ndarray)}
            return {**engine.run(arrays, wanted)}, None

    def open(self) -> None:
        """Opens it, with its group, before anybody waits for it; raises what opening raises."""
        with self._turns.taken(self.name):
            pass

    def close(self) -> None:
        """See Engine: it is closed for good."""
        self._turns.close(self.name)


class _Turns:
    """Which group is open, and which threads are at it."""

    def __init__(self, groups: Sequence[Sequence[str]], opens: Opens) -> None:
        self._groups = {role: tuple(group) for group in groups for role in group}
        self._opens = opens
        self._group: tuple[str, ...] | None = None
        self._engines: dict[str, Engine] = {}
        self._closed: set[str] = set()
        self._needed: dict[int, float] = {}  # by thread: until when nothing may be closed, in seconds of `monotonic`
        self._waiting: dict[int, tuple[str, ...]] = {}  # by thread: for which group
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, role: str) -> Iterator[Engine]:
        """The opened engine, which stays open during the block."""
        thread = threading.get_ident()
        with self._changed:
            stays = role in self._groups or self._needed.get(thread, 0.0) > monotonic()
            engine = self._open(role)
            self._needed[thread] = inf
        try:
            yield engine
        finally:
            with self._changed:
                if stays:
                    self._needed[thread] = monotonic() + PATIENCE
                else:
                    del self._needed[thread]
                self._changed.notify_all()

    def close(self, role: str) -> None:
        """No run opens it again."""
        with self._changed:
            self._closed.add(role)
            engine = self._engines.pop(role, None)
        if engine is not None:
            engine.close()
            gc.collect()

    def _open(self, role: str) -> Engine:
        group = self._groups.get(role)
        if group is not None and group != self._group:
            self._wait_for(group)
        if role in self._closed:
            raise EngineError(f"{role}: the engine is closed")
        if role not in self._engines:
            with span("opening"):
                self._engines.update(self._opens([role]))
        return self._engines[role]

    def _wait_for(self, group: tuple[str, ...]) -> None:
        """Until it is open; the lock is held. Who finds that nobody needs the old group any more opens the new one."""
        thread = threading.get_ident()
        self._needed.pop(thread, None)
        if self._rest(group) > 0:
            self._waiting[thread] = group
            try:
                with span("waiting"):
                    while (rest := self._rest(group)) > 0:
                        self._changed.wait(None if rest == inf else rest)
            finally:
                del self._waiting[thread]
        if group != self._group:
            with span("opening"):
                self._switch(group)

    def _rest(self, group: tuple[str, ...]) -> float:
        """Seconds for which others still need what is open instead of the group."""
        return 0.0 if group == self._group else max(self._needed.values(), default=0.0) - monotonic()

    def _switch(self, group: tuple[str, ...]) -> None:
        old, self._engines, self._group = self._engines, {}, None
        while old:
            old.popitem()[1].close()
        gc.collect()  # what a library or a traceback holds in circles must be gone before the next is loaded
        self._engines.update(self._opens([role for role in group if role not in self._closed]))
        self._group = group
        arrived = monotonic()
        self._needed = {thread: arrived + PATIENCE for thread, wanted in self._waiting.items() if wanted == group}
        self._changed.notify_all()
