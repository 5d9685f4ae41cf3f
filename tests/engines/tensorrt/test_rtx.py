"""Would NVIDIA's converter take the graphs? TensorRT for RTX parses and builds them; it needs no GPU for that.

This is TensorRT-RTX and not TensorRT: the same parser and builder interface, other kernels. It says that every operator
is known and that plans come out, nothing about speed, and nothing is run. A process of its own does it, in case the
library does not survive a machine without a driver.
"""

from __future__ import annotations

import json
import os
import pickle
import platform
import subprocess
import sys
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from handfirst.engines.bundle import Bundle, demo_bundle_path

if TYPE_CHECKING:
    from support.gpu_graphs import GpuGraph

HERE = sys.platform == "linux" and platform.machine() == "x86_64"
pytestmark = [pytest.mark.long, pytest.mark.skipif(not HERE, reason="TensorRT-RTX wheels exist for Linux on x86-64")]

ROLES = sorted(Bundle.open(demo_bundle_path()).manifest.engines)

CODE = """
import json, sys
from dataclasses import replace
import onnx, tensorrt_rtx_bindings as library
from handfirst.engines.bundle import Bundle, demo_bundle_path
from handfirst.engines.errors import UserError
from handfirst.engines.tensorrt.build import External, build, external_weights
from handfirst.engines.tensorrt.library import check_library
from handfirst.engines.tensorrt.build import profile_of
from handfirst.engines.spec import AxisLimits
from support.fake_tensorrt import invented

trt = check_library(library)
bundle = Bundle.open(demo_bundle_path())
golden = bundle.golden()

def attempt(graph, external={}):
    spec = bundle.manifest.engines[graph.role].spec
    shapes = {t.name: golden[f"{graph.role}.in.{t.name}"].shape for t in spec.inputs}
    try:
        built = build(trt, graph, external, profile_of(graph.spec, shapes))
        return {"plan": len(built.plan), "timings": len(built.timings)}
    except UserError as error:
        return {"error": f"{type(error).__name__}: {error}"}

said = {}
for role in bundle.manifest.engines:
    graph = bundle.graph(role)
    said[role] = attempt(graph, external_weights(graph))

head = bundle.graph("mask_head")
decoder = bundle.graph("vae_decoder")
sizes = {axis: AxisLimits(least=4, usual=8, most=24) for axis in ("rows", "cols")}
pixels = {axis: AxisLimits(least=32, usual=64, most=192, multiple=8) for axis in ("height", "width")}
limits = {**sizes, **pixels, "batch": AxisLimits(usual=2, most=4)}
said["of any size"] = attempt(replace(decoder, spec=decoder.spec.model_copy(update={"limits": limits})))
said["garbage"] = attempt(replace(head, model=b"MZ" * 100))
said["other spec"] = attempt(replace(head, spec=bundle.manifest.engines["vae_decoder"].spec))
model = onnx.load_model_from_string(head.model)
blob, places = b"", {}
for tensor in model.graph.initializer:
    if tensor.raw_data:
        places[tensor.name] = External("w.bin", len(blob), len(tensor.raw_data))
        said_of = {"location": "w.bin", "offset": len(blob), "length": len(tensor.raw_data)}
        blob += tensor.raw_data
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in said_of.items():
            tensor.external_data.add(key=key, value=str(value))
outside = replace(head, model=model.SerializeToString(), data={"w.bin": blob})
said["external"] = {**attempt(outside, external_weights(outside)), "tensors": len(places)}
said["external, unnamed"] = attempt(outside, dict(list(places.items())[1:]))
shares = []
golden_shapes = {t.name: golden[f"mask_head.in.{t.name}"].shape for t in head.spec.inputs}
build(trt, head, {}, profile_of(head.spec, golden_shapes), memory=1 << 28, tell=shares.append)

def interrupt(share):
    raise KeyboardInterrupt

try:
    build(trt, head, {}, profile_of(head.spec, golden_shapes), tell=interrupt)
    stopped = "was not stopped"
except KeyboardInterrupt:
    stopped = "KeyboardInterrupt"
said["progress"] = {"shares": shares, "stopped": stopped}
said["fake"] = invented(trt)
print(json.dumps(said))
"""

EXPORTED = """
import json, pickle, sys
from pathlib import Path
import tensorrt_rtx_bindings as library
from handfirst.engines.errors import UserError
from handfirst.engines.tensorrt.build import build, profile_of
from handfirst.engines.tensorrt.library import check_library

trt = check_library(library)
said = {}
for name, (graph, shapes) in pickle.loads(Path("graphs").read_bytes()).items():
    try:
        said[name] = len(build(trt, graph, {}, profile_of(graph.spec, shapes)).plan)
    except UserError as error:
        said[name] = f"{type(error).__name__}: {error}"
print(json.dumps(said))
"""


