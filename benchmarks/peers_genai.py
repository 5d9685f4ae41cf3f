"""OpenVINO GenAI as a contender of peers.py: txt2img, as it has no ControlNet; the UNet in every step, with guidance.

It takes folders of OpenVINO's own format, which are written beside the weights when it first takes part: the same UNet,
with a text encoder, a tokenizer and a decoder that are as small as they can be. Its latents are not compared, as what
it paints is another picture; beside it stands what the UNet alone takes by bare calls (peers_own.py).
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from peers_model import GUIDANCE, Inputs, Model, network
from peers_own import Mark

SCHEDULER = {"_class_name": "DDIMScheduler", "beta_schedule": "scaled_linear", "clip_sample": False}


class GenAI:
    """Text2ImagePipeline in bfloat16."""

    def __init__(self, model: Model, threads: int) -> None:
        import openvino_genai

        folder = model.folder / "genai"
        if not (folder / "model_index.json").exists():
            subprocess.run([sys.executable, __file__, str(model.folder)], check=True)  # torch's memory is not its own
        options = {"INFERENCE_PRECISION_HINT": "bf16", "INFERENCE_NUM_THREADS": str(threads)}
        self._options, self._folder, self._library = options, folder, openvino_genai
        self._opened: dict[tuple[int, int], Any] = {}

    def run(self, inputs: Inputs, mark: Mark) -> None:
        """Nothing: it is another picture."""
        job = inputs.job
        key = job.size, job.batch
        if key not in self._opened:
            pipeline = self._library.Text2ImagePipeline(self._folder)
            pipeline.reshape(job.batch, job.size, job.size, GUIDANCE)
            pipeline.compile("CPU", **self._options)
            self._opened = {key: pipeline}

        def stepped(step: int, steps: int, latent: Any) -> bool:
            mark()
            return False

        self._opened[key].generate(
            "a", num_inference_steps=job.steps, guidance_scale=GUIDANCE, height=job.size, width=job.size,
            num_images_per_prompt=job.batch, callback=stepped,
        )  # fmt: skip


def _write(model: Model, folder: Path) -> None:
    """The folder of a pipeline; model_index.json last."""
    import torch
    from diffusers import AutoencoderKL
    from transformers import CLIPTextConfig, CLIPTextModel

    text, latent = model.settings.text, model.settings.latent
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    from support.original_layout import SMALL_TEXT, write_tokenizer

    _tokenizer(write_tokenizer(folder / "tokenizer"), text.length)
    size = {"hidden_size": text.width, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 1}
    words = CLIPTextConfig(**SMALL_TEXT | size, max_position_embeddings=text.length)
    _convert(
        folder / "text_encoder", _Text(CLIPTextModel(words).eval()), {"input_ids": torch.zeros(1, text.length).long()},
        ["last_hidden_state"], json.loads(words.to_json_string()),
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(4,) * 4, down_block_types=("DownEncoderBlock2D",) * 4, norm_num_groups=2,
        up_block_types=("UpDecoderBlock2D",) * 4, layers_per_block=1, latent_channels=latent.channels,
    ).eval()  # fmt: skip
    decoder = {"latent_sample": torch.zeros(1, latent.channels, 8, 8)}
    _convert(folder / "vae_decoder", _Decoder(vae), decoder, ["sample"], dict(vae.config))
    unet = network(model.folder, "base")
    taken = {
        "sample": torch.zeros(2, latent.channels, 16, 16), "timestep": torch.zeros(1).long(),
        "encoder_hidden_states": torch.zeros(2, text.length, text.width),
    }  # fmt: skip
    _convert(folder / "unet", _UNet(unet), taken, ["out_sample"], dict(unet.config) | {"sample_size": 64})
    (folder / "scheduler").mkdir(exist_ok=True)
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(SCHEDULER))
    index = {
        "_class_name": "StableDiffusionPipeline", "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"], "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"],
    }  # fmt: skip
    (folder / "model_index.json").write_text(json.dumps(index))


def _tokenizer(folder: Path, length: int) -> None:
    import openvino
    import openvino_tokenizers
    from transformers import CLIPTokenizerFast

    tokenizer = CLIPTokenizerFast.from_pretrained(folder, model_max_length=length)
    made = openvino_tokenizers.convert_tokenizer(tokenizer, max_length=length, use_max_padding=True)
    openvino.save_model(made, folder / "openvino_tokenizer.xml")


def _convert(folder: Path, module: Any, inputs: dict[str, Any], outputs: list[str], config: dict[str, Any]) -> None:
    """openvino_model.xml with these names, and config.json."""
    import openvino
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    with torch.no_grad():
        made = openvino.convert_model(module, example_input=tuple(inputs.values()))
    for port, name in [*zip(made.inputs, inputs, strict=True), *zip(made.outputs, outputs, strict=True)]:
        port.get_tensor().set_names({name})
    openvino.save_model(made, folder / "openvino_model.xml", compress_to_fp16=False)
    (folder / "config.json").write_text(json.dumps(config, default=str))


def _modules() -> tuple[Any, Any, Any]:
    """What takes and gives plain tensors, so that it can be converted."""
    from torch import Tensor, nn

    class Wrapped(nn.Module):
        def __init__(self, network: nn.Module) -> None:
            super().__init__()
            self.network = network

    class Text(Wrapped):
        def forward(self, ids: Tensor) -> Any:
            return self.network(ids).last_hidden_state

    class Decoder(Wrapped):
        def forward(self, latent: Tensor) -> Any:
            return self.network.decode(latent).sample

    class UNet(Wrapped):
        def forward(self, sample: Tensor, timestep: Tensor, context: Tensor) -> Any:
            return self.network(sample, timestep, context).sample

    return Text, Decoder, UNet


if __name__ == "__main__":
    _Text, _Decoder, _UNet = _modules()
    _write(Model(Path(sys.argv[1])), Path(sys.argv[1]) / "genai")
