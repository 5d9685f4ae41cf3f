"""The whole loop on torch and on the bundle: equal when it should be, refused when a graph lies."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import pytest
from support.exports import Exports

from handfirst.engines.bundle import Bundle
from handfirst.engines.engine import Array, Engine
from handfirst.engines.errors import UserError
from handfirst.export import rehearsing
from handfirst.export.options import ExportOptions
from handfirst.export.systems.two_stage import rehearsal
from handfirst.export.systems.two_stage.sizes import chosen
from handfirst.runtime.systems.two_stage.roles import STAGES
from handfirst.training.systems.two_stage.model_folder import ModelFolder

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def bundle(model_folder: Path, exports: Exports, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.open(
        exports.export_bundle(
            model_folder, tmp_path_factory.mktemp("rehearsal") / "tiny", ExportOptions("tiny", size=(128, 64))
        )
    )


class Swapped:
    """An engine that gives two of its outputs under each other's names."""

    def __init__(self, engine: Engine, a: str, b: str) -> None:
        self.name, self.spec, self._engine, self._swap = engine.name, engine.spec, engine, {a: b, b: a}

    def run(self, inputs: Mapping[str, Array], wanted: Collection[str] | None = None) -> dict[str, Array]:
        return {self._swap.get(name, name): value for name, value in self._engine.run(inputs, wanted).items()}

    def close(self) -> None:
        self._engine.close()


def rehearse(bundle: Bundle, model_folder: Path) -> float:
    model = ModelFolder(model_folder)
    model.settings = chosen(ExportOptions(size=(128, 64)), model.settings)
    return rehearsal.rehearse(model, model.tokenizer.to_str().encode(), bundle, rounded=True)


def test_equal_graphs_give_equal_latents(bundle: Bundle, model_folder: Path) -> None:
    assert rehearse(bundle, model_folder) > 90


def test_the_canvas_is_the_one_that_was_asked_for(bundle: Bundle) -> None:
    assert (bundle.manifest.settings["body"]["width"], bundle.manifest.settings["body"]["height"]) == (128, 64)
    sample = bundle.manifest.engines["body_unet"].spec.inputs[0]
    assert sample.shape == ("batch", 4, 8, 16)


@pytest.mark.parametrize("size", [(100, 64), (64, 0), (32768, 64), (-64, 64)])
def test_a_canvas_that_cannot_be_is_refused(size: tuple[int, int], model_folder: Path) -> None:
    with pytest.raises(UserError, match="multiples of 64 pixels up to 16384"):
        chosen(ExportOptions(size=size), ModelFolder(model_folder).settings)


def test_a_heavy_bundle_draws_one_hand_in_one_step(
    bundle: Bundle, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: dict[str, list[int]] = {"hand_unet": [], "body_unet": []}
    opens = Bundle.engine

    class Counted(Swapped):
        def run(self, inputs: Mapping[str, Array], wanted: Collection[str] | None = None) -> dict[str, Array]:
            rows[self.name].append(len(inputs["sample"]))
            return super().run(inputs, wanted)

    def engine(self: Bundle, role: str, *rest: object) -> Engine:
        opened = opens(self, role, *rest)
        if role not in rows:
            return opened
        counted = Counted(opened, "", "")
        counted.name = role
        return counted

    monkeypatch.setattr(Bundle, "engine", engine)
    assert rehearse(bundle, model_folder) > 90
    light = {role: sum(seen) for role, seen in rows.items()}
    assert light == {"hand_unet": 2 * 2 * 2, "body_unet": 2 * 2}  # steps, hands, with and without the prompt
    monkeypatch.setattr(rehearsal, "HEAVY", 0)
    assert rehearse(bundle, model_folder) > 90
    assert {role: sum(seen) - light[role] for role, seen in rows.items()} == {"hand_unet": 2, "body_unet": 2}


@pytest.mark.parametrize("heavy", [0, rehearsal.HEAVY])
def test_swapped_residuals_are_found(
    heavy: int, bundle: Bundle, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearsal, "HEAVY", heavy)
    outputs = bundle.manifest.engines["controlnet"].spec.outputs
    a, b = next((x, y) for x in outputs for y in outputs if x.name < y.name and x.shape == y.shape)
    opens = Bundle.engine

    def engine(self: Bundle, role: str, *rest: object) -> Engine:
        opened = opens(self, role, *rest)
        return Swapped(opened, a.name, b.name) if role == "controlnet" else opened

    monkeypatch.setattr(Bundle, "engine", engine)
    with pytest.raises(UserError, match=r"all graphs together: the two-stage loop is [\d.]+ dB from torch"):
        rehearse(bundle, model_folder)


class Watched:
    """Passes on what an engine does; the last test counts those that are open."""

    def __init__(self, engine: Engine, alive: list[str], most: list[list[str]]) -> None:
        self.name, self.spec, self._engine, self._alive = engine.name, engine.spec, engine, alive
        alive.append(engine.name)
        most.append(list(alive))

    def run(self, inputs: Mapping[str, Array], wanted: Collection[str] | None = None) -> dict[str, Array]:
        return self._engine.run(inputs, wanted)

    def close(self) -> None:
        self._alive.remove(self.name)
        self._engine.close()


def test_a_stage_is_open_as_long_as_its_steps_take_and_every_other_network_alone(
    bundle: Bundle, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive: list[str] = []
    most: list[list[str]] = []
    opens, torch_engine = Bundle.engine, rehearsing.TorchEngine
    monkeypatch.setattr(Bundle, "engine", lambda *given: Watched(opens(*given), alive, most))
    monkeypatch.setattr(rehearsing, "TorchEngine", lambda part: Watched(torch_engine(part), alive, most))
    rehearse(bundle, model_folder)
    assert alive == [] and all(len(names) == 1 or any(set(names) <= set(stage) for stage in STAGES) for names in most)
    assert {frozenset(stage) for stage in STAGES} <= set(map(frozenset, most))
    assert sum(names[-1] == "controlnet" for names in most) == 2  # on torch, on the bundle; not in every step
