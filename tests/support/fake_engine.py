"""An engine made of arithmetic, for tests and for trying the runtime without a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from handfirst.engines.engine import Array, check_inputs
from handfirst.engines.errors import EngineError
from handfirst.engines.spec import EngineSpec


class FakeEngine:
    """Runs a Python function; inputs are checked as for any engine, and the outputs' names and shapes are too."""

    def __init__(
        self, spec: EngineSpec, name: str, function: Callable[[Mapping[str, Array]], dict[str, Array]]
    ) -> None:
        self.spec = spec
        self.name = name
        self.calls = 0
        self._function: Callable[[Mapping[str, Array]], dict[str, Array]] | None = function

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Calls the function once."""
        if self._function is None:
            raise EngineError(f"{self.name}: the engine is closed")
        check_inputs(self.spec, inputs, self.name)
        self.calls += 1
        outputs = self._function(inputs)
        wanted = [tensor.name for tensor in self.spec.outputs]
        if sorted(outputs) != sorted(wanted):
            raise EngineError(f"{self.name}: expected outputs {', '.join(wanted)}, got {', '.join(outputs)}")
        return outputs

    def close(self) -> None:
        """Forgets the function."""
        self._function = None
