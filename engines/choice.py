"""Which engine runs the graphs: the one that was asked for, or the best that is installed and fits the hardware.

Nothing heavy is imported until an engine is opened.
"""

from __future__ import annotations

from dataclasses import dataclass

from handfirst.engines.errors import EngineError
from handfirst.engines.graph import Precision
from handfirst.engines.installed import computes_bfloat16, distributed, importable

ENGINES = ("cpu", "cuda", "openvino", "openvino-bf16", "tensorrt")
"""onnxruntime on CPU or CUDA; OpenVINO in float32 or bfloat16 arithmetic; TensorRT. Extras have the same names."""

ON_CPU = ("cpu", "openvino", "openvino-bf16")

ON_GPU = ("cuda", "tensorrt")
"""These may name a GPU; see `parse_engine`."""

AUTO = "auto"

WORTH_COMPILING = 50_000_000
"""Bytes of a bundle from which OpenVINO in bfloat16, which compiles before it runs, paints the first picture sooner.

Measured on two cores: with 40 MB the first picture takes 10.2 s in onnxruntime and 12.3 s in OpenVINO (8.1 s once its
work is cached); with 70 MB OpenVINO has caught up after 6 of the 60 evaluations of a picture. In float32 an evaluation
takes 3 to 5 % less than in onnxruntime, which does not pay for compiling.
"""


TOLERANCE: dict[Precision, float] = {"float32": 60.0, "float16": 40.0, "bfloat16": 25.0}
"""Worst PSNR in dB against torch's float32 of a graph that is computed in each arithmetic."""


@dataclass(frozen=True)
class Choice:
    """An engine by name, and why it was picked, in a few words."""

    engine: str
    reason: str


def choose(asked: str = AUTO, model_bytes: int | None = None) -> Choice:
    """The engine to use. "auto": TensorRT, then CUDA, where they are installed and a GPU's driver answers; else what
    paints the first picture soonest on the CPU.

    Args:
        asked: AUTO or one of ENGINES.
        model_bytes: size of the bundle; None: as for a large one.

    Raises:
        EngineError: no such engine; for AUTO, none is installed.
    """
    if asked == AUTO:
        return _on_gpu() or _on_cpu(model_bytes)
    parse_engine(asked)
    return Choice(asked, "asked for")


@dataclass(frozen=True)
class EngineName:
    """An engine's name taken apart: "cuda:1:nhwc" is the second GPU with channels last."""

    library: str
    """One of ENGINES."""
    gpu: int = 0
    """As CUDA counts them."""
    nhwc: bool = False
    """Convolutions with channels last: onnxruntime's CUDA provider alone."""


def parse_engine(engine: str) -> EngineName:
    """Takes a name apart: "cpu", "cuda", "cuda:1", "cuda:nhwc", "tensorrt:1".

    Raises:
        EngineError: no such engine, or something behind one that it does not know.
    """
    library, *rest = engine.split(":")
    nhwc = library == "cuda" and rest[-1:] == ["nhwc"]
    numbers = rest[:-1] if nhwc else rest
    good = library in ENGINES and len(numbers) <= (library in ON_GPU)
    if not good or not all(number.isdecimal() and len(number) <= 3 for number in numbers):
        names = ", ".join((AUTO, *ENGINES))
        raise EngineError(
            f"engine must be one of {names}, or cuda:1 for a second GPU, or cuda:nhwc for channels last, got {engine!r}"
        )
    return EngineName(library, int(numbers[0]) if numbers else 0, nhwc)


def _on_gpu() -> Choice | None:
    libraries = {"tensorrt": importable("tensorrt"), "cuda": distributed("onnxruntime-gpu")}
    found = [engine for engine, installed in libraries.items() if installed]
    if not found:
        return None
    from handfirst.engines.cuda.driver import nvidia_driver  # asks in a process of its own: only where it matters

    driver = nvidia_driver()
    named = {"tensorrt": "TensorRT", "cuda": "onnxruntime-gpu"}[found[0]]
    return None if driver is None else Choice(found[0], f"{named} is installed and finds {driver.gpu}")


def _on_cpu(model_bytes: int | None) -> Choice:
    plain, openvino = importable("onnxruntime"), importable("openvino")
    if not (plain or openvino):
        raise EngineError(
            "no engine is installed; run: pip install 'handfirst[openvino]' or 'handfirst[cpu]' (with an NVIDIA GPU: "
            "'handfirst[cuda]' or 'handfirst[tensorrt]')"
        )
    bfloat16 = computes_bfloat16()
    if not openvino:
        return Choice("cpu", "onnxruntime is what is installed")
    if plain and not bfloat16:
        return Choice("cpu", "in float32 OpenVINO is hardly faster than onnxruntime and opens later")
    if plain and model_bytes is not None and model_bytes < WORTH_COMPILING:
        return Choice("cpu", f"a model of {model_bytes / 1e6:.0f} MB paints sooner than OpenVINO compiles it")
    if bfloat16:
        return Choice("openvino-bf16", "OpenVINO is installed and this CPU computes bfloat16")
    return Choice("openvino", "OpenVINO is what is installed")


def arithmetic(engine: str, graph: Precision) -> Precision:
    """What an engine computes in when it is given a graph of that precision."""
    return "bfloat16" if engine == "openvino-bf16" and graph == "float32" else graph
