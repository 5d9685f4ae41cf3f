"""The embedded model with one stage's networks in memory: the same pictures, and never both stages at once."""

import shutil
import time

import numpy as np
import pytest

from handfirst.engines.bundle import Bundle, demo_bundle_path
from handfirst.engines.errors import BundleError, EngineError
from handfirst.runtime.serve.server import Server
from handfirst.runtime.systems.two_stage.job import PROMPT, demo_pose
from handfirst.runtime.systems.two_stage.request import Request
from handfirst.runtime.systems.two_stage.roles import ROLES, STAGES
from handfirst.runtime.systems.two_stage.system import TwoStage
from handfirst.runtime.timing.spans import Recording, recording
from handfirst.runtime.timing.totals import parts

ENGINES = ("cpu", "openvino")


def requests(count=1):
    return [Request(pose=demo_pose(), prompt=PROMPT, seed=seed, steps=2) for seed in range(count)]


def opened(engine="cpu", resident="stage", path=None):
    return TwoStage.open(path, engine, 1, resident)


def same(results, wanted):
    for result, want in zip(results, wanted, strict=True):
        for name in ("image", "canvas", "mask", "latents"):
            np.testing.assert_array_equal(getattr(result, name), getattr(want, name))


class Watched:
    """Passes on what an engine does, and says when it is closed."""

    def __init__(self, engine, alive):
        self.name, self.spec, self._engine, self._alive = engine.name, engine.spec, engine, alive
        alive.append(self.name)

    def run(self, inputs, wanted=None):
        return self._engine.run(inputs, wanted)

    def close(self):
        self._alive.remove(self.name)
        self._engine.close()


@pytest.mark.parametrize("engine", ENGINES)
def test_pictures_are_the_same_to_the_last_bit(engine):
    asked = requests(2 if engine == "cpu" else 1)  # OpenVINO compiles for every number of rows
    system, low = opened(engine, "all"), opened(engine)
    for _ in range(2):
        same(low.render_batch(asked), system.render_batch(asked))
    system.close()
    low.close()


def test_the_two_stages_are_never_open_together(monkeypatch):
    alive, seen, real = [], [], Bundle.engine

    def engine(self, role, *rest):
        seen.append({role, *alive})
        return Watched(real(self, role, *rest), alive)

    monkeypatch.setattr(Bundle, "engine", engine)
    system = opened()
    assert alive == ["text_encoder"]
    system.render_batch(requests(2))
    assert set().union(*seen) == set(ROLES)
    assert not any(roles & set(STAGES[0]) and roles & set(STAGES[1]) for roles in seen)
    assert not any({"text_encoder", "hand_unet"} <= roles for roles in seen)
    system.close()
    assert alive == []
    with pytest.raises(EngineError, match="closed"):
        system.render(requests()[0])


def test_a_story_that_was_left_keeps_nobody_waiting():
    system, (request,) = opened(), requests()
    story = system.steps(request)
    while next(story).stage != "hands":
        pass
    whole = system.render(request)
    *_, last = story
    same([last.result], [whole])


def test_workers_of_a_server_share_it():
    asked = requests(3)
    alone = opened(resident="all")
    wanted = [alone.render(each) for each in asked]
    with Server(opened(), workers=2) as server:
        jobs = [server.submit(each) for each in asked]
        same([job.result(60) for job in jobs], wanted)


def test_a_file_that_is_altered_meanwhile_is_refused(tmp_path):
    folder = tmp_path / "bundle"
    shutil.copytree(demo_bundle_path(), folder)
    system, (request,) = opened(path=folder), requests()
    file = folder / Bundle.open(folder).manifest.engines["body_unet"].file
    data = file.read_bytes()
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(BundleError, match=f"{file.name} was altered"):
        system.render(request)
    file.unlink()
    with pytest.raises(BundleError, match=f"{file.name} is missing"):
        system.render(request)
    file.write_bytes(data)
    same([system.render(request)], [opened(resident="all").render(request)])


def test_what_cannot_run_here_is_said_when_it_is_opened(monkeypatch):
    def missing():
        raise EngineError("onnxruntime is not installed")

    monkeypatch.setattr("handfirst.engines.ort.import_onnxruntime", missing)
    with pytest.raises(EngineError, match="is not installed"):
        opened()
    with pytest.raises(EngineError, match="resident must be one of all, stage, got 'some'"):
        opened(resident="some")


def test_opening_is_a_part_of_its_stage_and_all_parts_make_up_the_stages():
    system, (request,) = opened(), requests()
    with recording(Recording()) as heard:
        start = time.perf_counter()
        result = system.render(request)
        wall = time.perf_counter() - start
    found = parts(heard.spans)
    opening = {part.stage: len(part.own) for part in found if part.name == "opening"}
    assert opening == {"hands": 1, "hands_decode": 1, "body": 2, "body_decode": 1}
    assert sum(part.seconds for part in found) == pytest.approx(result.seconds["total"], abs=1e-6)
    assert all(part.seconds > 0 for part in found if part.name == "opening")
    assert result.seconds["total"] <= wall
    assert not any(part.name == "waiting" for part in found)
