"""The gate lets through what equals torch and names what does not."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from support.exports import Exports

from handfirst.engines.choice import TOLERANCE
from handfirst.engines.errors import UserError
from handfirst.engines.graph import Graph
from handfirst.export import gate
from handfirst.export.examples import example, reference
from handfirst.export.golden import golden_tensors
from handfirst.export.graph_files import serialise
from handfirst.export.part import Part


@pytest.fixture(scope="module")
def graph(parts: dict[str, Part], exports: Exports) -> bytes:
    return serialise(exports.to_onnx(parts["mask_head"], "float32"))


def sabotaged(graph: bytes, error: float) -> bytes:
    """The last bias moved by `error`: every pixel of the mask moves by as much."""
    model = onnx.load_from_string(graph)
    (bias,) = [t for t in model.graph.initializer if list(t.dims) == [1]]
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32(error), bias.name))
    return bytes(model.SerializeToString())


def judge(part: Part, graph: bytes) -> float:
    return gate.check(Graph(part.role, part.spec, graph), gate.run_trials(part))


def smallest_range(part: Part) -> float:
    """Peak to peak of the mask in the gate's trials: where an equal error weighs most."""
    trials = enumerate(gate.TRIALS, start=1)
    return min(float(np.ptp(reference(part, example(part, b, s, c))["mask"])) for s, (b, c) in trials)


def test_an_honest_graph_passes_far_above_the_bar(parts: dict[str, Part], graph: bytes) -> None:
    assert TOLERANCE["float32"] < 100 < judge(parts["mask_head"], graph) <= gate.EQUAL


@pytest.mark.parametrize("share", [1e-2, 3e-3])
def test_a_graph_that_is_off_is_refused_with_its_name_and_figure(
    parts: dict[str, Part], graph: bytes, share: float
) -> None:
    part = parts["mask_head"]
    error = share * smallest_range(part)
    with pytest.raises(UserError, match=r"mask_head: the exported graph is [\d.]+ dB from torch") as caught:
        judge(part, sabotaged(graph, error))
    assert float(str(caught.value).split(" is ")[1].split(" dB")[0]) == pytest.approx(-20 * np.log10(share), abs=0.1)


def test_a_small_error_is_let_through_with_its_true_figure(parts: dict[str, Part], graph: bytes) -> None:
    part = parts["mask_head"]
    assert judge(part, sabotaged(graph, 1e-4 * smallest_range(part))) == pytest.approx(80, abs=0.5)


def test_infinite_numbers_do_not_pass(parts: dict[str, Part], graph: bytes) -> None:
    with pytest.raises(UserError, match="-inf dB"):
        judge(parts["mask_head"], sabotaged(graph, float("inf")))


def test_the_graph_of_another_part_does_not_pass(parts: dict[str, Part], graph: bytes) -> None:
    with pytest.raises(UserError, match="vae_decoder"):
        judge(parts["vae_decoder"], graph)


def test_golden_tensors_are_torchs(parts: dict[str, Part]) -> None:
    part = parts["text_encoder"]
    golden = golden_tensors(part)
    ids = golden["text_encoder.in.ids"]
    np.testing.assert_array_equal(golden["text_encoder.out.context"], reference(part, {"ids": ids})["context"])
    coarse = golden_tensors(parts["mask_head"])["mask_head.in.feature"] * 16
    np.testing.assert_array_equal(coarse, np.round(coarse))


def test_golden_tensors_are_a_trial(parts: dict[str, Part], graph: bytes) -> None:
    part = parts["mask_head"]
    trial = gate.golden_trial("mask_head", golden_tensors(part) | golden_tensors(parts["text_encoder"]))
    assert list(trial.inputs) == ["feature"] and list(trial.outputs) == ["mask"]
    error = 1e-4 * float(np.ptp(trial.outputs["mask"]))
    off = Graph(part.role, part.spec, sabotaged(graph, error))
    assert gate.measure(off, [trial]) == pytest.approx(80, abs=0.5)


def test_heavy_parts_are_tried_with_two_rows_alone(parts: dict[str, Part], monkeypatch: pytest.MonkeyPatch) -> None:
    assert [len(trial.inputs["feature"]) for trial in gate.run_trials(parts["mask_head"])] == [1, 2, 6]
    monkeypatch.setattr(gate, "HEAVY", 10)
    assert [len(trial.inputs["feature"]) for trial in gate.run_trials(parts["mask_head"])] == [2]
