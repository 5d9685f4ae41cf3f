"""What graphs may hold against what the exporter writes: a new operator or attribute is noticed here, not by users."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from support.exports import Exports
from support.gpu_graphs import GpuGraph
from support.tiny_model import tiny_model

from handfirst.engines.bundle import Bundle, demo_bundle_path
from handfirst.engines.errors import BundleError
from handfirst.engines.graph import Graph, Precision
from handfirst.engines.trust.graph_rules import check_graph_file
from handfirst.engines.trust.onnx_file import read_onnx
from handfirst.engines.trust.operators import MORE, OPSETS, SINCE, WRITTEN
from handfirst.export.form import NEWEST, form_of
from handfirst.export.form import OPSETS as EXPORTED
from handfirst.export.graph_files import serialise
from handfirst.export.systems.two_stage.parts import part_makers
from handfirst.training.systems.two_stage.model_folder import ModelFolder

pytestmark = pytest.mark.long

KINDS = {"AutoencoderTiny": None, "AutoencoderKL": ("vae_encoder", "vae_decoder"), "AutoencoderDC": ("vae_encoder",)}


def written(model: bytes) -> Iterator[tuple[str, str]]:
    """(operator, attribute), and (operator, "") for each."""
    file = read_onnx(model, "x")
    assert file.graph is not None and file.opsets[""] in OPSETS and len(list(file.graph.walk())) == 1
    for node in file.graph.nodes:
        yield node.op_type, ""
        yield from ((node.op_type, attribute.name) for attribute in node.attributes)


@pytest.fixture(scope="module")
def pairs(gpu_graphs: dict[str, GpuGraph], model_folder: Path, exports: Exports) -> set[tuple[str, str]]:
    """Of tiny models in float32 (opset 21), bfloat16 (22) and the form for GPUs (23), and of the embedded bundle; each
    graph is accepted."""
    found: set[tuple[str, str]] = set()
    precisions: tuple[Precision, ...] = ("float32", "bfloat16")
    for kind, precision in itertools.product(KINDS, precisions):
        makers = part_makers(tiny_model(autoencoder=kind) if KINDS[kind] else ModelFolder(model_folder))
        parts = [makers[role]() for role in KINDS[kind] or makers]
        forms = [form_of(part, precision) for part in parts]  # of networks that share weights, before any is converted
        for part, form in zip(parts, forms, strict=True):
            model = serialise(exports.to_onnx(part, "float32", form))
            where = f"{part.role} {form}"
            check_graph_file(Graph(part.role, part.spec, model, precision=form.precision, source=where))
            found.update(written(model))
    for made in gpu_graphs.values():
        check_graph_file(made.graph)
        found.update(written(made.graph.model))
    bundle = Bundle.open(demo_bundle_path())
    for role in bundle.manifest.engines:
        found.update(written(bundle.graph(role).model))
    return found


def test_the_list_is_what_the_exporter_writes(pairs: set[tuple[str, str]]) -> None:
    allowed = {(name, attribute) for name, rules in WRITTEN.items() for attribute in ("", *rules)}
    assert pairs <= allowed, f"new: {sorted(pairs - allowed)}; add them to engines/trust/operators.py"
    assert allowed <= pairs, f"never written: {sorted(allowed - pairs)}"
    assert not WRITTEN.keys() & MORE.keys()


def test_the_opsets_are_those_of_the_exporter() -> None:
    assert set(OPSETS) == {*EXPORTED.values(), NEWEST}


@pytest.mark.parametrize("name", [*WRITTEN, *MORE])
def test_every_attribute_is_one_of_onnx(name: str) -> None:
    for opset in [opset for opset in OPSETS if opset >= SINCE.get(name, 0)]:
        schema = onnx.defs.get_schema(name, opset)
        for attribute, rule in {**WRITTEN, **MORE}[name].items():
            assert schema.attributes[attribute].type.value == rule.kind


@pytest.mark.parametrize("name", SINCE)
def test_an_operator_is_as_old_as_onnx_says(name: str) -> None:
    assert onnx.defs.get_schema(name, max(OPSETS)).since_version == SINCE[name]


@pytest.mark.parametrize("opset", [21, 22])
def test_an_operator_that_its_opset_does_not_know_is_refused(gpu_graphs: dict[str, GpuGraph], opset: int) -> None:
    graph = gpu_graphs["float16 hand_unet"].graph
    model = onnx.load_from_string(graph.model)
    model.opset_import[0].version = opset
    with pytest.raises(BundleError, match=rf"operator 'Attention' is of opset 23, the graph is of {opset}"):
        check_graph_file(replace(graph, model=model.SerializeToString()))


def test_a_bundle_that_was_exported_opens(free_sizes: tuple[Path, Path]) -> None:
    bundle = Bundle.open(free_sizes[1])
    for role in bundle.manifest.engines:
        bundle.graph(role)
