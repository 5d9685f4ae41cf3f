"""The door to a GPU as far as it can be opened without one: the library's real names, which kernel, pinned memory."""

from __future__ import annotations

import subprocess
import sys
from importlib import resources
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support.fake_cuda_core import Done, Gpu, Part, Pinned

from handfirst.engines.cuda import device
from handfirst.engines.cuda.device import CudaDevice, cubin_of
from handfirst.engines.cuda.staging import Staging
from handfirst.engines.errors import EngineError


@pytest.mark.parametrize(
    ("capability", "name"),
    [
        ((8, 0), "step_80.cubin"),
        ((8, 6), "step_86.cubin"),
        ((8, 7), "step_86.cubin"),
        ((8, 9), "step_89.cubin"),
        ((9, 0), "step_90.cubin"),
        ((10, 3), "step_100.cubin"),
        ((11, 0), "step.ptx"),
        ((12, 1), "step_120.cubin"),
        ((13, 0), "step.ptx"),
    ],
)
def test_a_gpu_gets_the_kernel_of_its_major_version(capability: tuple[int, int], name: str) -> None:
    assert cubin_of(capability) == name
    assert (resources.files("handfirst.engines.cuda") / "built" / name).read_bytes()


def test_an_older_gpu_is_told_so() -> None:
    with pytest.raises(RuntimeError, match=r"7\.5 is older than 8\.0"):
        device._kernel(None, (7, 5))


def test_without_a_driver_the_library_is_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda", None)  # cannot be imported
    monkeypatch.setattr(device, "nvidia_driver", lambda index=0: None)
    with pytest.raises(EngineError, match="no NVIDIA driver answers"):
        CudaDevice()
    monkeypatch.setattr(device, "nvidia_driver", lambda index=0: None if index else "a driver")
    with pytest.raises(EngineError, match="there is no GPU 3 here"):
        CudaDevice(3)


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "nvidia_driver", lambda index=0: "a driver")
    monkeypatch.setitem(sys.modules, "cuda", None)
    with pytest.raises(EngineError, match=r"pip install 'handfirst\[cuda\]'"):
        CudaDevice()


def test_what_is_asked_of_the_library_is_there() -> None:
    """Names and keywords of the real cuda.core; calling them takes a GPU."""
    core = pytest.importorskip("cuda.core")
    for owner, names in {
        "Device": "allocate create_stream create_event set_current compute_capability default_stream",
        "Stream": "record sync close handle create_graph_builder",
        "Buffer": "from_handle copy_from copy_to close handle size",
        "Event": "sync is_done close handle",
        "ObjectCode": "from_cubin from_ptx get_kernel",
        "LegacyPinnedMemoryResource": "allocate",
    }.items():
        assert [name for name in names.split() if not hasattr(getattr(core, owner), name)] == [], owner
    graph = pytest.importorskip("cuda.core.graph")
    assert all(hasattr(graph.GraphBuilder, name) for name in ("begin_building", "end_building", "complete", "close"))
    assert all(hasattr(graph.Graph, name) for name in ("launch", "close", "handle"))
    core.LaunchConfig(grid=(4, 2), block=256)
    core.EventOptions(timing_enabled=True, blocking_sync=True)
    core.StreamOptions(nonblocking=True)


def test_the_library_takes_the_kernels_for_what_they_are() -> None:
    """In a process of its own: without a driver the library may not be asked again."""
    pytest.importorskip("cuda.core")
    script = """
from importlib import resources
from cuda.core import ObjectCode
for file in (resources.files("handfirst.engines.cuda") / "built").iterdir():
    load = ObjectCode.from_ptx if file.name.endswith("ptx") else ObjectCode.from_cubin
    print(file.name, load(file.read_bytes(), name="step").code_type)
"""
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    kinds = dict(line.split() for line in told.stdout.splitlines())
    assert len(kinds) == 1 + len(device.BUILT), told.stderr
    assert all(kind == ("ptx" if name.endswith("ptx") else "cubin") for name, kind in kinds.items())


@pytest.fixture
def staging() -> Any:
    core = SimpleNamespace(
        LegacyPinnedMemoryResource=lambda: SimpleNamespace(allocate=Pinned),
        EventOptions=lambda **options: options,
    )
    return Staging(core)


def test_a_pinned_block_is_used_again_once_the_gpu_is_done_with_it(staging: Any) -> None:
    events: list[Done] = []

    def record(options: Any) -> Done:
        events.append(Done())
        return events[-1]

    queue = SimpleNamespace(record=record)
    with staging.block(64, queue) as (first, memory):
        memory[:] = 7
    with staging.block(64, queue) as (second, _):
        assert second is not first and bytes(first.memory) == bytes([7] * 64)
    events[0].is_done = True
    with staging.block(60, queue) as (third, memory):
        assert third is first and len(memory) == 60
    events[1].is_done = events[2].is_done = True
    with staging.block(1 << 20, queue) as (large, _):
        assert large.size == 1 << 20


