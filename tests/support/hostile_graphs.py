"""Graphs made to harm, in bundles whose hashes and sizes are right: refused when the graph is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from support.hostile_bundle import (
    Draft,
    Spoil,
    constant_from_disk,
    content,
    cycle,
    doubling_functions,
    edit,
    good_model,
    graph,
    node,
    ort_format,
    put,
    sparse,
    subgraph_from_disk,
    weights_at,
)

ENGINE = ("engines", "conv")


def weight(name: str, value: Any, data_type: type[Any] = np.int64) -> Spoil:
    return graph(lambda g: g.initializer.append(numpy_helper.from_array(np.array(value, data_type), name)))


def after(*spoils: Spoil) -> Spoil:
    return lambda draft: [spoil(draft) for spoil in spoils]


def made(op_type: str, inputs: list[str], output: str = "extra", **attributes: Any) -> Spoil:
    """One more operator, its output unused."""
    return graph(lambda g: g.node.append(helper.make_node(op_type, inputs, [output], **attributes)))


def divided(by: Any, data_type: type[Any] = np.int64) -> Spoil:
    """The least integer, which no optimiser can see coming, divided."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(data_type))
    return after(weight("by", by, data_type), made("Cast", ["x"], "whole", to=kind), made("Div", ["whole", "by"]))


def claimed(op_type: str, name: str, kind: int, **values: Any) -> Spoil:
    """An attribute that claims another type than it has."""

    def change(g: onnx.GraphProto) -> None:
        added = helper.make_node(op_type, ["x"], ["extra"])
        added.attribute.add(name=name, type=kind, **values)
        g.node.append(added)

    return graph(change)


def body(draft: Draft) -> onnx.GraphProto:
    return helper.make_graph(
        [helper.make_node("Identity", ["c"], ["d"])], "body", [], [helper.make_empty_tensor_value_info("d")]
    )


def looped(op_type: str, inputs: list[str], name: str = "body", **attributes: Any) -> Spoil:
    def change(draft: Draft) -> None:
        draft.graph.node.append(helper.make_node(op_type, inputs, ["extra"], **{name: body(draft)}, **attributes))

    return after(weight("c", 1 << 62), change)


def many(count: int, of: Callable[[onnx.GraphProto, int], Any]) -> Spoil:
    return graph(lambda g: [of(g, i) for i in range(count)])


def opset(*pairs: tuple[str, int]) -> Spoil:
    def change(draft: Draft) -> None:
        draft.model.ClearField("opset_import")
        draft.model.opset_import.extend(helper.make_opsetid(*pair) for pair in pairs)

    return change


LEAST = -(1 << 63)
NOT_OURS = "is none that handfirst exports"
DIVIDES = "divides integers"
ALONE = "takes constants alone"
ATTRIBUTE = "has an attribute"
OTHERS = (
    "ConstantOfShape", "RandomNormal", "RandomUniformLike", "Range", "Tile", "Pad", "Loop", "Scan", "If", "Mod",
    "NonZero", "Unique", "TopK", "CumSum", "Einsum", "GridSample", "NonMaxSuppression", "StringSplit", "RegexFullMatch",
    "ImageDecoder", "Optional", "SequenceConstruct", "SequenceMap", "LSTM", "STFT", "Compress", "BitShift", "Bernoulli",
    "OneHot", "ScatterND", "MatMulInteger", "QuantizeLinear", "TensorScatter", "Hardmax", "SpaceToDepth",
)  # fmt: skip

