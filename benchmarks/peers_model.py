"""What all contenders of peers.py share: one base UNet and one ControlNet with random weights, as torch's networks and
as ONNX graphs, and the job that they are given.

    FOLDER/unet, controlnet    diffusers' own folders, float32
    FOLDER/*.onnx, *.weights   their graphs, and the hint encoder's, in the plain form that `handfirst export` writes
    FOLDER/model.json          settings, and the graphs' specs; written last, so a folder that has it is whole

Three sizes: "tiny" (tries the scripts), "embedded" (the embedded model's networks), "full" (Stable Diffusion 1.5's and
its ControlNet's). Nothing depends on what the weights know.
"""

from __future__ import annotations

import gc
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.graph import Graph
from handfirst.engines.private import Folder, mapped
from handfirst.engines.spec import AxisLimits, EngineSpec
from handfirst.runtime.diffusion.noise import Streams, randn
from handfirst.runtime.pose.read import read_pose
from handfirst.runtime.pose.skeleton import hint
from handfirst.runtime.systems.two_stage.request import Request
from handfirst.runtime.systems.two_stage.settings import TwoStageSettings

Size = Literal["tiny", "embedded", "full"]
ROLES = ("hint_encoder", "controlnet", "body_unet")
POSE = Path(__file__).resolve().parents[1] / "runtime" / "systems" / "two_stage" / "demo_pose.json"
GUIDANCE = 7.5
MOST_ROWS = 16
CANVAS = {"tiny": (128, 192), "embedded": (192, 768), "full": (512, 768)}
"""Pixels of the usual canvas and of the largest."""
TINY: dict[str, Any] = {
    "block_out_channels": [32, 64], "layers_per_block": 1, "attention_head_dim": 2, "cross_attention_dim": 32,
    "norm_num_groups": 8, "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
}  # fmt: skip
FULL: dict[str, Any] = {
    "block_out_channels": [320, 640, 1280, 1280], "layers_per_block": 2, "attention_head_dim": 8,
    "cross_attention_dim": 768, "norm_num_groups": 32,
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
}  # fmt: skip


@dataclass(frozen=True)
class Job:
    """Stage 2's loop without hands, which is what every peer can do: text with a ControlNet, guidance in every step."""

    size: int
    """Pixels of a square picture's side."""
    batch: int
    """Pictures at once."""
    steps: int
    """Of DDIM, eta 0; each asks ControlNet and UNet with and without the prompt."""

    def __str__(self) -> str:
        return f"{self.size} px, batch {self.batch}, {self.steps} steps"


class Model:
    """A folder that `make` wrote."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        said = json.loads((folder / "model.json").read_text())
        self.settings = TwoStageSettings.model_validate(said["settings"])
        self._graphs: dict[str, Any] = said["graphs"]

    def graph(self, role: str) -> Graph:
        """As an engine takes it."""
        said = self._graphs[role]
        data = {name: mapped(self.folder / name) for name in said["data"]}
        spec, lies = EngineSpec.model_validate(said["spec"]), Folder(self.folder) if data else None
        return Graph(role, spec, self.path(role).read_bytes(), data, digest=said["digest"], source=role, folder=lies)

    def path(self, role: str) -> Path:
        """Of a graph's ONNX file."""
        return self.folder / f"{role}.onnx"

    def spec(self, role: str) -> EngineSpec:
        """What a graph takes and gives."""
        return EngineSpec.model_validate(self._graphs[role]["spec"])

    def bytes(self, role: str) -> int:
        """Of a graph's files."""
        return sum((self.folder / name).stat().st_size for name in (f"{role}.onnx", *self._graphs[role]["data"]))

    def inputs(self, job: Job) -> Inputs:
        """What a job begins with."""
        return Inputs(self.settings.on_canvas(job.size, job.size), job)


class Inputs:
    """The arrays of a job, the same for every contender."""

    def __init__(self, settings: TwoStageSettings, job: Job) -> None:
        self.settings, self.job = settings, job

    @cached_property
    def requests(self) -> list[Request]:
        """One a picture."""
        settings = self.settings
        asked = {"prompt": "a person", "steps": self.job.steps, "guidance": GUIDANCE, "eta": 0.0, "solver": "ddim"}
        pose = read_pose(POSE)
        return [Request(pose=pose, seed=i, **asked).resolve(settings) for i in range(self.job.batch)]

    def contexts(self, prompted: bool) -> NDArray[np.float32]:
        """What a text encoder might say, [B, L, D]."""
        text = self.settings.text
        return np.stack([randn(100 * prompted + i, (text.length, text.width)) for i in range(self.job.batch)])

    @property
    def x_T(self) -> NDArray[np.float32]:  # noqa: N802
        """The starting noise [B, C, h, w], as handfirst draws it."""
        cells = self.job.size // self.settings.latent.factor
        return Streams(range(self.job.batch), (self.settings.latent.channels, cells, cells)).x_T

    @property
    def hint(self) -> NDArray[np.float32]:
        """The skeleton, and a mask without hands: [B, 4, H, W]."""
        body = self.settings.body
        nothing = np.zeros((body.height, body.width), np.bool_)
        return np.stack([hint(each.pose, nothing, body.width, body.height) for each in self.requests])


