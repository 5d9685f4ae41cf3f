"""Batch limits: what they do to a part's spec, and whole bundles that keep to them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from handfirst.engines.bundle import Bundle
from handfirst.engines.errors import UserError
from handfirst.engines.spec import AxisLimits
from handfirst.export.bundle_writer import export_bundle
from handfirst.export.limits import limit_rows
from handfirst.export.options import ExportOptions
from handfirst.export.parts import Part
from handfirst.runtime.cli.demo import demo_pose
from handfirst.runtime.request import Request
from handfirst.runtime.systems.two_stage import TwoStage

REQUEST = Request(pose=demo_pose(), prompt="a person, left hand open palm", steps=2)


@pytest.mark.parametrize("most", [2, 3, 16])
def test_a_batch_that_may_grow_is_limited(parts: dict[str, Part], most: int) -> None:
    spec = limit_rows(parts["hand_unet"], most).spec
    assert spec.limits == {"batch": AxisLimits(least=1, usual=2, most=most)} and spec.most_rows == most
    assert spec.inputs == parts["hand_unet"].spec.inputs


def test_one_row_is_a_fixed_axis(parts: dict[str, Part]) -> None:
    spec = limit_rows(parts["body_unet"], 1).spec
    assert spec.limits == {} and spec.most_rows == 1
    assert all(isinstance(axis, int) for t in (*spec.inputs, *spec.outputs) for axis in t.shape)


@pytest.mark.parametrize("rows", [0, -1, 17])
def test_other_numbers_are_refused(rows: int) -> None:
    with pytest.raises(UserError, match=f"1 to 16 rows at once.*got {rows}"):
        ExportOptions(batch=rows)


@pytest.fixture(scope="module")
def alone(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle whose graphs take one row; its export compared every graph, and the whole loop, with torch."""
    out = tmp_path_factory.mktemp("limits") / "alone"
    return Bundle.open(export_bundle(model_folder, out, ExportOptions("alone", batch=1)))


def test_graphs_of_one_row_paint_what_graphs_of_any_batch_paint(
    alone: Bundle, model_folder: Path, tmp_path: Path
) -> None:
    shapes = {role: entry.spec.inputs[0].shape for role, entry in alone.manifest.engines.items()}
    assert {shape[0] for shape in shapes.values()} == {1} and shapes["body_unet"] == (1, 4, 8, 8)
    options = ExportOptions("three", batch=3)
    three = Bundle.open(export_bundle(model_folder, tmp_path / "three", options))
    assert {e.spec.most_rows for e in three.manifest.engines.values()} == {3}
    one, many = (TwoStage.open(bundle.path, engine="cpu") for bundle in (alone, three))
    results = one.render_batch([REQUEST] * 2), many.render_batch([REQUEST] * 2)
    for a, b in zip(*results, strict=True):
        assert len(a.hands) == 2  # eight rows of the hand UNet at once, were they allowed
        np.testing.assert_allclose(a.latents, b.latents, atol=1e-4)


def test_openvino_runs_graphs_of_one_row(alone: Bundle) -> None:
    cpu, openvino = (TwoStage.open(alone.path, engine=engine) for engine in ("cpu", "openvino"))
    np.testing.assert_allclose(cpu.render(REQUEST).latents, openvino.render(REQUEST).latents, atol=1e-3)
