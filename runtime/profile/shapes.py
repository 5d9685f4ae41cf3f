"""The shape of every tensor of a graph for given shapes of its inputs. Nothing is computed but sizes.

Follows the operators' definitions in ONNX (opset 13 to 21). Whole numbers are carried along where they are known, since
shapes are often computed inside the graph. Knows nothing about weights or what a graph is for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import floor, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.profile.nodes import Constant, Nodes, Operator

Shape = tuple[int, ...]
MOST_VALUES = 1024
"""Elements up to which a computed tensor is worth carrying along: it may become a shape."""


class UnknownShapeError(Exception):
    """An operator that is not known here, or sizes that depend on values that only a run makes."""


@dataclass(frozen=True, eq=False)
class Size:
    """A tensor's shape, and its values where they are known."""

    shape: Shape
    values: NDArray[Any] | None = None


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
            made = _RULES[operator.kind](_Call(taken, operator))
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            shapes = ", ".join(str(list(each.shape)) for each in taken if each)
            raise UnknownShapeError(f"{operator.kind} of {shapes}") from error
        given = made if isinstance(made, list) else [made] * len(operator.outputs)
        sizes.update(zip(operator.outputs, given, strict=False))
        yield operator, taken, given


class _Call:
    """What a rule looks at: sizes by position, attributes by name."""

    def __init__(self, sizes: Sequence[Size | None], operator: Operator) -> None:
        self._sizes = sizes
        self._attributes = operator.attributes
        self.kind = operator.kind
        self.outputs = len(operator.outputs)

    def size(self, index: int) -> Size:
        found = self._sizes[index]
        if found is None:
            raise ValueError("an input is left out")
        return found

    def shape(self, index: int = 0) -> Shape:
        return self.size(index).shape

    def given(self, index: int) -> bool:
        return index < len(self._sizes) and self._sizes[index] is not None

    def shapes(self) -> list[Shape]:
        return [each.shape for each in self._sizes if each is not None]

    def values(self, index: int) -> NDArray[Any]:
        """Raises TypeError where they are not known."""
        found = self.size(index).values
        if found is None:
            raise TypeError("the values are not known")
        return found

    def whole(self, index: int) -> list[int]:
        return [int(value) for value in self.values(index).ravel()]

    def attribute(self, name: str, default: Any = None) -> Any:
        found = self._attributes.get(name)
        return default if found is None else found

    def listed(self, name: str, index: int) -> list[int] | None:
        """A list that newer opsets take as an input and older ones as an attribute."""
        found = self.whole(index) if self.given(index) else self.attribute(name)
        return None if found is None else list(found)


_Made = Size | list[Size]
"""One size for every output, or one each."""


def _first(call: _Call) -> _Made:
    return Size(call.shape())


def _broadcast(call: _Call) -> _Made:
    return Size(np.broadcast_shapes(*call.shapes()))


def _arithmetic(function: Callable[..., Any]) -> Callable[[_Call], _Made]:
    def rule(call: _Call) -> _Made:
        shape = np.broadcast_shapes(*call.shapes())
        sizes = [call.size(i) for i in range(len(call.shapes()))]
        values = [each.values for each in sizes if each.values is not None]
        known = len(values) == len(sizes) and prod(shape) <= MOST_VALUES
        return Size(shape, np.asarray(function(*values)) if known else None)

    return rule


