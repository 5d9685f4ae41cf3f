"""The parts of a model of gestures in words that become graphs: role, module, and the spec of what it takes and gives.

    role          inputs                              outputs
    text_encoder  ids                                 context
    unet          sample, timestep, context, adapter  prediction
    vae_decoder   latent                              image

Knows nothing about ONNX. Sizes come from the settings and from the networks' own configs, never from a literal.
"""

from __future__ import annotations

from handfirst.engines.errors import UserError
from handfirst.engines.spec import DType, EngineSpec, TensorSpec
from handfirst.export.codec import Decoder
from handfirst.export.part import BATCH, CELLS, PIXELS, Part, PartMaker
from handfirst.training.models.text_encoder import TextContext
from handfirst.training.systems.gesture_text.fed import FedUNet
from handfirst.training.systems.gesture_text.model_folder import GestureTextFolder


def part_makers(model: GestureTextFolder) -> dict[str, PartMaker]:
    """By role, in the order in which the runtime uses them, what makes each part.

    Raises:
        UserError: a network's configuration contradicts the settings.
    """
    _check_fit(model)
    return {
        "text_encoder": lambda: _text_encoder(model),
        "unet": lambda: _unet(model),
        "vae_decoder": lambda: _vae_decoder(model),
    }


def _tensor(name: str, *shape: int | str, dtype: DType = "float32") -> TensorSpec:
    return TensorSpec(name=name, dtype=dtype, shape=(BATCH, *shape))


def _text_encoder(model: GestureTextFolder) -> Part:
    text, encoder = model.settings.text, model.text_encoder()
    ids, context = _tensor("ids", text.length, dtype="int64"), _tensor("context", text.length, text.width)
    spec = EngineSpec(inputs=(ids,), outputs=(context,))
    return Part("text_encoder", TextContext(encoder), spec, {"ids": encoder.config.vocab_size})


def _unet(model: GestureTextFolder) -> Part:
    settings, text = model.settings, model.settings.text
    shape = (settings.latent.channels, settings.cells, settings.cells)
    inputs = (
        _tensor("sample", *shape),
        _tensor("timestep", dtype="int64"),
        _tensor("context", text.length, text.width),
        _tensor("adapter", settings.adapter.values),
    )
    spec = EngineSpec(inputs=inputs, outputs=(_tensor("prediction", *shape),))
    return Part("unet", FedUNet(model.unet(), model.layout()), spec, {"timestep": settings.schedule.train_steps})


def _vae_decoder(model: GestureTextFolder) -> Part:
    latent = model.settings.latent
    spec = EngineSpec(inputs=(_tensor("latent", latent.channels, *CELLS),), outputs=(_tensor("image", 3, *PIXELS),))
    return Part("vae_decoder", Decoder(model.autoencoder()), spec, cell=latent.factor)


def _check_fit(model: GestureTextFolder) -> None:
    """The networks' configurations against the settings, so that a mismatch is named before anything is exported."""
    settings, unet = model.settings, model.outline().config
    model.layout()
    found = [
        ("UNet input channels", settings.latent.channels, unet.in_channels),
        ("UNet output channels", settings.latent.channels, unet.out_channels),
        ("UNet context width", settings.text.width, unet.cross_attention_dim),
        ("text encoder width", settings.text.width, model.text_outline().config.hidden_size),
    ]
    for what, expected, got in found:
        if expected != got:
            raise UserError(f"{what}: expected {expected} by the settings, the network has {got}; convert it again")
