"""The yardstick: its graph against NumPy and the onnx library, and what the machine says of itself."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fake_cuda import FakeCuda
from support.fake_stream_engine import FakeStreamEngine

from handfirst.engines.cuda.lane import Lane
from handfirst.engines.errors import EngineError
from handfirst.engines.opening import open_engine
from handfirst.engines.trust.graph_rules import check_graph_file
from handfirst.runtime.profile import memory, peak
from handfirst.runtime.profile.machine import machine
from handfirst.runtime.profile.peak import ON_A_CPU, ON_A_GPU, measure_peak, product_graph


@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
def test_the_graph_is_sound(precision):
    graph = product_graph(8, 3, precision)
    model = onnx.load_from_string(graph.model)
    onnx.checker.check_model(model, full_check=True)
    check_graph_file(graph)
    inside = {onnx.TensorProto.DataType.Name(n.attribute[0].i).lower() for n in model.graph.node if n.op_type == "Cast"}
    assert inside == {"float", {"float32": "float"}.get(precision, precision)}


def test_the_graph_multiplies():
    x, w = np.random.default_rng(1).standard_normal((2, 8, 8)).astype(np.float32)
    opened = open_engine(product_graph(8, 3, "float32"), "cpu", 1)
    np.testing.assert_allclose(opened.run({"x": x, "w": w})["y"], x @ w @ w @ w, rtol=1e-4, atol=1e-5)


@given(st.sampled_from([1, 127, 128, 300, 16384]), st.integers(1, 5))
def test_numbers_of_any_length_are_written(size, times):
    """A protobuf number is as many bytes as it needs; onnx reads them back."""
    model = onnx.load_from_string(product_graph(size, times, "float32").model)
    shape = model.graph.input[0].type.tensor_type.shape.dim
    assert [axis.dim_value for axis in shape] == [size, size]
    assert sum(node.op_type == "MatMul" for node in model.graph.node) == times


def test_the_peak_is_the_best_run_of_all_products(monkeypatch):
    side, (_, times) = 96, ON_A_CPU
    timed = []

    def run(engine, inputs):
        timed.append({name: value.shape for name, value in inputs.items()})
        return [0.5, 0.25, 0.75]

    monkeypatch.setattr(peak, "_run", run)
    found = measure_peak("cpu", "float32", threads=1, side=side)
    assert timed == [{"x": (side, side), "w": (side, side)}]
    assert found.flops_per_second == 2 * 96 * 96 * 96 * times / 0.25
    assert found.how.startswith(f"{times} products of 96 x 96 in float32 on engine cpu")


def test_on_a_gpu_its_events_time_launches_over_matrices_that_lie_there(monkeypatch):
    """A launch takes half a second of the stand-in's clock, a copy a whole one."""
    cuda, side, (_, times) = FakeCuda(), 32, ON_A_GPU
    lane = Lane(cuda, cuda.stream())
    made = FakeStreamEngine(open_engine(product_graph(side, times, "float32"), "cpu", 1), lane)
    monkeypatch.setattr(peak, "open_engine", lambda graph, engine, threads: made)
    found = measure_peak("cuda", "float32", side=side)
    assert found.flops_per_second == 2 * 32 * 32 * 32 * times / 0.5
    assert (cuda.counts["upload"], cuda.counts["download"], cuda.counts["engine"]) == (2, 0, peak.ATTEMPTS + 1)
    assert not cuda.blocks and not cuda.events


def test_a_run_takes_time():
    assert 1e6 < measure_peak("cpu", "float32", threads=1, side=96).flops_per_second < 1e15


def test_an_engine_that_cannot_be_opened_says_so():
    with pytest.raises(EngineError, match="engine must be one of"):
        measure_peak("abacus", "float32", side=8)


def test_the_machine_tells_its_processor(tmp_path: Path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: A Processor: fast\nflags\t\t: fpu avx2 avx512f\n\n", "utf-8")
    stamp = machine(("numpy", "no-such-library"), cpuinfo)
    assert (stamp["cpu"], stamp["flags"]) == ("A Processor: fast", ["avx2", "avx512f"])
    assert stamp["libraries"] == {"numpy": np.__version__}
    assert machine((), tmp_path / "nothing")["cpu"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_high_water_of_a_process():
    """In a process of its own: what earlier tests hold and give back meanwhile would hide the array."""
    script = """
import numpy as np
from handfirst.runtime.profile import memory
assert memory.forget_peak()
before = memory.peak_bytes()
held = np.ones(40_000_000, np.uint8)
print(before, memory.peak_bytes(), held.nbytes)
"""
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=300)
    before, after, held = map(int, told.stdout.split())
    assert 30_000_000 < after - before < 80_000_000
    assert held <= after <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_where_nobody_counts_anew(tmp_path: Path):
    (tmp_path / "status").write_text("Name:\tx\nVmHWM:\t   1234 kB\n", "utf-8")
    assert memory.peak_bytes(tmp_path) == 1234 * 1024
    assert memory.forget_peak(tmp_path / "missing") is False
    assert memory.peak_bytes(tmp_path / "missing") > 1_000_000  # by getrusage