def _divide(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(np.trunc(a / b).astype(a.dtype) if a.dtype.kind == "i" else a / b)


def _cast(call: _Call) -> _Made:
    values, kind = call.size(0).values, {1: np.float32, 6: np.int32, 7: np.int64, 9: np.bool_}.get(call.attribute("to"))
    return Size(call.shape(), values.astype(kind) if values is not None and kind is not None else None)


def _shape(call: _Call) -> _Made:
    sizes = call.shape()[slice(call.attribute("start", 0), call.attribute("end"))]
    return Size((len(sizes),), np.array(sizes, np.int64))


def _constant(call: _Call) -> _Made:
    value = call.attribute("value")
    if isinstance(value, Constant):
        return Size(value.shape, value.values)
    whole = call.attribute("value_int", call.attribute("value_ints"))
    values = np.array(whole, np.int64) if whole is not None else np.empty((), np.float32)
    return Size(values.shape, values if whole is not None else None)


def _filled(call: _Call) -> _Made:
    shape, value = tuple(call.whole(0)), call.attribute("value")
    known = isinstance(value, Constant) and value.values is not None and prod(shape) <= MOST_VALUES
    return Size(shape, np.full(shape, value.values.item()) if known else None)


def _range(call: _Call) -> _Made:
    values = np.arange(*(call.values(i).item() for i in range(3)))
    return Size(values.shape, values)


def _reshape(call: _Call) -> _Made:
    old, wanted = call.shape(), call.whole(1)
    copied = [old[i] if axis == 0 and not call.attribute("allowzero", 0) else axis for i, axis in enumerate(wanted)]
    rest = prod(axis for axis in copied if axis != -1)
    new = tuple(prod(old) // rest if axis == -1 else axis for axis in copied)
    if prod(new) != prod(old):
        raise ValueError("as many elements as before")
    values = call.size(0).values
    return Size(new, None if values is None else values.reshape(new))


def _flatten(call: _Call) -> _Made:
    shape, axis = call.shape(), call.attribute("axis", 1)
    return Size((prod(shape[:axis]), prod(shape[axis:])))


def _unsqueeze(call: _Call) -> _Made:
    axes = call.listed("axes", 1) or []
    rank = len(call.shape()) + len(axes)
    places, rest = {axis % rank for axis in axes}, iter(call.shape())
    return _moved(call, tuple(1 if i in places else next(rest) for i in range(rank)))


def _squeeze(call: _Call) -> _Made:
    shape, axes = call.shape(), call.listed("axes", 1)
    gone = {i for i, n in enumerate(shape) if n == 1} if axes is None else {axis % len(shape) for axis in axes}
    return _moved(call, tuple(n for i, n in enumerate(shape) if i not in gone))


def _moved(call: _Call, shape: Shape) -> Size:
    values = call.size(0).values
    return Size(shape, None if values is None else values.reshape(shape))


def _transpose(call: _Call) -> _Made:
    shape = call.shape()
    return Size(tuple(shape[axis] for axis in call.attribute("perm", range(len(shape))[::-1])))


def _concat(call: _Call) -> _Made:
    shapes = call.shapes()
    sizes = [call.size(i) for i in range(len(shapes))]
    axis = call.attribute("axis") % len(shapes[0])
    shape = (*shapes[0][:axis], sum(each[axis] for each in shapes), *shapes[0][axis + 1 :])
    values = [each.values for each in sizes if each.values is not None]
    return Size(shape, np.concatenate(values, axis) if len(values) == len(sizes) else None)


def _slice(call: _Call) -> _Made:
    shape = call.shape()
    starts, ends = call.listed("starts", 1) or [], call.listed("ends", 2) or []
    axes = call.listed("axes", 3) or list(range(len(starts)))
    steps = call.listed("steps", 4) or [1] * len(starts)
    cuts = [slice(None)] * len(shape)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        cuts[axis] = slice(start, end, step)
    values = call.size(0).values
    new = tuple(len(range(*cut.indices(n))) for cut, n in zip(cuts, shape, strict=True))
    return Size(new, None if values is None else values[tuple(cuts)])


def _split(call: _Call) -> _Made:
    shape, axis = call.shape(), call.attribute("axis", 0)
    pieces = call.listed("split", 1)
    if pieces is None:
        count = call.attribute("num_outputs", call.outputs)
        each = -(-shape[axis] // count)
        pieces = [min(each, shape[axis] - i * each) for i in range(count)]
    return [Size(_with(shape, axis, piece)) for piece in pieces]


def _gather(call: _Call) -> _Made:
    shape, picked, axis = call.shape(), call.shape(1), call.attribute("axis", 0) % len(call.shape())
    new = (*shape[:axis], *picked, *shape[axis + 1 :])
    known = call.size(0).values is not None and call.size(1).values is not None
    return Size(new, np.take(call.values(0), call.values(1), axis) if known else None)


def _expand(call: _Call) -> _Made:
    return Size(np.broadcast_shapes(call.shape(), tuple(call.whole(1))))


def _tile(call: _Call) -> _Made:
    return Size(tuple(n * times for n, times in zip(call.shape(), call.whole(1), strict=True)))


def _pad(call: _Call) -> _Made:
    shape, pads = call.shape(), call.listed("pads", 1) or []
    axes = call.whole(3) if call.given(3) else list(range(len(shape)))
    for i, axis in enumerate(axes):
        shape = _with(shape, axis, shape[axis] + pads[i] + pads[i + len(axes)])
    return Size(shape)


def _reduce(call: _Call) -> _Made:
    shape, axes = call.shape(), call.listed("axes", 1)
    if not axes:
        axes = [] if call.attribute("noop_with_empty_axes", 0) else list(range(len(shape)))
    gone, keep = {axis % len(shape) for axis in axes}, call.attribute("keepdims", 1)
    return Size(tuple(1 if i in gone else n for i, n in enumerate(shape) if keep or i not in gone))


def _blocks(call: _Call) -> _Made:
    (n, c, h, w), b = call.shape(), call.attribute("blocksize")
    deep = call.kind == "SpaceToDepth"
    return Size((n, c * b * b, h // b, w // b) if deep else (n, c // (b * b), h * b, w * b))


def _resize(call: _Call) -> _Made:
    if call.given(3):
        return Size(tuple(call.whole(3)))
    scales = call.values(2)
    return Size(tuple(floor(n * float(scale)) for n, scale in zip(call.shape(), scales, strict=True)))


def _window(call: _Call, kernel: Shape) -> Iterator[tuple[int, int, int, int]]:
    """(size of the window, stride, padding of both sides, input) by axis."""
    rank = len(kernel)
    if call.attribute("auto_pad", "NOTSET") != "NOTSET" or call.attribute("ceil_mode", 0):
        raise ValueError("sizes are rounded in a way that is not known here")
    ones, pads = [1] * rank, call.attribute("pads", [0] * 2 * rank)
    dilations, strides = call.attribute("dilations", ones), call.attribute("strides", ones)
    for i, size in enumerate(call.shape()[2:]):
        yield dilations[i] * (kernel[i] - 1) + 1, strides[i], pads[i] + pads[i + rank], size


def _conv(call: _Call) -> _Made:
    weight = call.shape(1)
    windows = _window(call, weight[2:])
    return Size((call.shape()[0], weight[0], *((n + pad - wide) // step + 1 for wide, step, pad, n in windows)))


def _conv_transpose(call: _Call) -> _Made:
    weight = call.shape(1)
    more = call.attribute("output_padding", [0] * len(weight[2:]))
    if call.attribute("output_shape") is not None:
        raise ValueError("sizes are given in a way that is not known here")
    sizes = [step * (n - 1) + wide - pad for wide, step, pad, n in _window(call, weight[2:])]
    channels = weight[1] * call.attribute("group", 1)
    return Size((call.shape()[0], channels, *(a + b for a, b in zip(sizes, more, strict=True))))


def _pool(call: _Call) -> _Made:
    windows = _window(call, tuple(call.attribute("kernel_shape")))
    return Size((*call.shape()[:2], *((n + pad - wide) // step + 1 for wide, step, pad, n in windows)))


def _matmul(call: _Call) -> _Made:
    a, b = call.shape(0), call.shape(1)
    if min(len(a), len(b)) < 2 or a[-1] != b[-2]:
        raise ValueError("vectors, or sizes that do not fit")
    return Size((*np.broadcast_shapes(a[:-2], b[:-2]), a[-2], b[-1]))


def _gemm(call: _Call) -> _Made:
    a, b = call.shape(0), call.shape(1)
    return Size((a[1 if call.attribute("transA", 0) else 0], b[0 if call.attribute("transB", 0) else 1]))


def _with(shape: Shape, axis: int, size: int) -> Shape:
    axis %= len(shape)
    return (*shape[:axis], size, *shape[axis + 1 :])


_RULES: Mapping[str, Callable[[_Call], _Made]] = {
    **dict.fromkeys(
        ("Abs", "Ceil", "Clip", "Cos", "CumSum", "Dropout", "Elu", "Erf", "Exp", "Floor", "Gelu", "GroupNormalization",
         "HardSigmoid", "HardSwish", "Identity", "InstanceNormalization", "IsInf", "IsNaN", "LayerNormalization",
         "LeakyRelu", "Log", "LogSoftmax", "Mish", "Not", "RMSNormalization", "Reciprocal", "Relu", "Round",
         "ScatterND", "Sigmoid", "Sign", "Sin", "Softmax", "Softplus", "Sqrt", "Tanh", "Trilu"),
        _first,
    ),
    **dict.fromkeys(("And", "Mean", "Or", "PRelu", "Sum", "Xor"), _broadcast),
    **dict.fromkeys(("ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum", "ReduceL2", "ReduceSumSquare"), _reduce),
    **{
        kind: _arithmetic(function)
        for kind, function in {
            "Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": _divide, "Pow": np.power, "Mod": np.mod,
            "Neg": np.negative, "Equal": np.equal, "Greater": np.greater, "GreaterOrEqual": np.greater_equal,
            "Less": np.less, "LessOrEqual": np.less_equal, "Max": np.maximum, "Min": np.minimum, "Where": np.where,
        }.items()
    },
    "AveragePool": _pool, "Cast": _cast, "Concat": _concat, "Constant": _constant, "ConstantOfShape": _filled,
    "Conv": _conv, "ConvTranspose": _conv_transpose, "DepthToSpace": _blocks, "Expand": _expand, "Flatten": _flatten,
    "Gather": _gather, "Gemm": _gemm, "MatMul": _matmul, "MaxPool": _pool, "Pad": _pad, "Range": _range,
    "Reshape": _reshape, "Resize": _resize, "Shape": _shape, "Slice": _slice, "SpaceToDepth": _blocks,
    "Split": _split, "Squeeze": _squeeze, "Tile": _tile, "Transpose": _transpose, "Unsqueeze": _unsqueeze,
}  # fmt: skip
