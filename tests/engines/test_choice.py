"""Which engine "auto" is, for what a machine has; nothing is imported to find out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from handfirst.engines import choice, installed
from handfirst.engines.choice import AUTO, ENGINES, TOLERANCE, WORTH_COMPILING, Choice, EngineName, arithmetic, choose
from handfirst.engines.errors import EngineError
from handfirst.engines.graph import Graph
from handfirst.engines.opening import open_engine
from handfirst.engines.ort_cuda import CudaOptions
from handfirst.engines.spec import EngineSpec, TensorSpec

TENSOR = TensorSpec(name="x", dtype="float32", shape=("b",))
GRAPH = Graph("tiny", EngineSpec(inputs=(TENSOR,), outputs=(TENSOR,)), b"")
SMALL, LARGE = WORTH_COMPILING - 1, WORTH_COMPILING


def pretend(monkeypatch: pytest.MonkeyPatch, has: str, bfloat16: bool, gpu: bool) -> list[str]:
    """A machine with these libraries; the list tells whether its driver was asked."""
    asked: list[str] = []
    names = has.split()

    def nvidia_driver() -> SimpleNamespace | None:
        asked.append("driver")
        return SimpleNamespace(gpu="NVIDIA X1", driver="13.0", capability=(9, 0)) if gpu else None

    modules = {"onnxruntime-gpu": "onnxruntime"}
    monkeypatch.setattr(choice, "importable", lambda module: module in [modules.get(n, n) for n in names])
    monkeypatch.setattr(choice, "distributed", lambda name: name in names)
    monkeypatch.setattr(choice, "computes_bfloat16", lambda: bfloat16)
    monkeypatch.setitem(sys.modules, "handfirst.engines.cuda.driver", SimpleNamespace(nvidia_driver=nvidia_driver))
    return asked


@pytest.mark.parametrize(
    ("has", "bfloat16", "gpu", "size", "engine", "reason"),
    [
        ("tensorrt onnxruntime-gpu openvino", True, True, SMALL, "tensorrt", "TensorRT is installed and finds"),
        ("tensorrt onnxruntime", True, True, LARGE, "tensorrt", "NVIDIA X1"),
        ("onnxruntime-gpu openvino", True, True, LARGE, "cuda", "onnxruntime-gpu is installed and finds NVIDIA X1"),
        ("tensorrt onnxruntime openvino", True, False, LARGE, "openvino-bf16", "this CPU computes bfloat16"),
        ("onnxruntime openvino", True, True, LARGE, "openvino-bf16", "OpenVINO is installed and this CPU"),
        ("onnxruntime openvino", True, False, None, "openvino-bf16", "this CPU computes bfloat16"),
        ("onnxruntime openvino", False, False, LARGE, "cpu", "hardly faster"),
        ("onnxruntime openvino", True, False, SMALL, "cpu", "a model of 50 MB paints sooner"),
        ("openvino", True, False, SMALL, "openvino-bf16", "OpenVINO is installed"),
        ("openvino", False, False, SMALL, "openvino", "OpenVINO is what is installed"),
        ("onnxruntime", True, True, LARGE, "cpu", "onnxruntime is what is installed"),
        ("onnxruntime-gpu", False, False, LARGE, "cpu", "onnxruntime is what is installed"),
    ],
)  # fmt: skip
def test_auto(
    monkeypatch: pytest.MonkeyPatch, has: str, bfloat16: bool, gpu: bool, size: int | None, engine: str, reason: str
) -> None:
    pretend(monkeypatch, has, bfloat16, gpu)
    chosen = choose(AUTO, size)
    assert chosen.engine == engine and reason in chosen.reason and "\n" not in chosen.reason


def test_the_driver_is_asked_only_where_a_library_could_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = pretend(monkeypatch, "onnxruntime openvino", True, True)
    choose()
    assert asked == []


def test_nothing_installed_names_the_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, "", True, True)
    with pytest.raises(EngineError) as caught:
        choose()
    assert all(f"handfirst[{extra}]" in str(caught.value) for extra in ("openvino", "cpu", "cuda", "tensorrt"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_asked_for_is_taken(monkeypatch: pytest.MonkeyPatch, engine: str) -> None:
    pretend(monkeypatch, "", False, False)
    assert choose(engine, SMALL) == Choice(engine, "asked for")


def test_no_such_engine() -> None:
    for ask in (lambda: choose("magic"), lambda: open_engine(GRAPH, "magic"), lambda: open_engine(GRAPH, AUTO)):
        with pytest.raises(EngineError, match=r"engine must be one of .*cpu, cuda, openvino, openvino-bf16, tensorrt"):
            ask()


@pytest.mark.parametrize(
    ("engine", "module", "name", "arguments"),
    [
        ("cpu", "ort", "OrtEngine", (GRAPH, "cpu", 3)),
        ("cuda", "ort", "OrtEngine", (GRAPH, "cuda", 3)),
        ("openvino", "ov", "OvEngine", (GRAPH, "float32", 3)),
        ("openvino-bf16", "ov", "OvEngine", (GRAPH, "bfloat16", 3)),
    ],
)
def test_each_name_opens_its_own(
    monkeypatch: pytest.MonkeyPatch, engine: str, module: str, name: str, arguments: tuple[object, ...]
) -> None:
    opened = SimpleNamespace(**{name: lambda *given: given})
    monkeypatch.setitem(sys.modules, f"handfirst.engines.{module}", opened)
    assert open_engine(GRAPH, engine, 3)[: len(arguments)] == arguments  # type: ignore[comparison-overlap]


def test_tensorrt_gets_the_default_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HANDFIRST_CACHE", str(tmp_path))
    given = []
    opened = SimpleNamespace(TrtEngine=lambda graph, cache, gpu: given.append((graph, cache.folder, gpu)))
    monkeypatch.setitem(sys.modules, "handfirst.engines.tensorrt.engine", opened)
    open_engine(GRAPH, "tensorrt")
    open_engine(GRAPH, "tensorrt:1")
    assert given == [(GRAPH, tmp_path, 0), (GRAPH, tmp_path, 1)]


def test_an_engine_may_name_its_gpu() -> None:
    assert choice.parse_engine("cuda:1") == EngineName("cuda", 1)
    assert choice.parse_engine("tensorrt") == EngineName("tensorrt", 0)
    assert choice.parse_engine("cuda:nhwc") == EngineName("cuda", 0, nhwc=True)
    assert choice.parse_engine("cuda:2:nhwc") == EngineName("cuda", 2, nhwc=True)
    assert choice.choose("cuda:1").engine == "cuda:1"
    wrong = ["cpu:1", "openvino:0", "cuda:", "cuda:-1", "cuda:x", "cuda:1:2", "cuda:10000", ":1"]
    for name in (*wrong, "tensorrt:nhwc", "cpu:nhwc", "cuda:nhwc:1"):
        with pytest.raises(EngineError, match="or cuda:1 for a second GPU"):
            choice.choose(name)


def test_a_gpu_by_number_reaches_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = SimpleNamespace(OrtEngine=lambda *given: given)
    monkeypatch.setitem(sys.modules, "handfirst.engines.ort", opened)
    assert open_engine(GRAPH, "cuda:2:nhwc", 3) == (GRAPH, "cuda", 3, CudaOptions(device=2, prefer_nhwc=True))  # type: ignore[comparison-overlap]


def test_arithmetic_has_a_bar() -> None:
    assert arithmetic("openvino-bf16", "float32") == "bfloat16"
    assert arithmetic("openvino", "float32") == arithmetic("cpu", "float32") == "float32"
    assert TOLERANCE["bfloat16"] < TOLERANCE["float16"] < TOLERANCE["float32"]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("processor\t: 0\nflags\t\t: fpu sse avx512f avx512_bf16 sha_ni\n", True),
        ("flags\t\t: fpu amx_bf16 amx_tile\n", True),
        ("flags\t\t: fpu avx512f\nmodel name\t: avx512_bf16\n", False),
        ("Features\t: fp asimd bf16\n", False),
        ("", False),
    ],
)
def test_what_the_cpu_says_of_itself(tmp_path: Path, text: str, answer: bool) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    assert installed.computes_bfloat16(tmp_path / "cpuinfo") is answer
    assert not installed.computes_bfloat16(tmp_path / "missing")


def test_what_is_installed_here() -> None:
    assert installed.importable("numpy") and not installed.importable("no_such_module_at_all")
    assert installed.distributed("numpy") and not installed.distributed("no-such-distribution-at-all")


def test_choosing_imports_none_of_them() -> None:
    code = (
        "import sys\n"
        "from handfirst.engines.choice import choose\n"
        "try: choose()\n"
        "except Exception: pass\n"
        "print(*{'onnxruntime', 'openvino', 'tensorrt', 'torch'} & set(sys.modules))\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split() == []
