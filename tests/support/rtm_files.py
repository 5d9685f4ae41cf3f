"""Networks in the layout of MMDeploy's files, as rtmlib reads them: what they find is written into them.

A detector takes float32 [batch, 3, H, W] and gives dets [batch, N, 5] (x0, y0, x1, y1, score, in its own pixels) and
labels [batch, N]; RTMPose gives simcc_x [batch, K, 2 W] and simcc_y [batch, K, 2 H], whose highest values say where a
point is, in halves of a pixel, and how sure that is.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def write_detector(file: Path, size: tuple[int, int], boxes: np.ndarray) -> None:
    """size: height and width; boxes: [N, 5]."""
    labels = np.zeros((1, len(boxes)), np.int64)
    _write(file, size, {"dets": boxes[None].astype(np.float32), "labels": labels})


def write_simcc(file: Path, size: tuple[int, int], points: np.ndarray, scores: np.ndarray) -> None:
    """size: height and width; points: [K, 2] in halves of a pixel; scores: [K]."""
    rng = np.random.default_rng(0)
    given = {}
    for axis, (name, bins) in enumerate((("simcc_x", 2 * size[1]), ("simcc_y", 2 * size[0]))):
        values = rng.uniform(-1, 0, (len(points), bins)).astype(np.float32)
        values[np.arange(len(points)), points[:, axis]] = scores
        given[name] = values[None]
    _write(file, size, given)


def _write(file: Path, size: tuple[int, int], answers: dict[str, np.ndarray]) -> None:
    """A network of random weights whose own answer, a number, is weighed with 0."""
    weight = np.random.default_rng(1).standard_normal((1, 3, 1, 1)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["input", "weight"], ["seen"]),
        helper.make_node("ReduceMean", ["seen"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
    ]
    constants = {"weight": weight, "zero": np.zeros((), np.float32), **{f"{n}_is": a for n, a in answers.items()}}
    outputs = []
    for name, answer in answers.items():
        kind = helper.np_dtype_to_tensor_dtype(answer.dtype)
        nodes += [
            helper.make_node("Cast", ["nothing"], [f"{name}_nothing"], to=kind),
            helper.make_node("Add", [f"{name}_is", f"{name}_nothing"], [name]),
        ]
        outputs.append(helper.make_tensor_value_info(name, kind, ["batch", *answer.shape[1:]]))
    pictures = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, *size])
    kept = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "mmdeploy", [pictures], outputs, kept)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6), file)
