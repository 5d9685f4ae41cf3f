"""A step of a loop on a GPU as one CUDA graph: captured when it is asked for again, proven once, replayed from then on.

Knows nothing about what engines and kernel do in a step; of the loop's memory it looks at two tensors.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from handfirst.engines.cuda.lane import Lane
from handfirst.engines.engine import Placed, StreamEngine
from handfirst.engines.errors import EngineError

UNSAID = -3e38
"""What no network predicts, not even one that fails: that is NaN or infinite."""


class StepGraphs:
    """Of one loop. One caller at a time, who holds the lane's lock.

    Args:
        lane: where all of it happens.
        held: the loop's memory: "state", whose first number counts the steps that were taken, and "prediction", what
            the networks say in a step.
    """

    def __init__(self, lane: Lane, held: Mapping[str, Placed]) -> None:
        self._lane = lane
        self._held = held
        self._graphs: dict[int, _Captured] = {}  # by the answers that a step asks for
        self._ran: set[int] = set()  # answers that a step of this job has asked for
        self._replays = True

    def begin(self) -> None:
        """A job begins."""
        self._ran = set()

    def run(
        self, index: int, answers: int, engines: Sequence[StreamEngine], queue: Callable[[], None], whole: bool
    ) -> None:
        """Takes a step, as one graph where that is possible.

        Args:
            index: of the step, from 1.
            answers: what it asks the networks for; steps that ask for as many are the same graph.
            engines: whose work it is; none where it asks for nothing.
            queue: gives it to the stream piece by piece.
            whole: whether it may be one graph.
        """
        cuda, stream = self._lane.cuda, self._lane.stream
        computes_in = [engine.computes_in for engine in engines]
        captured = self._graphs.get(answers)
        if captured is not None and computes_in != captured.computes_in:
            cuda.wait(stream)
            cuda.drop(self._graphs.pop(answers).graph)
            self._ran.discard(answers)
            captured = None
        whole = whole and self._replays and all(engine.captured for engine in engines)
        if not engines or not whole or (captured is None and answers not in self._ran):
            queue()  # the first run as it is: libraries take memory then, which a capture forbids
        elif captured is None:
            self._capture(index, answers, queue, computes_in)
        else:
            cuda.launch(captured.graph, stream)
        self._ran.add(answers)

    def given_up(self) -> list[int]:
        """All graphs; none of them is replayed any more."""
        graphs, self._graphs = self._graphs, {}
        return [captured.graph for captured in graphs.values()]

    def _capture(self, index: int, answers: int, queue: Callable[[], None], computes_in: list[object]) -> None:
        """Captures the step and runs it; where that is refused, steps run one by one from now on."""
        try:
            graph = self._lane.cuda.capture(queue, self._lane.stream)
        except EngineError as error:
            self._replays = False
            warnings.warn(f"steps run without a CUDA graph: {error}", RuntimeWarning, stacklevel=2)
            queue()
        else:
            self._graphs[answers] = _Captured(graph, computes_in)
            self._prove(index, answers, queue)

    def _prove(self, index: int, answers: int, queue: Callable[[], None]) -> None:
        """The first replay: a graph that was captured while another device was current is empty, and says nothing."""
        cuda, stream, graph = self._lane.cuda, self._lane.stream, self._graphs[answers].graph
        said = self._held["prediction"]
        cuda.upload(said.address, np.full(said.shape, UNSAID, np.float32), stream)
        cuda.launch(graph, stream)
        state, prediction = self._lane.bring(self._held["state"], said)
        if state[0] == index and (prediction != np.float32(UNSAID)).any():
            return
        del self._graphs[answers]
        self._replays = False
        cuda.drop(graph)
        if state[0] != index - 1:  # the step was taken, on what no network has said
            raise EngineError("a captured step ran without its networks; use engine 'cuda', or ask again")
        warnings.warn("a captured step changed nothing; steps run without a CUDA graph", RuntimeWarning, stacklevel=2)
        queue()


@dataclass(frozen=True)
class _Captured:
    """A step as a CUDA graph, and what the engines computed in when it was captured."""

    graph: int
    computes_in: list[object]