def test_what_comes_back_arrives_when_the_stream_is_done(staging: Any) -> None:
    array = np.zeros((2, 3), np.float32)
    buffer, memory = staging.take(array.nbytes)
    staging.arrives(5, buffer, memory, array)
    memory[:] = np.arange(6, dtype=np.float32).view(np.uint8)
    staging.arrived(4)
    assert not array.any()
    staging.arrived(5)
    np.testing.assert_array_equal(array, np.arange(6, dtype=np.float32).reshape(2, 3))
    assert staging.take(array.nbytes)[0] is buffer


launched: list[tuple[Any, ...]] = []


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> CudaDevice:
    """A device over a stand-in for cuda.core."""
    code = SimpleNamespace(from_cubin=lambda code, name: SimpleNamespace(get_kernel=lambda name: name))
    core = SimpleNamespace(
        LegacyPinnedMemoryResource=lambda: SimpleNamespace(allocate=Pinned), EventOptions=dict, StreamOptions=dict,
        Device=Gpu, ObjectCode=code, Buffer=Part, LaunchConfig=dict,
        launch=lambda *arguments: launched.append(arguments),
    )  # fmt: skip
    driver = SimpleNamespace(cuMemGetInfo=lambda: (0, 3, 8))
    monkeypatch.setitem(sys.modules, "cuda.bindings", SimpleNamespace(driver=driver))
    monkeypatch.setitem(sys.modules, "cuda", SimpleNamespace(core=core))
    monkeypatch.setattr(device, "nvidia_driver", lambda index=0: "a driver")
    return CudaDevice()


def test_arrays_of_any_sizes_go_up_and_come_back_through_the_same_pinned_blocks(opened: CudaDevice) -> None:
    stream = opened.stream()
    for count in (36, 4, 2, 9, 1000, 4):  # a later one fits into an earlier one's block
        array = np.arange(count, dtype=np.float32)
        address = opened.allocate(array.nbytes)
        opened.upload(address, array, stream)
        back = np.zeros_like(array)
        opened.download(back, address, stream)
        assert not back.any()
        opened.wait(stream)
        np.testing.assert_array_equal(back, array)
    assert opened._device.default_stream.synced == 6  # memory is there before another stream is told of it


@pytest.mark.parametrize(
    ("values", "blocks"), [(1, 1), (256, 1), (257, 2), (4 * 64 * 64, 64), (1 << 30, device.BLOCKS)]
)
def test_the_kernel_s_grid_covers_a_picture_and_has_a_row_for_each(
    opened: CudaDevice, values: int, blocks: int
) -> None:
    launched.clear()
    opened.step(0x7F00, 3, values, opened.stream())
    ((_, config, kernel, address),) = launched
    assert (config, kernel) == ({"grid": (blocks, 3), "block": device.BLOCK}, "step")
    assert isinstance(address, np.uint64) and address == 0x7F00


def test_times_are_seconds_and_memory_is_what_is_free_before_what_there_is(opened: CudaDevice) -> None:
    """The library subtracts events in milliseconds."""
    start, end = opened.event(), opened.event()
    assert opened.elapsed(start, end) == 0.5 and opened.done(end)
    assert opened.memory() == (3, 8)


def test_a_capture_becomes_a_graph(opened: CudaDevice) -> None:
    stream, seen = opened.stream(), []
    graph = opened.capture(lambda: seen.append(opened._held[stream].capture), stream)
    assert (graph, seen) == (99, ["active"])
    opened.wait(stream)
    opened.launch(graph, stream)
    opened.drop(graph)


@pytest.mark.parametrize("error", [EngineError("unet: enqueue failed"), RuntimeError("CUDA_ERROR_X"), None])
def test_a_broken_capture_gives_the_stream_back_while_its_error_is_still_handled(
    opened: CudaDevice, error: Exception | None
) -> None:
    """Whoever handles it runs the step as it is: the traceback holds the builder meanwhile."""
    stream = opened.stream()

    def work() -> None:
        opened._held[stream].capture = "invalidated"
        if error is not None:
            raise error

    expected = "has been invalidated" if error is None else str(error)
    try:
        opened.capture(work, stream)
    except EngineError as raised:
        assert expected in str(raised)
        opened.wait(stream)
    else:
        pytest.fail("a broken capture became a graph")
