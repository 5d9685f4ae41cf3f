"""What every operator does to shapes, as ONNX defines it (opset 13 to 22).

Whole numbers are carried along where they are known, since shapes are often computed inside a graph. A rule that raises
says that the shape cannot be told. Knows nothing about graphs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import floor, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.profile.nodes import Constant
from handfirst.runtime.profile.sizes import Call, Shape, Size

MOST_VALUES = 1024
"""Elements up to which a computed tensor is worth carrying along: it may become a shape."""

Made = Size | list[Size]
"""One size for every output, or one each."""


def _first(call: Call) -> Made:
    return Size(call.shape())


def _broadcast(call: Call) -> Made:
    return Size(np.broadcast_shapes(*call.shapes()))


def _arithmetic(function: Callable[..., Any]) -> Callable[[Call], Made]:
    def rule(call: Call) -> Made:
        shape = np.broadcast_shapes(*call.shapes())
        sizes = [call.size(i) for i in range(len(call.shapes()))]
        values = [each.values for each in sizes if each.values is not None]
        known = len(values) == len(sizes) and prod(shape) <= MOST_VALUES
        return Size(shape, np.asarray(function(*values)) if known else None)

    return rule


def _divide(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(np.trunc(a / b).astype(a.dtype) if a.dtype.kind == "i" else a / b)


def _cast(call: Call) -> Made:
    values, kind = call.size(0).values, {1: np.float32, 6: np.int32, 7: np.int64, 9: np.bool_}.get(call.attribute("to"))
    return Size(call.shape(), values.astype(kind) if values is not None and kind is not None else None)


def _shape(call: Call) -> Made:
    sizes = call.shape()[slice(call.attribute("start", 0), call.attribute("end"))]
    return Size((len(sizes),), np.array(sizes, np.int64))


def _constant(call: Call) -> Made:
    value = call.attribute("value")
    if isinstance(value, Constant):
        return Size(value.shape, value.values)
    whole = call.attribute("value_int", call.attribute("value_ints"))
    values = np.array(whole, np.int64) if whole is not None else np.empty((), np.float32)
    return Size(values.shape, values if whole is not None else None)


def _filled(call: Call) -> Made:
    shape, value = tuple(call.whole(0)), call.attribute("value")
    known = isinstance(value, Constant) and value.values is not None and prod(shape) <= MOST_VALUES
    return Size(shape, np.full(shape, value.values.item()) if known else None)


def _range(call: Call) -> Made:
    values = np.arange(*(call.values(i).item() for i in range(3)))
    return Size(values.shape, values)


def _reshape(call: Call) -> Made:
    old, wanted = call.shape(), call.whole(1)
    copied = [old[i] if axis == 0 and not call.attribute("allowzero", 0) else axis for i, axis in enumerate(wanted)]
    rest = prod(axis for axis in copied if axis != -1)
    new = tuple(prod(old) // rest if axis == -1 else axis for axis in copied)
    if prod(new) != prod(old):
        raise ValueError("as many elements as before")
    values = call.size(0).values
    return Size(new, None if values is None else values.reshape(new))


def _flatten(call: Call) -> Made:
    shape, axis = call.shape(), call.attribute("axis", 1)
    return Size((prod(shape[:axis]), prod(shape[axis:])))


def _unsqueeze(call: Call) -> Made:
    axes = call.listed("axes", 1) or []
    rank = len(call.shape()) + len(axes)
    places, rest = {axis % rank for axis in axes}, iter(call.shape())
    return _moved(call, tuple(1 if i in places else next(rest) for i in range(rank)))


def _squeeze(call: Call) -> Made:
    shape, axes = call.shape(), call.listed("axes", 1)
    gone = {i for i, n in enumerate(shape) if n == 1} if axes is None else {axis % len(shape) for axis in axes}
    return _moved(call, tuple(n for i, n in enumerate(shape) if i not in gone))


def _moved(call: Call, shape: Shape) -> Size:
    values = call.size(0).values
    return Size(shape, None if values is None else values.reshape(shape))


def _transpose(call: Call) -> Made:
    shape = call.shape()
    return Size(tuple(shape[axis] for axis in call.attribute("perm", range(len(shape))[::-1])))


def _concat(call: Call) -> Made:
    shapes = call.shapes()
    sizes = [call.size(i) for i in range(len(shapes))]
    axis = call.attribute("axis") % len(shapes[0])
    shape = (*shapes[0][:axis], sum(each[axis] for each in shapes), *shapes[0][axis + 1 :])
    values = [each.values for each in sizes if each.values is not None]
    return Size(shape, np.concatenate(values, axis) if len(values) == len(sizes) else None)


def _slice(call: Call) -> Made:
    shape = call.shape()
    starts, ends = call.listed("starts", 1) or [], call.listed("ends", 2) or []
    axes = call.listed("axes", 3) or list(range(len(starts)))
    steps = call.listed("steps", 4) or [1] * len(starts)
    new, values = call.shape(), call.size(0).values
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        kept = _cut(start, end, step, shape[axis])
        new = _with(new, axis, len(kept))
        values = None if values is None else values.take(kept, axis)
    return Size(new, values)


def _cut(start: int, end: int, step: int, size: int) -> range:
    """The indices of a slice. Backwards it differs from Python's: a start before the first element is the first."""
    low, high = (0, size) if step > 0 else (-1, size - 1)
    first, last = (place + size if place < 0 else place for place in (start, end))
    return range(min(max(first, 0), high), min(max(last, low), high), step)


