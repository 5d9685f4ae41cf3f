"""Operators and weights of every graph at Stable Diffusion 1.5's full size, beside what a bundle may hold.

    python benchmarks/graph_sizes.py [--narrow] [--roles ...]     # -> benchmarks/results/graph-sizes.json

Random weights in the sizes of configs/sd15.toml, each graph exported as `handfirst export` does it by default (float32,
large weights stored as float16) and counted as the rules of engines/trust count it. One network at a time: 10 GB of
memory. --narrow tries the script with networks a tenth as wide; it counts fewer casts, as small weights are not stored
as float16. Roles are added to the file, so they may be counted one command at a time.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from handfirst.engines.files import atomic_write_bytes
from handfirst.engines.trust.onnx_file import read_onnx
from handfirst.engines.trust.operators import MOST_NODES, MOST_WEIGHTS
from handfirst.export.systems.two_stage.parts import part_makers
from handfirst.export.to_onnx import to_onnx
from handfirst.export.weights import round_weights
from handfirst.runtime.profile.machine import machine
from handfirst.runtime.systems.two_stage.settings import TwoStageSettings
from handfirst.training.models.autoencoder import build_autoencoder
from handfirst.training.models.text_encoder import build_text_encoder
from handfirst.training.systems.two_stage.body_outpainter import build_base_unet, build_controlnet
from handfirst.training.systems.two_stage.config import load_config
from handfirst.training.systems.two_stage.hand_generator import build_hand_generator

RESULT = Path(__file__).parent / "results" / "graph-sizes.json"
LIBRARIES = ("handfirst", "torch", "diffusers", "transformers", "onnx", "onnxscript")
NARROW = {"block_out_channels": [32, 64, 128, 128], "cross_attention_dim": 96}


class Random:
    """Networks with random weights, made when they are asked for; see Networks in export/systems/two_stage/parts.py."""

    def __init__(self, narrow: bool) -> None:
        self._config, self._narrow = load_config("sd15"), narrow
        settings = self._config.settings
        text = settings.text.model_copy(update={"width": 96}) if narrow else settings.text
        self.settings: TwoStageSettings = settings.model_copy(update={"text": text})

    def outline(self, name: str) -> nn.Module:
        """Without weights."""
        config, settings = self._config, self.settings
        unet = NARROW if self._narrow else {}
        latent = settings.latent
        with torch.device("meta"):
            if name == "text_encoder":
                more = {"intermediate_size": 384} if self._narrow else {}
                return build_text_encoder(
                    {**config.text_encoder, **more}, settings.text.length, settings.text.width, 49408
                )
            if name == "autoencoder":
                more = {"block_out_channels": [32, 64, 64, 64]} if self._narrow else {}
                return build_autoencoder({**config.autoencoder, **more})
            if name in ("hand", "mask_head"):
                hand = build_hand_generator(
                    {**config.hand_unet, **unet},
                    latent.channels,
                    settings.condition_channels,
                    latent.factor,
                    settings.hand.mask_head,
                )
                return hand if name == "hand" else hand.mask_head
            base = build_base_unet({**config.body_unet, **unet}, latent.channels)
            if name == "base":
                return base
            return build_controlnet(base, config.controlnet, settings.body.hint_channels)

    def network(self, name: str) -> nn.Module:
        """With weights that float16 holds."""
        made = self.outline(name).to_empty(device="cpu").eval()
        with torch.no_grad():
            for tensor in made.parameters():
                tensor.normal_(std=0.02)
            for key, buffer in made.named_buffers():
                buffer.copy_(torch.arange(buffer.shape[-1]) if key.endswith("position_ids") else buffer.zero_())
        round_weights(made)
        return made


def main() -> None:
    """Counts and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--narrow", action="store_true")
    parser.add_argument("--roles", nargs="+")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    found: dict[str, Any] = json.loads(options.out.read_text())["graphs"] if options.out.exists() else {}
    makers = part_makers(Random(options.narrow))
    for role in options.roles or makers:
        begin = time.monotonic()
        part = makers[role]()
        parameters = sum(tensor.numel() for tensor in part.module.parameters())
        data = to_onnx(part)
        graph = read_onnx(without_data(data), role).graph
        assert graph is not None
        found[role] = {"operators": len(graph.nodes), "weights": len(graph.initializers), "parameters": parameters}
        print(role, found[role], f"{time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
        del part, data
        report = {
            "what": f"graphs of Stable Diffusion 1.5's layout, {'a tenth as wide' if options.narrow else 'full size'}",
            "limits": {"operators": MOST_NODES, "weights": MOST_WEIGHTS},
            "graphs": found,
            "machine": machine(LIBRARIES),
        }
        atomic_write_bytes(options.out, (json.dumps(report, indent=1) + "\n").encode())


def without_data(model: Any) -> bytes:
    """The file with empty tensors in place of the weights: what is counted is their number."""
    import numpy as np
    import onnx_ir as ir

    for value in model.graph.initializers.values():
        if value.const_value is not None:
            value.const_value = ir.tensor(np.zeros(0, np.float32), name=value.name)
    data: bytes = ir.to_proto(model).SerializeToString()
    return data


if __name__ == "__main__":
    main()
