"""What a rule for shapes looks at: the sizes of an operator's inputs, and its attributes. Knows no operator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from handfirst.runtime.profile.nodes import Operator

Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Size:
    """A tensor's shape, and its values where they are known."""

    shape: Shape
    values: NDArray[Any] | None = None


class Call:
    """One operator of a graph: sizes by position, attributes by name. What is not there raises: no rule can go on."""

    def __init__(self, sizes: Sequence[Size | None], operator: Operator) -> None:
        self._sizes = sizes
        self._attributes = operator.attributes
        self.kind = operator.kind
        self.outputs = len(operator.outputs)

    def size(self, index: int) -> Size:
        """Of an input that is not left out."""
        found = self._sizes[index]
        if found is None:
            raise ValueError("an input is left out")
        return found

    def shape(self, index: int = 0) -> Shape:
        """Of that input."""
        return self.size(index).shape

    def given(self, index: int) -> bool:
        """Whether there is such an input."""
        return index < len(self._sizes) and self._sizes[index] is not None

    def shapes(self) -> list[Shape]:
        """Of all inputs that are there."""
        return [each.shape for each in self._sizes if each is not None]

    def values(self, index: int) -> NDArray[Any]:
        """Raises TypeError where they are not known."""
        found = self.size(index).values
        if found is None:
            raise TypeError("the values are not known")
        return found

    def whole(self, index: int) -> list[int]:
        """Its values as a list of whole numbers."""
        return [int(value) for value in self.values(index).ravel()]

    def attribute(self, name: str, default: Any = None) -> Any:
        """Its value, or the operator's default."""
        found = self._attributes.get(name)
        return default if found is None else found

    def listed(self, name: str, index: int) -> list[int] | None:
        """A list that newer opsets take as an input and older ones as an attribute."""
        found = self.whole(index) if self.given(index) else self.attribute(name)
        return None if found is None else list(found)
