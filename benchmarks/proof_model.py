"""What gpu_proof.py puts to the test: a graph, torch's module of it, inputs, and what torch answers in float32.

The networks have random weights and are made one at a time, on the device, so that nothing is downloaded or stored;
or everything comes from a bundle and the model folder that it was exported from.
"""

from __future__ import annotations

import gc
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor, nn

from handfirst.engines.bundle import Bundle
from handfirst.engines.graph import Graph, Precision
from handfirst.export.examples import example
from handfirst.export.form import form_of
from handfirst.export.graph_files import GraphFiles, read_graph, write_graph
from handfirst.export.part import InPrecision, Part
from handfirst.export.systems.two_stage.parts import part_makers
from handfirst.export.to_onnx import DTYPES, to_onnx
from handfirst.runtime.systems.two_stage.settings import TwoStageSettings
from handfirst.training.systems.two_stage.model_folder import ModelFolder, NetworkName

TESTS = Path(__file__).resolve().parents[1] / "tests"
"""Holds the sizes of Stable Diffusion 1.5, and the tiny model."""

ROLES = (
    "body_unet", "controlnet", "hand_unet", "vae_decoder", "vae_encoder", "text_encoder", "hint_encoder", "mask_head",
)  # fmt: skip
"""Heaviest first, so that a run that is cut off has seen what matters."""


@dataclass
class Subject:
    """One graph to prove.

    Attributes:
        role, precision: which.
        graph: as an engine takes it.
        module: takes and gives float32 as the graph does, computes in `precision`, on the CPU; None: no torch to race.
        inputs, reference: by name; the reference is torch's, in float32 with TF32 off.
        export_seconds: what the export took, or reading it again.
    """

    role: str
    precision: Precision
    graph: Graph
    module: nn.Module | None
    inputs: dict[str, np.ndarray]
    reference: dict[str, np.ndarray]
    export_seconds: float | None = None


class RandomModel:
    """Stable Diffusion 1.5's sizes, random weights: a `Networks` (export/parts.py) that makes what it is asked for.

    Args:
        device: where random numbers are drawn; a GPU is faster. The networks come back on the CPU.
    """

    def __init__(self, device: str = "cpu") -> None:
        self.settings = TwoStageSettings()
        self._device = device

    def network(self, name: NetworkName) -> Any:
        """A network, the same every time."""
        with torch.random.fork_rng(), torch.device(self._device):
            torch.manual_seed(0)
            return _build(name, self.settings).to("cpu").eval()

    def outline(self, name: NetworkName) -> Any:
        """The network on the meta device."""
        with torch.device("meta"):
            return _build(name, self.settings)

    def tokenizer(self) -> bytes:
        """A tokenizer.json of CLIP's vocabulary, whose words mean nothing."""
        vocabulary = {"a": 0, "<unknown>": 1} | {f"<{i}>": i for i in range(2, self.settings.text.end + 1)}
        made = Tokenizer(models.WordLevel(vocabulary, unk_token="<unknown>"))
        made.pre_tokenizer = pre_tokenizers.Whitespace()
        return made.to_str().encode()


class TinyModel:
    """The model that the tests use; a network is fresh every time, as the export of half precision changes it."""

    def __init__(self) -> None:
        self.settings = _tiny().settings

    def network(self, name: NetworkName) -> Any:
        """A network, the same every time."""
        return _tiny().network(name)

    outline = network

    def tokenizer(self) -> bytes:
        """Its tokenizer.json."""
        return _tiny().tokenizer.to_str().encode()


def _tiny() -> Any:
    sys.path.insert(0, str(TESTS))
    from support.tiny_model import tiny_model

    return tiny_model()


def _build(name: NetworkName, settings: TwoStageSettings) -> Any:
    sys.path.insert(0, str(TESTS))
    from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
    from support.original_layout import FULL_TEXT, FULL_TRUNK, FULL_VAE
    from transformers import CLIPTextConfig, CLIPTextModel

    from handfirst.training.models.autoencoder import Autoencoder
    from handfirst.training.systems.two_stage.hand_generator import HandGenerator, build_mask_head

    def unet(channels: int) -> UNet2DConditionModel:
        up = ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3
        return UNet2DConditionModel(**FULL_TRUNK, up_block_types=up, sample_size=64, in_channels=channels)

    latent = settings.latent
    if name == "text_encoder":
        return CLIPTextModel(CLIPTextConfig(**FULL_TEXT, hidden_act="quick_gelu"))
    if name == "autoencoder":
        down, up = ("DownEncoderBlock2D",) * 4, ("UpDecoderBlock2D",) * 4
        vae = AutoencoderKL(**FULL_VAE, down_block_types=down, up_block_types=up, layers_per_block=2, sample_size=512)
        return Autoencoder(vae)
    if name == "base":
        return unet(latent.channels)
    head = build_mask_head(FULL_TRUNK["block_out_channels"], latent.factor, settings.hand.mask_head)
    if name == "mask_head":
        return head
    if name == "hand":
        return HandGenerator(unet(latent.channels + settings.condition_channels), head)
    hint = {"conditioning_channels": settings.body.hint_channels}
    controlnet = ControlNetModel(**FULL_TRUNK, conditioning_embedding_out_channels=(16, 32, 96, 256), **hint)
    for layer in [*controlnet.controlnet_down_blocks, controlnet.controlnet_mid_block]:
        nn.init.normal_(layer.weight, std=0.1)  # a fresh one says nothing, whatever it is given
    nn.init.normal_(controlnet.controlnet_cond_embedding.conv_out.weight, std=0.1)
    return controlnet


