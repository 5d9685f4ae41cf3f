"""Progress bars on stderr, one per stage. Knows nothing about what the stages do."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


class Bars:
    """A context manager; `update` opens a bar when a stage is named for the first time.

    Args:
        show: True and False are orders; None draws only where stderr is a terminal.
    """

    def __init__(self, show: bool | None = None) -> None:
        console = Console(stderr=True, force_terminal=True if show else None)
        self._bars = Progress(
            TextColumn("{task.description:<8}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            disable=show is False or not console.is_terminal,
        )
        self._stages: dict[str, TaskID] = {}

    def update(self, stage: str, step: int, total: int | None) -> None:
        """`step` of `total` of `stage` is done; without a total the bar only shows that work goes on."""
        if stage not in self._stages:
            self._stages[stage] = self._bars.add_task(stage, total=total)
        self._bars.update(self._stages[stage], completed=step, total=total)

    def __enter__(self) -> Bars:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()
