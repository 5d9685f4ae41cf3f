"""The parts of a model of annotated hands that become graphs: role, module, and the spec of what it takes and gives.

    role          inputs                                outputs
    text_encoder  ids                                   context       where it reads text
    denoiser      sample, timestep[, label | context]   prediction
    vae_decoder   latent                                image         in mode "latent"

Knows nothing about ONNX. Sizes come from the settings and from the networks' own configs, never from a literal.
"""

from __future__ import annotations

from handfirst.engines.errors import UserError
from handfirst.engines.spec import DType, EngineSpec, TensorSpec
from handfirst.export.codec import Decoder
from handfirst.export.part import BATCH, CELLS, PIXELS, Part, PartMaker
from handfirst.training.models.text_encoder import TextContext
from handfirst.training.systems.annotated.model_folder import AnnotatedFolder


def part_makers(model: AnnotatedFolder) -> dict[str, PartMaker]:
    """By role, in the order in which the runtime uses them, what makes each part.

    Raises:
        UserError: a network's configuration contradicts the settings.
    """
    _check_fit(model)
    makers: dict[str, PartMaker] = {}
    if model.settings.text is not None:
        makers["text_encoder"] = lambda: _text_encoder(model)
    makers["denoiser"] = lambda: _denoiser(model)
    if model.settings.latent is not None:
        makers["vae_decoder"] = lambda: _vae_decoder(model)
    return makers


def _tensor(name: str, *shape: int | str, dtype: DType = "float32") -> TensorSpec:
    return TensorSpec(name=name, dtype=dtype, shape=(BATCH, *shape))


def _text_encoder(model: AnnotatedFolder) -> Part:
    text, encoder = model.settings.text, model.text_encoder()
    assert text is not None
    ids, context = _tensor("ids", text.length, dtype="int64"), _tensor("context", text.length, text.width)
    spec = EngineSpec(inputs=(ids,), outputs=(context,))
    return Part("text_encoder", TextContext(encoder), spec, {"ids": encoder.config.vocab_size})


def _denoiser(model: AnnotatedFolder) -> Part:
    settings, text = model.settings, model.settings.text
    shape = (settings.channels, settings.cells, settings.cells)
    told: tuple[TensorSpec, ...] = ()
    if settings.classes:
        told = (_tensor("label", len(settings.classes)),)
    if text is not None:
        told = (_tensor("context", text.length, text.width),)
    inputs = (_tensor("sample", *shape), _tensor("timestep", dtype="int64"), *told)
    spec = EngineSpec(inputs=inputs, outputs=(_tensor("prediction", *shape),))
    return Part("denoiser", model.denoiser(), spec, {"timestep": settings.schedule.train_steps})


def _vae_decoder(model: AnnotatedFolder) -> Part:
    latent = model.settings.latent
    assert latent is not None
    spec = EngineSpec(inputs=(_tensor("latent", latent.channels, *CELLS),), outputs=(_tensor("image", 3, *PIXELS),))
    return Part("vae_decoder", Decoder(model.autoencoder()), spec, cell=latent.factor)


def _check_fit(model: AnnotatedFolder) -> None:
    """The networks' configurations against the settings, so that a mismatch is named before anything is exported."""
    settings, text = model.settings, model.settings.text
    unet = model.outline().unet.config
    channels = settings.channels * settings.patch**2
    found: list[tuple[str, int, int]] = [
        ("UNet input channels", channels, unet.in_channels),
        ("UNet output channels", channels, unet.out_channels),
    ]
    if text is not None:
        found += [
            ("UNet context width", text.width, unet.cross_attention_dim),
            ("text encoder width", text.width, model.text_outline().config.hidden_size),
        ]
    for what, expected, got in found:
        if expected != got:
            raise UserError(f"{what}: expected {expected} by the settings, the network has {got}; convert it again")
