"""An engine made of arithmetic, for tests and for trying the runtime without a model."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from handfirst.engines.engine import Array, check_inputs, wanted_outputs
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
        self.wanted: list[Collection[str] | None] = []
        self._function: Callable[[Mapping[str, Array]], dict[str, Array]] | None = function

    def run(self, inputs: Mapping[str, Array], wanted: Collection[str] | None = None) -> dict[str, Array]:
        """Calls the function once."""
        if self._function is None:
            raise EngineError(f"{self.name}: the engine is closed")
        check_inputs(self.spec, inputs, self.name)
        self.calls += 1
        outputs = self._function(inputs)
        names = [tensor.name for tensor in self.spec.outputs]
        if sorted(outputs) != sorted(names):
            raise EngineError(f"{self.name}: expected outputs {', '.join(names)}, got {', '.join(outputs)}")
        self.wanted.append(wanted)
        return {tensor.name: outputs[tensor.name] for tensor in wanted_outputs(self.spec, wanted, self.name)}

    def close(self) -> None:
        """Forgets the function."""
        self._function = None