def _split(call: Call) -> Made:
    shape, axis = call.shape(), call.attribute("axis", 0)
    pieces = call.listed("split", 1)
    if pieces is None:
        count = call.attribute("num_outputs", call.outputs)
        each = -(-shape[axis] // count)
        pieces = [min(each, shape[axis] - i * each) for i in range(count)]
    return [Size(_with(shape, axis, piece)) for piece in pieces]


def _gather(call: Call) -> Made:
    shape, picked, axis = call.shape(), call.shape(1), call.attribute("axis", 0) % len(call.shape())
    new = (*shape[:axis], *picked, *shape[axis + 1 :])
    known = call.size(0).values is not None and call.size(1).values is not None
    return Size(new, np.take(call.values(0), call.values(1), axis) if known else None)


def _expand(call: Call) -> Made:
    return Size(np.broadcast_shapes(call.shape(), tuple(call.whole(1))))


def _tile(call: Call) -> Made:
    return Size(tuple(n * times for n, times in zip(call.shape(), call.whole(1), strict=True)))


def _pad(call: Call) -> Made:
    shape, pads = call.shape(), call.listed("pads", 1) or []
    axes = call.whole(3) if call.given(3) else list(range(len(shape)))
    for i, axis in enumerate(axes):
        shape = _with(shape, axis, shape[axis] + pads[i] + pads[i + len(axes)])
    return Size(shape)


def _reduce(call: Call) -> Made:
    shape, axes = call.shape(), call.listed("axes", 1)
    if not axes:
        axes = [] if call.attribute("noop_with_empty_axes", 0) else list(range(len(shape)))
    gone, keep = {axis % len(shape) for axis in axes}, call.attribute("keepdims", 1)
    return Size(tuple(1 if i in gone else n for i, n in enumerate(shape) if keep or i not in gone))


def _blocks(call: Call) -> Made:
    (n, c, h, w), b = call.shape(), call.attribute("blocksize")
    deep = call.kind == "SpaceToDepth"
    return Size((n, c * b * b, h // b, w // b) if deep else (n, c // (b * b), h * b, w * b))


def _resize(call: Call) -> Made:
    if call.given(3):
        return Size(tuple(call.whole(3)))
    scales = call.values(2)
    return Size(tuple(floor(n * float(scale)) for n, scale in zip(call.shape(), scales, strict=True)))


def _window(call: Call, kernel: Shape) -> Iterator[tuple[int, int, int, int]]:
    """(size of the window, stride, padding of both sides, input) by axis."""
    rank = len(kernel)
    if call.attribute("auto_pad", "NOTSET") != "NOTSET" or call.attribute("ceil_mode", 0):
        raise ValueError("sizes are rounded in a way that is not known here")
    ones, pads = [1] * rank, call.attribute("pads", [0] * 2 * rank)
    dilations, strides = call.attribute("dilations", ones), call.attribute("strides", ones)
    for i, size in enumerate(call.shape()[2:]):
        yield dilations[i] * (kernel[i] - 1) + 1, strides[i], pads[i] + pads[i + rank], size


def _conv(call: Call) -> Made:
    weight = call.shape(1)
    windows = _window(call, weight[2:])
    return Size((call.shape()[0], weight[0], *((n + pad - wide) // step + 1 for wide, step, pad, n in windows)))


def _conv_transpose(call: Call) -> Made:
    weight = call.shape(1)
    more = call.attribute("output_padding", [0] * len(weight[2:]))
    if call.attribute("output_shape") is not None:
        raise ValueError("sizes are given in a way that is not known here")
    sizes = [step * (n - 1) + wide - pad for wide, step, pad, n in _window(call, weight[2:])]
    channels = weight[1] * call.attribute("group", 1)
    return Size((call.shape()[0], channels, *(a + b for a, b in zip(sizes, more, strict=True))))


def _pool(call: Call) -> Made:
    windows = _window(call, tuple(call.attribute("kernel_shape")))
    return Size((*call.shape()[:2], *((n + pad - wide) // step + 1 for wide, step, pad, n in windows)))


def _matmul(call: Call) -> Made:
    a, b = call.shape(0), call.shape(1)
    if min(len(a), len(b)) < 2 or a[-1] != b[-2]:
        raise ValueError("vectors, or sizes that do not fit")
    return Size((*np.broadcast_shapes(a[:-2], b[:-2]), a[-2], b[-1]))


def _gemm(call: Call) -> Made:
    a, b = call.shape(0), call.shape(1)
    return Size((a[1 if call.attribute("transA", 0) else 0], b[0 if call.attribute("transB", 0) else 1]))


def _with(shape: Shape, axis: int, size: int) -> Shape:
    axis %= len(shape)
    return (*shape[:axis], size, *shape[axis + 1 :])


_ARITHMETIC: Mapping[str, Callable[..., Any]] = {
    "Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": _divide, "Pow": np.power, "Mod": np.mod,
    "Neg": np.negative, "Equal": np.equal, "Greater": np.greater, "GreaterOrEqual": np.greater_equal,
    "Less": np.less, "LessOrEqual": np.less_equal, "Max": np.maximum, "Min": np.minimum, "Where": np.where,
}  # fmt: skip

RULES: Mapping[str, Callable[[Call], Made]] = {
    **dict.fromkeys(
        ("Clip", "Cos", "Erf", "Exp", "Gelu", "GroupNormalization", "Identity", "InstanceNormalization", "IsNaN",
         "LayerNormalization", "LeakyRelu", "Log", "Not", "RMSNormalization", "Reciprocal", "Relu", "Sigmoid", "Sin",
         "Softmax", "Sqrt", "Tanh", "Trilu"),
        _first,
    ),
    **dict.fromkeys(("And", "Or"), _broadcast),
    **dict.fromkeys(("ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum"), _reduce),
    **{kind: _arithmetic(function) for kind, function in _ARITHMETIC.items()},
    "AveragePool": _pool, "Cast": _cast, "Concat": _concat, "Constant": _constant, "ConstantOfShape": _filled,
    "Conv": _conv, "ConvTranspose": _conv_transpose, "DepthToSpace": _blocks, "Expand": _expand, "Flatten": _flatten,
    "Gather": _gather, "Gemm": _gemm, "MatMul": _matmul, "MaxPool": _pool, "Pad": _pad, "Range": _range,
    "Reshape": _reshape, "Resize": _resize, "Shape": _shape, "Slice": _slice, "SpaceToDepth": _blocks,
    "Split": _split, "Squeeze": _squeeze, "Tile": _tile, "Transpose": _transpose, "Unsqueeze": _unsqueeze,
}  # fmt: skip
