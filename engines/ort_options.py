"""How an onnxruntime session is opened: what is asked of the library, and of its CUDA provider.

Plain data out of plain data; knows nothing about sessions. The CUDA options are onnxruntime's documented ones, each
with the reason why it is not left at its default; they have not been measured on a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from handfirst.engines.graph import Graph, Precision

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


@dataclass(frozen=True)
class CudaOptions:
    """What may be chosen about the CUDA provider.

    Attributes:
        device: which GPU, as CUDA counts them.
        conv_search: how cuDNN's algorithm is found for a convolution: "EXHAUSTIVE" tries all on the first run with new
            shapes, which pays where a network runs many times; "HEURISTIC" starts at once.
        prefer_nhwc: convolutions with channels last, as tensor cores want them, at the price of transposes.
        graphs: capture runs of one set of shapes as a CUDA graph (ort_graphs.py), where the library can.
        stream: a CUDA stream to compute on, which lives as long as the engine; 0: one of the library's own.
    """

    device: int = 0
    conv_search: Literal["EXHAUSTIVE", "HEURISTIC", "DEFAULT"] = "EXHAUSTIVE"
    prefer_nhwc: bool = False
    graphs: bool = True
    stream: int = 0


def cuda_settings(options: CudaOptions, precision: Precision, graphs: bool) -> dict[str, str]:
    """The provider's own names and values."""
    stream = {"user_compute_stream": str(options.stream)} if options.stream else {}
    return stream | {
        "device_id": str(options.device),
        "arena_extend_strategy": "kSameAsRequested",  # the default doubles: gigabytes of a GPU that others share
        "cudnn_conv_algo_search": options.conv_search,
        "use_tf32": "0" if precision == "float32" else "1",  # 10 bits of mantissa would not be float32
        "prefer_nhwc": str(int(options.prefer_nhwc)),
        "enable_cuda_graph": str(int(graphs)),
    }


def session_options(ort: Any, graph: Graph, threads: int) -> Any:
    """A fresh SessionOptions. The graph's external weights are handed over in memory, by name."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    # The arena saves nothing that can be measured, and keeps what the largest run took: of a batch that was too large
    # even single pictures then failed, and a full-size UNet's activations are 2 GB.
    options.enable_cpu_mem_arena = False
    options.add_session_config_entry("session.load_model_format", "ONNX")  # never guessed from the bytes
    # threads that wait for work while spinning take half of the processors' time and, on a busy machine, the work's own
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if graph.data:
        names, buffers = list(graph.data), list(graph.data.values())
        options.add_external_initializers_from_files_in_memory(names, buffers, [len(b) for b in buffers])
    return options
