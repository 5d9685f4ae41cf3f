"""The loop on a stand-in for a GPU against the NumPy loop: the same latents to the last bit, and what the host does."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.arithmetic_gpu import World, plain
from support.arithmetic_model import FUNCTIONS, person, request

from handfirst.engines.cuda.lane import Lane
from handfirst.engines.engine import StreamEngine
from handfirst.engines.errors import EngineError
from handfirst.engines.opening import open_engine
from handfirst.runtime.diffusion import device, device_loops, launch
from handfirst.runtime.profile import memory
from handfirst.runtime.profile.peak import product_graph
from handfirst.runtime.serve.server import Server
from handfirst.runtime.timing.spans import Recording, recording


@pytest.fixture(params=[False, True], ids=["each engine by itself", "one graph"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    made = World(request.param)
    yield made
    made.model.close()
    assert not made.cuda.blocks and not made.cuda.graphs and not made.cuda.events


ASKED = [
    {},
    {"eta": 1.0, "blend": "naive"},
    {"guidance": 1.0, "hand_guidance": 1.0, "steps": 2},
    {"steps": 1},
    {"speed": "fast", "steps": 12},
    {"speed": "fastest", "steps": 12, "solver": "unipc", "hand_solver": "lcm", "hand_steps": 3},
    {"speed": "fastest", "guidance": 1.0},
]


@pytest.mark.parametrize("fields", ASKED, ids=str)
def test_pictures_equal_the_host_loops_to_the_last_bit(world: World, fields: dict[str, Any]) -> None:
    asked = request(**fields)
    for _ in range(3):  # new memory, the same memory, the same graph
        found, wanted = world.model.render(asked), plain().render(asked)
        np.testing.assert_array_equal(found.latents, wanted.latents)
        np.testing.assert_array_equal(found.image, wanted.image)
        np.testing.assert_array_equal(found.mask, wanted.mask)


@settings(max_examples=12, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 4), st.sampled_from([0.0, 1.0]), st.integers(0, 9)), min_size=1, max_size=4))
def test_any_row_of_jobs_equals_the_host_loops(jobs: list[tuple[int, float, int]]) -> None:
    """Memory and graphs are used again by jobs of the same shape, and nothing of one job reaches the next."""
    world, host = World(True), plain()
    for steps, eta, seed in jobs:
        asked = [request(steps=steps, eta=eta, seed=seed), request(person(right=None), steps=steps, eta=eta, seed=1)]
        for found, wanted in zip(world.model.render_batch(asked), host.render_batch(asked), strict=True):
            np.testing.assert_array_equal(found.latents, wanted.latents)
            np.testing.assert_array_equal(found.image, wanted.image)


def test_between_two_steps_the_host_copies_and_waits_for_nothing(world: World) -> None:
    """The second job of a shape: what six steps more cost is launches alone."""
    counted = {}
    for steps in (6, 12):
        world.model.render(request(steps=steps))
        world.cuda.counts.clear()
        world.model.render(request(steps=steps))
        counted[steps] = world.cuda.counts.copy()
    more = {name: counted[12][name] - counted[6][name] for name in counted[12]}
    assert {name for name, count in more.items() if count} == (
        {"graph"} if world.on_stream["body_unet"].captured else {"engine", "step"}
    )
    if world.on_stream["body_unet"].captured:
        assert more["graph"] == 12  # one launch a step, in both stages
    else:
        assert (more["step"], more["engine"]) == (12, 18)
    assert counted[6]["wait"] == 2  # one per stage, when its last latents come back


def test_a_preview_costs_one_wait_and_shows_its_step(world: World) -> None:
    for here, there in zip(world.model.steps(request()), plain().steps(request()), strict=True):
        np.testing.assert_array_equal(here.preview(), there.preview())
        assert (here.stage, here.step) == (there.stage, there.step)


def test_the_host_is_at_most_two_steps_ahead(world: World) -> None:
    done: list[int] = []
    world.on_stream["body_unet"].__dict__["takes"] = 0

    for progress in world.model.steps(request(steps=10)):
        if progress.stage == "body" and progress.step < 10:
            queue = world.cuda.streams[world.lane.stream]
            done.append(sum(work.__qualname__.endswith("compute") for work in queue))
    # two engines a step
    assert max(done) <= 2 * device.AHEAD and done[-1] > 0


def test_a_caller_who_stops_leaves_the_loop_fit_for_the_next(world: World) -> None:
    for stop in (3, 5, 9):
        steps = world.model.steps(request())
        list(islice(steps, stop))
        steps.close()
    found, wanted = world.model.render(request()), plain().render(request())
    np.testing.assert_array_equal(found.latents, wanted.latents)


def test_two_jobs_step_by_step_in_turns(world: World) -> None:
    requests = [request(seed=1), request(seed=2)]
    rows = list(zip(*(world.model.steps(each) for each in requests), strict=True))
    for found, asked in zip(rows[-1], requests, strict=True):
        np.testing.assert_array_equal(found.result.latents, plain().render(asked).latents)


def test_a_graph_that_captured_nothing_is_not_trusted() -> None:
    world = World(True)
    world.cuda.captures_nothing = True
    with pytest.warns(RuntimeWarning, match="changed nothing"):
        found = world.model.render(request())
    np.testing.assert_array_equal(found.latents, plain().render(request()).latents)
    assert not world.cuda.graphs


def test_what_was_captured_over_memory_that_moved_is_captured_anew() -> None:
    world = World(True)
    world.model.render(request())
    for engine in world.on_stream.values():
        engine.computes_in = 2
    world.cuda.counts.clear()
    found = world.model.render(request())
    np.testing.assert_array_equal(found.latents, plain().render(request()).latents)
    assert world.cuda.counts["capture"] == 2


def test_a_failure_gives_the_memory_back_and_the_next_job_works() -> None:
    broken = [True]

    def unet(inputs: Any) -> Any:
        if broken[0]:
            raise EngineError("body_unet: out of memory")
        return FUNCTIONS["body_unet"](inputs)

    world = World(True, body_unet=unet)
    with pytest.raises(EngineError, match="out of memory"):
        world.model.render(request())
    broken[0] = False
    found = world.model.render(request())
    np.testing.assert_array_equal(found.latents, plain().render(request()).latents)


def test_another_canvas_has_loops_of_its_own_that_stay_for_the_next(world: World) -> None:
    """A model that is copied for a canvas shares the loops of the one that was opened."""
    wide = copy(world.model)
    wide._make_stages()
    for _ in range(2):
        np.testing.assert_array_equal(wide.render(request()).latents, plain().render(request()).latents)
    held = len(world.cuda.blocks)
    other = copy(world.model)
    other._make_stages()
    other.render(request())
    assert len(world.cuda.blocks) == held > 0


@pytest.mark.parametrize("stage", ["controlnet", "hand_unet"])
def test_engines_that_refuse_to_be_bound_leave_nothing_behind(stage: str) -> None:
    world = World(True)
    engine, bind = world.on_stream[stage], world.on_stream[stage].bind

    def refuse(tensors: Any) -> Any:
        raise EngineError(f"{stage}: no plan for these shapes")

    engine.bind = refuse  # type: ignore[method-assign]
    for _ in range(3):
        with pytest.raises(EngineError, match="no plan"):
            world.model.render(request())
    engine.bind = bind  # type: ignore[method-assign]
    world.model.render(request())
    world.model.close()
    assert not world.cuda.blocks and not world.cuda.graphs and not world.cuda.events


def test_what_is_raised_in_the_middle_gives_the_memory_back() -> None:
    """Ctrl-C between two launches, say."""
    world = World(False)
    engine, bind = world.on_stream["body_unet"], world.on_stream["body_unet"].bind

    def bound(tensors: Any) -> Any:
        launch, left = bind(tensors), [2]

        def interrupted() -> None:
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            launch()

        return interrupted

    engine.bind = bound  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        world.model.render(request())
    world.model.close()
    assert not world.cuda.blocks and not world.cuda.events


def test_where_a_capture_is_refused_steps_run_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(True)

    def refuse(work: Any, stream: int) -> int:
        raise EngineError("CUDA: capture failed: CUDA_ERROR_STREAM_CAPTURE_INVALIDATED")

    monkeypatch.setattr(world.cuda, "capture", refuse)
    with pytest.warns(RuntimeWarning, match="without a CUDA graph: CUDA: capture failed"):
        found = world.model.render(request())
    np.testing.assert_array_equal(found.latents, plain().render(request()).latents)


def test_a_graph_that_holds_the_kernel_alone_paints_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The step was taken on what no network said: that cannot be undone."""
    world = World(True)
    capture = world.cuda.capture

    def without_networks(work: Any, stream: int) -> int:
        graph = capture(work, stream)
        world.cuda.graphs[graph] = world.cuda.graphs[graph][-1:]
        return graph

    monkeypatch.setattr(world.cuda, "capture", without_networks)
    with pytest.raises(EngineError, match="ran without its networks"):
        world.model.render(request())