def make(folder: Path, size: Size) -> None:
    """Writes the folder, if it is not there."""
    if (folder / "model.json").exists():
        return
    from handfirst.export.graph_files import file_entry, write_graph
    from handfirst.export.part import limit_rows
    from handfirst.export.systems.two_stage.parts import part_makers
    from handfirst.export.systems.two_stage.sizes import free_canvas
    from handfirst.export.to_onnx import to_onnx

    folder.mkdir(parents=True, exist_ok=True)
    settings = _write_networks(folder, size)
    makers = part_makers(_Folder(folder, settings))  # type: ignore[arg-type]
    graphs: dict[str, Any] = {}
    for role in ROLES:
        part = limit_rows(free_canvas(makers[role](), settings), MOST_ROWS)
        files = write_graph(to_onnx(part, "float32"), folder, role)
        digests = [file_entry(folder / name).sha256 for name in files.names]
        spec = part.spec.model_dump(mode="json")
        graphs[role] = {"spec": spec, "data": list(files.data), "digest": "-".join(digests)}
        del part
        gc.collect()
    said = {"settings": settings.model_dump(mode="json"), "graphs": graphs, "parameters": _parameters(folder)}
    (folder / "model.json").write_text(json.dumps(said, indent=1))


def _write_networks(folder: Path, size: Size) -> TwoStageSettings:
    """The two networks with random weights, whose ControlNet does say something."""
    import torch

    from handfirst.training.systems.two_stage.body_outpainter import build_base_unet, build_controlnet
    from handfirst.training.systems.two_stage.config import load_config

    settings, trunk, guide = TwoStageSettings(), {"tiny": TINY, "full": FULL}.get(size), {}
    if trunk is None:
        config = load_config("demo")
        settings, trunk, guide = config.settings, config.body_unet, config.controlnet
    elif size == "tiny":
        text = settings.text.model_copy(update={"length": 16, "width": 32})
        settings, guide = settings.model_copy(update={"text": text}), {"conditioning_embedding_out_channels": (8,) * 4}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet = build_base_unet(trunk, settings.latent.channels)
        controlnet = build_controlnet(unet, guide, settings.body.hint_channels)
        for layer in [*controlnet.controlnet_down_blocks, controlnet.controlnet_mid_block]:
            torch.nn.init.normal_(layer.weight, std=0.02)
    unet.save_pretrained(folder / "unet")
    controlnet.save_pretrained(folder / "controlnet")
    usual, most = CANVAS[size]
    limits = AxisLimits(least=128, usual=usual, most=most, multiple=64)
    free = {"width": usual, "height": usual, "widths": limits, "heights": limits, "unblended": 0}
    return settings.model_copy(update={"body": settings.body.model_copy(update=free)})


class _Folder:
    """The networks as export asks for them; of those that have no part here only sizes are asked."""

    def __init__(self, folder: Path, settings: TwoStageSettings) -> None:
        self.folder, self.settings = folder, settings

    def network(self, name: str) -> Any:
        return network(self.folder, name)

    def outline(self, name: str) -> Any:
        from diffusers import ControlNetModel, UNet2DConditionModel
        from torch import device

        text, channels = self.settings.text, self.settings.latent.channels
        if name == "text_encoder":
            return _sizes(config=_sizes(hidden_size=text.width, max_position_embeddings=text.length))
        if name == "hand":
            config = _sizes(in_channels=channels + self.settings.condition_channels, cross_attention_dim=text.width)
            return _sizes(unet=_sizes(config=config), conv_out=_sizes(out_channels=channels))
        kind, own = (UNet2DConditionModel, "unet") if name == "base" else (ControlNetModel, "controlnet")
        with device("meta"):
            return kind.from_config(kind.load_config(self.folder / own))


def _sizes(**fields: Any) -> SimpleNamespace:
    return SimpleNamespace(**fields)


def network(folder: Path, name: str) -> Any:
    """torch's: "base" or "controlnet"."""
    from diffusers import ControlNetModel, UNet2DConditionModel

    if name == "base":
        return UNet2DConditionModel.from_pretrained(folder / "unet", local_files_only=True).eval()
    return ControlNetModel.from_pretrained(folder / "controlnet", local_files_only=True).eval()


def _parameters(folder: Path) -> dict[str, int]:
    made = _Folder(folder, TwoStageSettings())
    return {name: sum(p.numel() for p in made.outline(name).parameters()) for name in ("base", "controlnet")}


def described(job: Job) -> dict[str, int]:
    """As JSON has it."""
    return asdict(job)