COMPUTED: dict[str, tuple[Spoil, str]] = {
    **{f"operator {name}": (node(name), NOT_OURS) for name in OTHERS},
    "an operator of a newer opset": (node("Attention"), "is of opset 23, the graph is of 21"),
    "the least integer by -1, folded": (
        after(weight("least", LEAST), weight("by", -1), made("Div", ["least", "by"])), ALONE,
    ),
    "the least integer by -1, running": (divided(-1), DIVIDES),
    "by 0": (divided(0), DIVIDES),
    "one of many is 0": (divided([1, 2, 0, 4]), DIVIDES),
    "int32 by -1": (divided(-1, np.int32), DIVIDES),
    "uint8 by 0": (divided(0, np.uint8), DIVIDES),
    "integers by an input": (after(made("Cast", ["x"], "whole", to=7), made("Div", ["whole", "whole"])), DIVIDES),
    "by what may be empty": (
        after(made("Relu", ["x"], "i"), made("Shape", ["i"], "s"), made("Div", ["s", "s"])), DIVIDES,
    ),
    "by a constant of the graph": (
        after(made("Constant", [], "by", value_ints=[-1]), made("Shape", ["x"], "shape"), made("Div", ["shape", "by"])),
        DIVIDES,
    ),
    "by numbers in another field": (
        after(
            graph(lambda g: g.initializer.append(helper.make_tensor("by", 7, [1], [-1]))),
            made("Shape", ["x"], "shape"), made("Div", ["shape", "by"]),
        ), DIVIDES,
    ),
    "what may be integers": (after(made("Where", ["x"], "what"), made("Div", ["what", "x"])), DIVIDES),
    "integers' mean": (after(made("Cast", ["x"], "whole", to=7), made("ReduceMean", ["whole"])), DIVIDES),
    "integers' power": (after(made("Cast", ["x"], "whole", to=6), made("Pow", ["whole", "whole"])), DIVIDES),
    "a terabyte unfolded": (after(weight("one", 1), weight("to", [1 << 40]), made("Expand", ["one", "to"])), ALONE),
    "doubled 40 times": (
        after(weight("c0", [1]), *[made("Concat", [f"c{i}"] * 2, f"c{i + 1}", axis=0) for i in range(40)]), ALONE,
    ),
    "an outer sum": (after(weight("q", [[1] * 999]), weight("s", [[1]] * 999), made("Add", ["q", "s"])), ALONE),
    "a product of constants": (after(weight("m", np.ones((9, 9)), np.float32), made("MatMul", ["m", "m"])), ALONE),
    "resized constants": (made("Resize", ["b"]), ALONE),
    "5,001 weights": (
        many(5_001, lambda g, i: g.initializer.append(numpy_helper.from_array(np.array(i), f"w{i}"))),
        "expected at most 5000 weights",
    ),
    "10,001 operators": (
        many(10_001, lambda g, i: g.node.append(helper.make_node("Relu", ["x"], [f"n{i}"]))),
        "expected at most 10000 operators",
    ),
    "a loop without end": (looped("Loop", ["c"]), NOT_OURS),
    "a scan": (looped("Scan", ["x"], num_scan_inputs=1), NOT_OURS),
    "a branch": (looped("If", ["c"], "then_branch"), NOT_OURS),
    "a graph in an attribute": (claimed("Relu", "body", 5), ATTRIBUTE),
    "a graph where a number should be": (looped("Softmax", ["x"], "axis"), ATTRIBUTE),
    "an unknown attribute": (made("Relu", ["x"], alpha=1.0), ATTRIBUTE),
    "an attribute twice": (
        graph(lambda g: (
            g.node.append(helper.make_node("Softmax", ["x"], ["extra"], axis=0)),
            g.node[-1].attribute.append(helper.make_attribute("axis", 1)),
        )), ATTRIBUTE,
    ),
    "blocks of 0": (made("DepthToSpace", ["x"], blocksize=0), ATTRIBUTE),
    "0 groups": (made("Conv", ["x", "k"], group=0), ATTRIBUTE),
    "0 groups to normalise": (made("GroupNormalization", ["x", "k", "b"], num_groups=0), ATTRIBUTE),
    "strides of 0": (made("Conv", ["x", "k"], strides=[0, 0]), ATTRIBUTE),
    "a kernel of 2 ** 40": (made("AveragePool", ["x"], kernel_shape=[1 << 40] * 2), ATTRIBUTE),
    "pads of 2 ** 60": (made("AveragePool", ["x"], kernel_shape=[1], pads=[1 << 60] * 2), ATTRIBUTE),
    "negative pads": (made("Conv", ["x", "k"], pads=[-1, -1]), ATTRIBUTE),
    "a million parts": (made("Split", ["x"], num_outputs=1_000_000), ATTRIBUTE),
    "no parts": (made("Split", ["x"], num_outputs=0), ATTRIBUTE),
    "an axis far away": (made("Softmax", ["x"], axis=LEAST), ATTRIBUTE),
    "a cast to nothing": (made("Cast", ["x"], to=0), ATTRIBUTE),
    "100 axes to swap": (made("Transpose", ["x"], perm=[0] * 100), ATTRIBUTE),
    "padding of its own": (made("Conv", ["x", "k"], auto_pad="SAME_UPPER"), ATTRIBUTE),
    "an unknown word": (made("Gelu", ["x"], approximate="x" * 5000), ATTRIBUTE),
    "a word for a number": (claimed("Softmax", "axis", 3, s=b"0"), ATTRIBUTE),
    "a number that claims to be a list": (claimed("Softmax", "axis", 7, i=0), ATTRIBUTE),
    "a number and a tensor": (claimed("Softmax", "axis", 2, i=0, t=TensorProto(data_type=1)), ATTRIBUTE),
    "a reference": (claimed("Softmax", "axis", 2, ref_attr_name="other"), ATTRIBUTE),
    "opset 7": (opset(("", 7)), "expected the operators of opset 21, 22 or 23"),
    "opset 99": (opset(("", 99)), "expected the operators of opset 21, 22 or 23"),
    "no opset": (opset(), "expected the operators of opset 21, 22 or 23"),
    "another domain's opset": (opset(("", 21), ("com.microsoft", 1)), "expected the operators of opset"),
    "two opsets": (opset(("", 21), ("", 7)), "is said twice"),
    "the standard domain by its other name": (node("Relu", "ai.onnx"), "is of the domain 'ai.onnx'"),
}  # fmt: skip
"""What a library would compute, or stop at, as it opens or runs a graph."""