def answer_of(code: str, folder: Path) -> dict[str, Any]:
    """The last line that a process of its own prints."""
    assert find_spec("tensorrt_rtx_bindings") is not None, "the test group brings it: pip install --group test"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=folder, timeout=600
    )
    assert answer.returncode == 0, answer.stderr[-2000:]
    found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return found


BY_OPERATOR = """
import json, os, pickle, sys
from pathlib import Path
os.environ["POLYGRAPHY_USE_TENSORRT_RTX"] = "1"
import tensorrt_rtx_bindings
sys.modules["tensorrt_rtx"] = tensorrt_rtx_bindings  # polygraphy knows it by the name of the package around it
from handfirst.engines.errors import UserError
from handfirst.export.layerwise import graph_values

graph, inputs = pickle.loads(Path("graphs").read_bytes())
try:
    said = {"values": len(graph_values(graph, inputs, "tensorrt", Path.cwd()))}
except UserError as error:
    said = {"error": str(error)}
print(json.dumps(said))
"""


def test_polygraphy_builds_a_plan_whose_values_are_all_outputs(gpu_graphs: dict[str, GpuGraph], tmp_path: Path) -> None:
    """Timings are written when a plan is built; running it needs a GPU, and that is said in one line."""
    made = gpu_graphs["float16 controlnet"]
    (tmp_path / "graphs").write_bytes(pickle.dumps((made.graph, made.trials[0].inputs)))
    answer = answer_of(BY_OPERATOR, tmp_path)
    assert (tmp_path / "timings.cache").is_file(), answer
    if "error" in answer:
        expected = "controlnet: tensorrt cannot run it operator by operator: Could not deserialize engine"
        assert answer["error"].startswith(expected) and "\n" not in answer["error"]
    else:
        assert answer["values"] > len(made.graph.spec.outputs)


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, object]]:
    return answer_of(CODE, tmp_path_factory.mktemp("rtx"))


def test_tensorrt_rtx_builds_every_graph_for_gpus(gpu_graphs: dict[str, GpuGraph], tmp_path: Path) -> None:
    """Opset 23 among them, whose Attention it takes in half precision with heads of 16 to 160."""
    given = {
        name: (made.graph, {tensor: array.shape for tensor, array in made.trials[0].inputs.items()})
        for name, made in gpu_graphs.items()
    }
    (tmp_path / "graphs").write_bytes(pickle.dumps(given))
    plans = answer_of(EXPORTED, tmp_path)
    assert len(plans) == 6 and all(isinstance(size, int) and size > 1000 for size in plans.values()), plans


@pytest.mark.parametrize("role", ROLES)
def test_tensorrt_rtx_builds_every_graph_of_the_demo(said: dict[str, dict[str, object]], role: str) -> None:
    assert "error" not in said[role], said[role]
    assert isinstance(said[role]["plan"], int) and said[role]["plan"] > 1000


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("garbage", "MODEL_DESERIALIZE_FAILED"),
        ("other spec", "the manifest names inputs latent, the graph has feature"),
        ("external, unnamed", "Failed to import initializer"),
    ],
)
def test_tensorrt_rtx_refuses_in_one_line(said: dict[str, dict[str, object]], case: str, message: str) -> None:
    error = str(said[case].get("error"))
    assert error.startswith("BundleError") and message in error and "\n" not in error


def test_tensorrt_rtx_builds_one_plan_for_every_size_within_limits(said: dict[str, dict[str, object]]) -> None:
    assert said["of any size"].get("plan"), said["of any size"]


def test_the_stand_in_of_other_tests_invents_nothing(said: dict[str, object]) -> None:
    assert said["fake"] == []


def test_tensorrt_rtx_tells_how_far_it_is_and_can_be_stopped(said: dict[str, dict[str, Any]]) -> None:
    """An exception out of its own callback would end the process."""
    shares = said["progress"]["shares"]
    assert len(shares) > 10 and max(shares) > 0.8 and all(0 < share <= 1 for share in shares)
    assert sum(share < before for before, share in pairwise(shares)) < len(shares) / 4
    assert sum(0.1 < share < 0.9 for share in shares) > 5
    assert said["progress"]["stopped"] == "KeyboardInterrupt"


def test_tensorrt_rtx_takes_external_weights_from_memory(said: dict[str, dict[str, object]]) -> None:
    assert said["external"].get("plan") and said["external"]["tensors"], said["external"]