class Store:
    """A model's graphs, exported when they are first asked for.

    Args:
        model: whose.
        folder: where they stay, so that a later command reads them again; None: nowhere. Give each model its own.
        opset: of graphs of half precision, as `handfirst export --opset`.
    """

    def __init__(self, model: Any, folder: Path | None = None, opset: int | None = None) -> None:
        self.model, self._folder, self._opset = model, folder, opset

    def graph(self, role: str, precision: Precision) -> Graph:
        """As an engine takes it."""
        part = part_makers(self.model)[role]()
        if self._folder is None:
            with tempfile.TemporaryDirectory(prefix="handfirst-proof-") as folder:
                return self._export(part, precision, Path(folder))
        place = self._folder / "-".join(filter(None, (role, precision, str(self._opset or ""))))
        if place.is_dir():
            data = tuple(path.name for path in place.glob("*.weights"))
            precision = form_of(part, precision).precision
            return read_graph(place, GraphFiles(f"{role}.onnx", data), role, part.spec, precision)
        self._folder.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=".", dir=self._folder))
        graph = self._export(part, precision, unfinished)
        unfinished.rename(place)  # never half a graph
        return graph

    def _export(self, part: Part, precision: Precision, folder: Path) -> Graph:
        form = form_of(part, precision, self._opset)
        files = write_graph(to_onnx(part, "float32", form), folder, part.role)
        return read_graph(folder, files, part.role, part.spec, form.precision)


def exported(
    store: Store,
    role: str,
    precisions: Sequence[Precision],
    batch: int,
    device: str,
    begin: Callable[[Precision], None] = lambda precision: None,
) -> Iterator[Subject]:
    """One graph in every precision, one after the other in memory; `begin` is called before each export."""
    begin(precisions[0])
    make = part_makers(store.model)[role]
    part, settings = make(), store.model.settings
    factor = settings.latent.factor
    inputs = example(part, batch, cells=(settings.body.height // factor, settings.body.width // factor))
    reference = torch_outputs(part.module, part, inputs, device)
    del part
    for precision in precisions:
        begin(precision)
        started = time.monotonic()
        graph = store.graph(role, precision)
        seconds = round(time.monotonic() - started, 1)
        module = in_precision(make(), graph.precision)
        yield Subject(role, precision, graph, module, inputs, reference, seconds)
        del graph, module


def in_precision(part: Part, precision: Precision) -> nn.Module:
    """The part's module, computing as its graph does; its weights are converted in place."""
    return part.module.eval() if precision == "float32" else InPrecision(part.module, DTYPES[precision])


def from_bundle(bundle: Bundle, role: str, folder: Path | None) -> Subject:
    """A bundle's graph against its golden tensors; `folder` holds the model that it was exported from."""
    graph, golden = bundle.graph(role), bundle.golden()
    inputs = {t.name: golden[f"{role}.in.{t.name}"].astype(t.dtype) for t in graph.spec.inputs}
    reference = {t.name: golden[f"{role}.out.{t.name}"] for t in graph.spec.outputs}
    module: nn.Module | None = None
    if folder is not None:
        module = in_precision(part_makers(ModelFolder(folder))[role](), graph.precision)
    return Subject(role, graph.precision, graph, module, inputs, reference)


@torch.no_grad()
def torch_outputs(module: nn.Module, part: Part, inputs: dict[str, np.ndarray], device: str) -> dict[str, np.ndarray]:
    """What the module gives on the device, by name."""
    found = module.eval().to(device)(*on_device(inputs, [t.name for t in part.spec.inputs], device))
    values = found if isinstance(found, tuple) else (found,)
    outputs = {t.name: value.float().cpu().numpy() for t, value in zip(part.spec.outputs, values, strict=True)}
    module.to("cpu")
    return outputs


def on_device(inputs: dict[str, np.ndarray], names: Sequence[str], device: str) -> list[Tensor]:
    """Tensors in the order of `names`."""
    return [torch.from_numpy(inputs[name]).to(device) for name in names]


def honest_float32() -> None:
    """Without TF32 float32 has all its bits; cuDNN may try its algorithms, as the other libraries do."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True


def synchroniser(device: str) -> Callable[[], None]:
    """Waits for all that the device was given."""
    return torch.cuda.synchronize if device == "cuda" else lambda: None


def free_memory() -> None:
    """Gives back what nobody holds any more; onnxruntime and torch do not share their pools."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