def test_a_network_that_overflows_is_told_what_helps_and_not_that_its_graph_is_empty() -> None:
    def unet(inputs: Any) -> Any:
        return {"prediction": np.full_like(FUNCTIONS["body_unet"](inputs)["prediction"], np.nan)}

    world = World(True, body_unet=unet)
    with pytest.raises(EngineError, match="expected finite pixels, got NaN"):
        world.model.render(request())


def test_an_axis_that_nobody_has_is_one_line() -> None:
    with pytest.raises(EngineError, match="axis 'rows_x' is none of the inputs' axes"):
        launch._size("rows_x", {"rows": 8})
    assert (launch._size("rows_4", {"rows": 8}), launch._size("rows", {"rows": 8}), launch._size(3, {})) == (2, 8, 3)


def test_spans_have_the_devices_time_part_by_part(world: World) -> None:
    with recording(Recording()) as heard:
        world.model.render(request(steps=4))
    spans = [span for span in heard.spans if span.name in ("body_unet", "step")]
    assert sum(span.name == "body_unet" for span in spans) == 4
    assert all(span.device == 0.5e9 and span.shapes for span in spans if span.name == "body_unet")
    assert all(span.device == 0 for span in spans if span.name == "step")


def test_old_loops_give_their_memory_back_and_the_profile_counts_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine shapes, one after the other, hold what the last four of them alone hold."""
    many, few = World(True), World(True)
    monkeypatch.setattr(memory, "process_lane", lambda gpu: many.lane)
    for steps in range(1, 10):
        many.model.render(request(steps=steps))
        if steps > 9 - device_loops.KEPT:
            few.model.render(request(steps=steps))
    held = sum(map(len, many.cuda.blocks.values()))
    assert memory.gpu_bytes("cuda") == held == sum(map(len, few.cuda.blocks.values())) > 0
    assert len(many.cuda.graphs) == len(few.cuda.graphs) == 2 * device_loops.KEPT  # two stages
    assert not many.cuda.events
    many.model.close()
    assert memory.gpu_bytes("cuda") == 0


def test_threads_of_a_server_share_a_gpu(world: World) -> None:
    """More shapes at once than loops are kept, so that memory and graphs come and go while others work."""
    asked = [
        request(*people, steps=steps, eta=eta, seed=steps)
        for steps in (2, 3, 4)
        for eta in (0.0, 1.0)
        for people in ((), (person(right=None),))
    ]
    host = plain()
    wanted = [host.render(each).latents for each in asked]
    order = [(7 * i) % len(asked) for i in range(50)]
    with Server(world.model, workers=4, waiting=50) as server:
        jobs = [server.submit(asked[i]) for i in order]
        for i, job in zip(order, jobs, strict=True):
            np.testing.assert_array_equal(job.result(60).latents, wanted[i])


def test_engines_of_two_lanes_or_of_none_have_no_loop_on_a_device() -> None:
    world = World(True)
    other = Lane(world.cuda, world.cuda.stream())
    unet, controlnet = world.on_stream["body_unet"], world.on_stream["controlnet"]
    assert launch.common_lane(2, unet, controlnet) is world.lane
    controlnet.lane = other
    assert launch.common_lane(2, unet, controlnet) is None
    controlnet.lane = None
    assert launch.common_lane(2, unet, controlnet) is None
    assert launch.common_lane(2, open_engine(product_graph(4, 1, "float32"), "cpu", 1)) is None
    assert launch.common_lane(17, unet) is None
    assert isinstance(unet, StreamEngine)
