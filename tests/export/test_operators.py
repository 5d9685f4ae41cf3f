"""What graphs may hold against what the exporter writes: a new operator or attribute is noticed here, not by users."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest
from support.tiny_model import tiny_model

from handfirst.engines.bundle import Bundle, demo_bundle_path
from handfirst.engines.graph import Graph, Precision
from handfirst.engines.trust.graph_rules import check_graph_file
from handfirst.engines.trust.onnx_file import read_onnx
from handfirst.engines.trust.operators import MORE, OPSETS, WRITTEN
from handfirst.export.graph_files import serialise
from handfirst.export.systems.two_stage.parts import part_makers
from handfirst.export.to_onnx import OPSETS as EXPORTED
from handfirst.export.to_onnx import to_onnx

KINDS = {"AutoencoderTiny": None, "AutoencoderKL": ("vae_encoder", "vae_decoder"), "AutoencoderDC": ("vae_encoder",)}


def written(model: bytes) -> Iterator[tuple[str, str]]:
    """(operator, attribute), and (operator, "") for each."""
    file = read_onnx(model, "x")
    assert file.graph is not None and file.opsets[""] in OPSETS and len(list(file.graph.walk())) == 1
    for node in file.graph.nodes:
        yield node.op_type, ""
        yield from ((node.op_type, attribute.name) for attribute in node.attributes)


@pytest.fixture(scope="module")
def pairs() -> set[tuple[str, str]]:
    """Of tiny models in float32 (opset 21) and bfloat16 (22), and of the embedded bundle; each graph is accepted."""
    found: set[tuple[str, str]] = set()
    precisions: tuple[Precision, ...] = ("float32", "bfloat16")
    for kind, precision in itertools.product(KINDS, precisions):
        roles = KINDS[kind]
        for role, make in part_makers(tiny_model(autoencoder=kind)).items():
            if roles is None or role in roles:
                part = make()
                model = serialise(to_onnx(part, "float32", precision))
                check_graph_file(Graph(role, part.spec, model, precision=precision, source=f"{role} {precision}"))
                found.update(written(model))
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
    assert set(OPSETS) == set(EXPORTED.values())


@pytest.mark.parametrize("name", [*WRITTEN, *MORE])
def test_every_attribute_is_one_of_onnx(name: str) -> None:
    for opset in OPSETS:
        schema = onnx.defs.get_schema(name, opset)
        for attribute, rule in {**WRITTEN, **MORE}[name].items():
            assert schema.attributes[attribute].type.value == rule.kind


def test_a_bundle_that_was_exported_opens(free_sizes: tuple[Path, Path]) -> None:
    bundle = Bundle.open(free_sizes[1])
    for role in bundle.manifest.engines:
        bundle.graph(role)
