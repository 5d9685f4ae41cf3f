"""Progress bars on stderr, one per stage or one for all jobs, and one for a graph while it is compiled. Knows nothing
about what is done meanwhile."""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from handfirst.engines.building import listening


class _Drawn:
    """A context manager that draws from the first bar on; graphs that are compiled meanwhile have bars that come and
    go."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._compiled: dict[str, TaskID] = {}
        self._listening: AbstractContextManager[None] = listening(self._compiles)

    def _compiles(self, role: str, share: float | None) -> None:
        """See building.Listener."""
        if share == 1:
            if (task := self._compiled.pop(role, None)) is not None:
                self._bars.remove_task(task)
            return
        if role not in self._compiled:
            self._compiled[role] = self._bars.add_task(f"compiling {role}", total=None)
            self._bars.start()
        if share is not None:
            self._bars.update(self._compiled[role], completed=int(100 * share), total=100)

    def __enter__(self) -> Self:
        self._listening.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.__exit__(kind, error, trace)
        self._bars.stop()


class Bars(_Drawn):
    """A context manager; `update` opens a bar when a stage is named for the first time.

    Args:
        show: True and False are orders; None draws only where stderr is a terminal.
        left: each says how long it still takes, where its total is known.
    """

    def __init__(self, show: bool | None = None, left: bool = False) -> None:
        console = Console(stderr=True, force_terminal=True if show else None)
        remaining = (TextColumn("left"), TimeRemainingColumn()) if left else ()
        super().__init__(
            Progress(
                TextColumn("{task.description:<8}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                *remaining,
                console=console,
                disable=show is False or not console.is_terminal,
                speed_estimate_period=600 if left else 30,
            )
        )
        self._stages: dict[str, TaskID] = {}

    def update(self, stage: str, step: int, total: int | None) -> None:
        """`step` of `total` of `stage` is done; without a total the bar only shows that work goes on."""
        if stage not in self._stages:
            self._stages[stage] = self._bars.add_task(stage, total=total)
            self._bars.start()
        self._bars.update(self._stages[stage], completed=step, total=total)


class _Pace(ProgressColumn):
    """How many a minute, over the last while."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{60 * speed:.1f} a minute" if speed else "- a minute")


class Throughput(_Drawn):
    """One bar for many like things: how many are over, how many a minute, how long it still takes. A context manager.

    Args:
        name: of what is counted.
        total: of them.
        over: those that were over before.
        show: as for `Bars`.
    """

    def __init__(self, name: str, total: int, over: int = 0, show: bool | None = None) -> None:
        console = Console(stderr=True, force_terminal=True if show else None)
        super().__init__(
            Progress(
                TextColumn("{task.description:<8}"),
                BarColumn(),
                MofNCompleteColumn(),
                _Pace(),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=console,
                disable=show is False or not console.is_terminal,
                speed_estimate_period=600,
            )
        )
        self._task = self._bars.add_task(name, total=total, completed=over)

    def advance(self, count: int) -> None:
        """So many more are over."""
        self._bars.advance(self._task, count)

    def __enter__(self) -> Self:
        self._bars.start()
        return super().__enter__()