GRAPH: dict[str, tuple[Spoil, str]] = {
    "empty file": (content("conv.onnx", b""), "conv.onnx: expected an ONNX graph"),
    "cut file": (content("conv.onnx", good_model().SerializeToString()[:-9]), "conv.onnx: expected an ONNX graph"),
    "zeros": (content("conv.onnx", bytes(500)), "conv.onnx: expected an ONNX graph"),
    "program": (content("conv.onnx", b"\x7fELF" + bytes(60)), "never loaded from a bundle"),
    "plan": (content("conv.onnx", b"ftrt" + bytes(60)), "plans are built on this machine"),
    "onnxruntime's own format": (content("conv.onnx", bytes(4) + b"ORTM" + bytes(60)), "onnxruntime's own format"),
    "a graph that is both": (ort_format, "onnxruntime's own format"),
    "options of onnxruntime": (
        lambda d: helper.set_model_props(d.model, {"ort_config": '{"session_options": {}}'}),
        "ort_config",
    ),
    "no graph": (lambda d: d.model.ClearField("graph"), "a file without one"),
    "nothing in the graph": (lambda d: d.graph.CopyFrom(onnx.GraphProto()), "the graph has"),
    "weights outside the folder": (weights_at(location="../../etc/passwd"), "'../../etc/passwd'"),
    "absolute weights": (weights_at(location="/dev/zero"), "'/dev/zero'"),
    "weights in a longer way": (weights_at(location="./conv.weights"), "'./conv.weights'"),
    "weights through a folder": (weights_at(location="x/../conv.weights"), "'x/../conv.weights'"),
    "weights in memory": (weights_at(location="*/_ORT_MEM_ADDR_/*", offset="94000000000000"), "_ORT_MEM_ADDR_"),
    "weights in a listed file that is not theirs": (weights_at(location="tokenizer.json"), "'tokenizer.json'"),
    "weights nowhere": (weights_at(location=""), "lies in ''"),
    "weights past the end": (weights_at(offset="17"), "offset '17'"),
    "weights far past the end": (weights_at(offset=str(1 << 62)), "conv.weights"),
    "weights before the beginning": (weights_at(offset="-16"), "offset '-16'"),
    "weights too short": (weights_at(length="44"), "length '44'"),
    "weights without a length": (weights_at(length=""), "length ''"),
    "two locations": (
        graph(lambda g: g.initializer[0].external_data.add(key="location", value="/etc/passwd")),
        "'k' [12] claims data in two places",
    ),
    "packed weights": (weights_at(prepacked_0="x|0;48;a"), "'k' [12] claims data in two places"),
    "data inside and outside": (
        graph(lambda g: setattr(g.initializer[0], "raw_data", bytes(48))),
        "'k' [12] claims data in two places",
    ),
    "weights that no graph uses": (
        lambda d: (
            content("more.bin", bytes(9))(d),
            edit(lambda m: m["engines"]["conv"]["data"].append("more.bin"))(d),
        ),
        "no weight lies in more.bin",
    ),
    "weights that the engine does not list": (put(*ENGINE, "data", value=[]), "'conv.weights', expected no other file"),
    "constant in a file": (graph(constant_from_disk), "only weights may lie in other files"),
    "subgraph's weight in a file": (graph(subgraph_from_disk), "'If' is none that handfirst exports"),
    "huge weight, no data": (graph(lambda g: g.initializer[1].dims.__setitem__(0, 1 << 39)), "'b' [549755813888]"),
    "absurd weight": (graph(lambda g: g.initializer[1].dims.__setitem__(0, 1 << 62)), "'b' cannot have the shape"),
    "product beyond 64 bits": (graph(lambda g: g.initializer[1].dims.extend([1 << 33, 1 << 33])), "'b'"),
    "negative weight": (graph(lambda g: g.initializer[1].dims.__setitem__(0, -12)), "'b' cannot have the shape"),
    "weight of 100 axes": (graph(lambda g: g.initializer[1].dims.extend([1] * 99)), "'b' cannot have the shape"),
    "data too short": (graph(lambda g: setattr(g.initializer[1], "raw_data", bytes(47))), "'b' [12] expected 48 bytes"),
    "data too long": (graph(lambda g: setattr(g.initializer[1], "raw_data", bytes(49))), "'b' [12] expected 48 bytes"),
    "data of another type": (graph(lambda g: setattr(g.initializer[1], "data_type", 11)), "'b' [12] expected 96 bytes"),
    "texts": (graph(lambda g: setattr(g.initializer[1], "data_type", 8)), "'b' has no numeric type"),
    "a type of the future": (graph(lambda g: setattr(g.initializer[1], "data_type", 99)), "'b' has no numeric type"),
    "sparse terabyte": (graph(sparse), "sparse"),
    "weight twice": (graph(lambda g: g.initializer.add().CopyFrom(g.initializer[1])), "initializer 'b' stands twice"),
    "missing weight": (graph(lambda g: g.initializer.__delitem__(1)), "'Add' takes 'b'"),
    "cycle": (graph(cycle), "'Mul' takes 'r'"),
    "nobody makes the output": (graph(lambda g: g.node.__delitem__(2)), "nothing makes the output 'y'"),
    "output made twice": (graph(lambda g: g.node.add().CopyFrom(g.node[2])), "two things are named 'y'"),
    "custom operator": (node("Evil", "my.company"), "'Evil' is of the domain 'my.company'"),
    "Python operator": (node("PyOp", "ai.onnx.contrib"), "domain 'ai.onnx.contrib'"),
    "TensorRT plugin": (node("TRT_PluginV2", "trt.plugins"), "domain 'trt.plugins'"),
    "TensorRT plugin, standard domain": (
        node("TRT_PluginV2", data=b"x"),
        "'TRT_PluginV2' is none that",
    ),
    "compiled engine": (
        node("EPContext", "com.microsoft", ep_cache_context=b"plan.bin"),
        "'EPContext' is of",
    ),
    "compiled model": (node("Snpe", "com.microsoft", DLC=b"x"), "'Snpe' is of the domain 'com.microsoft'"),
    "operator with a line break": (node("a\nb", "c\nd"), r"'a\nb'"),
    "functions that double": (doubling_functions, "functions as well"),
    "training graph": (lambda d: d.model.training_info.add().algorithm.CopyFrom(d.graph), "training graphs as well"),
    "other input": (graph(lambda g: setattr(g.input[0], "name", "k")), "'Mul' takes 'x'"),
    "more inputs": (graph(lambda g: g.input.add().CopyFrom(helper.make_tensor_value_info("z", 1, [1]))), "has x, z"),
    "more outputs": (graph(lambda g: g.output.add().CopyFrom(helper.make_tensor_value_info("a", 1, [1]))), "has y, a"),
    "input with a line break": (graph(lambda g: setattr(g.input[0], "name", "a\nb")), "conv.onnx"),
    "other dtype": (graph(lambda g: setattr(g.input[0].type.tensor_type, "elem_type", 10)), "input x is float32"),
    "other rank": (graph(lambda g: g.input[0].type.tensor_type.shape.dim.add(dim_value=1)), "input x is float32"),
    "other size": (
        graph(lambda g: setattr(g.output[0].type.tensor_type.shape.dim[1], "dim_value", 1 << 40)),
        "output y is float32 ['n', 12] in the manifest but float32 ['n', 1099511627776]",
    ),
    **COMPUTED,
    "sequence": (
        graph(lambda g: g.input[0].CopyFrom(helper.make_tensor_sequence_value_info("x", 1, ["n"]))),
        "another type",
    ),
}
"""Refused when the graph is read; hashes and sizes are right."""
