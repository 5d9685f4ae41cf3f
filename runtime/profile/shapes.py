"""The shape of every tensor of a graph for given shapes of its inputs. Nothing is computed but sizes.

Knows nothing about weights or what a graph is for; what an operator does to shapes is in shape_rules.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from handfirst.runtime.profile.nodes import Nodes, Operator
from handfirst.runtime.profile.shape_rules import RULES
from handfirst.runtime.profile.sizes import Call, Shape, Size


class UnknownShapeError(Exception):
    """An operator that is not known here, or sizes that depend on values that only a run makes."""


def propagate(nodes: Nodes, inputs: Mapping[str, Shape]) -> Iterator[tuple[Operator, list[Size | None], list[Size]]]:
    """Every operator with the sizes of its inputs (None: left out) and outputs, in the graph's order.

    Raises:
        UnknownShapeError: naming the operator.
    """
    sizes: dict[str, Size] = {name: Size(shape) for name, shape in inputs.items()}
    sizes |= {name: Size(each.shape, each.values) for name, each in nodes.constants.items()}
    for operator in nodes.operators:
        taken = [sizes[name] if name else None for name in operator.inputs]
        try:
            made = RULES[operator.kind](Call(taken, operator))
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            shapes = ", ".join(str(list(each.shape)) for each in taken if each)
            raise UnknownShapeError(f"{operator.kind} of {shapes}") from error
        given = made if isinstance(made, list) else [made] * len(operator.outputs)
        sizes.update(zip(operator.outputs, given, strict=False))
        yield operator, taken, given
