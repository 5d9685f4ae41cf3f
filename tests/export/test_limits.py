"""Batch limits: what they do to a part's spec, and whole bundles that keep to them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.exports import Exports
from support.parts import two_stage_parts
from support.tiny_model import tiny_model, tiny_settings

from handfirst.engines.bundle import Bundle
from handfirst.engines.errors import UserError
from handfirst.engines.spec import AxisLimits
from handfirst.export.options import ExportOptions
from handfirst.export.part import Part, limit_rows
from handfirst.export.systems.two_stage.sizes import chosen, free_canvas
from handfirst.runtime.cli.main import main
from handfirst.runtime.systems.two_stage.job import demo_pose
from handfirst.runtime.systems.two_stage.request import Request
from handfirst.runtime.systems.two_stage.system import TwoStage

pytestmark = pytest.mark.long

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


def test_maps_of_a_free_canvas_are_named_and_limited() -> None:
    settings = chosen(ExportOptions(size=(128, 128), sizes=((128, 128), (256, 128))), tiny_settings())
    assert settings.body.widths == AxisLimits(least=128, usual=128, most=256, multiple=64)
    parts = {part.role: part for part in two_stage_parts(tiny_model(settings=settings))}
    spec = free_canvas(parts["body_unet"], settings).spec
    shapes = {tensor.name: tensor.shape for tensor in spec.inputs}
    assert shapes["sample"] == ("batch", 4, "rows", "cols") and shapes["context"] == ("batch", 16, 32)
    assert shapes["residual_mid"] == ("batch", 32, "rows_2", "cols_2")
    assert spec.limits == {
        "rows": AxisLimits(least=16, usual=16, most=16, multiple=8),
        "cols": AxisLimits(least=16, usual=16, most=32, multiple=8),
        "rows_2": AxisLimits(least=8, usual=8, most=8, multiple=4),
        "cols_2": AxisLimits(least=8, usual=8, most=16, multiple=4),
    }
    decoder = free_canvas(parts["vae_decoder"], settings).spec.limits
    assert decoder["rows"] == AxisLimits(least=8, usual=16, most=16, multiple=8)  # hands of 64 x 64 as well
    assert decoder["width"] == AxisLimits(least=64, usual=128, most=256, multiple=64)
    for role in ("text_encoder", "hand_unet", "mask_head"):
        assert free_canvas(parts[role], settings) is parts[role]


@pytest.mark.parametrize(
    ("size", "sizes", "said"),
    [
        (None, ((128, 128), (256, 256)), "from 128 up to 16384, got 64x64"),
        ((192, 128), ((256, 128), (320, 128)), "own width of 192 is not between 256 and 320; widen them"),
        ((192, 128), ((64, 128), (320, 128)), "from 128 up to 16384, got 64x128"),
        ((192, 128), ((128, 128), (32768, 128)), "got 32768x128"),
        ((192, 128), ((128, 128), (200, 128)), "multiples of 64"),
    ],
)
def test_sizes_that_cannot_be_are_refused(
    size: tuple[int, int] | None, sizes: tuple[tuple[int, int], tuple[int, int]], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        chosen(ExportOptions(size=size, sizes=sizes), tiny_settings())


@pytest.mark.parametrize("text", ["128", "128x128:", "128x128:x", ":256x256", "a:b", "128x128:256x256:512x512"])
def test_a_range_of_sizes_that_is_none(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(tmp_path), str(tmp_path / "out"), "--sizes", text]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: --sizes: expected WIDTHxHEIGHT") and said.count("\n") == 1


@pytest.fixture(scope="module")
def alone(model_folder: Path, exports: Exports, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle whose graphs take one row; its export compared every graph, and the whole loop, with torch."""
    out = tmp_path_factory.mktemp("limits") / "alone"
    return Bundle.open(exports.export_bundle(model_folder, out, ExportOptions("alone", batch=1)))


def test_graphs_of_one_row_paint_what_graphs_of_any_batch_paint(
    alone: Bundle, model_folder: Path, exports: Exports, tmp_path: Path
) -> None:
    shapes = {role: entry.spec.inputs[0].shape for role, entry in alone.manifest.engines.items()}
    assert {shape[0] for shape in shapes.values()} == {1} and shapes["body_unet"] == (1, 4, 8, 8)
    options = ExportOptions("three", batch=3)
    three = Bundle.open(exports.export_bundle(model_folder, tmp_path / "three", options))
    assert {e.spec.most_rows for e in three.manifest.engines.values()} == {3}
    one, many = (TwoStage.open(bundle.path, engine="cpu") for bundle in (alone, three))
    results = one.render_batch([REQUEST] * 2), many.render_batch([REQUEST] * 2)
    for a, b in zip(*results, strict=True):
        assert len(a.hands) == 2  # eight rows of the hand UNet at once, were they allowed
        np.testing.assert_allclose(a.latents, b.latents, atol=1e-4)


def test_openvino_runs_graphs_of_one_row(alone: Bundle) -> None:
    cpu, openvino = (TwoStage.open(alone.path, engine=engine) for engine in ("cpu", "openvino"))
    np.testing.assert_allclose(cpu.render(REQUEST).latents, openvino.render(REQUEST).latents, atol=1e-3)
