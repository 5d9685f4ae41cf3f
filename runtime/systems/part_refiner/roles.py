"""Which engines a part refiner needs, how their specs follow from its settings, and with which shapes they run.

    role             inputs                                                      outputs
    image_encoder    picture                                                     context
    pose_guider      pose                                                        pose_feature
    reference_unet   sample, timestep, context, pose_feature                     bank_00, bank_01, ...
    main_unet        sample, timestep, context, pose_feature, referenced, bank_*  prediction
    text_encoder     ids                                                         context      only with settings.text
    inpaint_unet     sample, timestep, context                                   prediction
    vae_encoder      image                                                       latent
    vae_decoder      latent                                                      image

A model that is drawn by control has neither image encoder nor stage 1's UNets; its inpaint_unet, which holds the
ControlNet too, takes a pose_feature beside the above, and the pose guider is the ControlNet's own.

bank_NN is what the N-th transformer block of the reference UNet, in the order in which they run, feeds its
self-attention: [B, tokens, width]. The main UNet's block N attends to its own tokens and to these; in rows whose
referenced is 0 to its own tokens twice, which is attention to its own alone (softmax over [own; own] weighs as softmax
over own), so that rows with and without a reference are one batch of one shape.

Checked before any engine is opened. Knows nothing about engines or caches.
"""

from __future__ import annotations

from collections.abc import Mapping

from handfirst.engines.errors import BundleError
from handfirst.engines.spec import EngineSpec
from handfirst.runtime.diffusion.codec import MOST_PICTURES
from handfirst.runtime.roles import Axes, check_engine, check_handed_on, check_present, pieces, shapes_of
from handfirst.runtime.running import MOST_ROWS, most_rows
from handfirst.runtime.system import Runs
from handfirst.runtime.systems.part_refiner.settings import PartRefinerSettings

STAGES = (("image_encoder", "pose_guider", "reference_unet", "main_unet"), ("inpaint_unet",))
"""The roles of stage 1 alone and of stage 2 alone; the others serve both, or neither."""

BANK = "bank_"


def roles(settings: PartRefinerSettings) -> tuple[str, ...]:
    """In the order of use."""
    text = () if settings.text is None else ("text_encoder",)
    if settings.drawn_by == "control":
        return (*text, "pose_guider", "vae_encoder", "inpaint_unet", "vae_decoder")
    first = ("image_encoder", "pose_guider", "vae_encoder", "reference_unet", "main_unet")
    return (*text, *first, "inpaint_unet", "vae_decoder")


def bank_names(reference_unet: EngineSpec) -> tuple[str, ...]:
    """The reference UNet's outputs, which are the main UNet's extra inputs: bank_00, bank_01, ..."""
    return tuple(tensor.name for tensor in reference_unet.outputs)


def check_roles(settings: PartRefinerSettings, specs: Mapping[str, EngineSpec]) -> None:
    """Every role is there, and its names, dtypes and sizes agree with the settings and with its neighbours.

    Raises:
        BundleError: naming the first tensor that does not fit, what was expected and what came.
    """
    check_present(roles(settings), specs)
    if settings.drawn_by == "control":
        for role, (inputs, outputs) in _controlled(settings).items():
            check_engine(role, specs[role], inputs, outputs)
        check_handed_on(specs, "pose_guider", "inpaint_unet", ["pose_feature"])
        return
    banks = bank_names(specs["reference_unet"])
    if banks != tuple(f"{BANK}{i:02}" for i in range(len(banks))):
        raise BundleError(
            f"reference_unet: outputs: expected {BANK}00, {BANK}01, ... in this order, got {', '.join(banks)}; "
            "export the bundle again"
        )
    for role, (inputs, outputs) in _expected(settings, banks).items():
        check_engine(role, specs[role], inputs, outputs)
    check_handed_on(specs, "reference_unet", "main_unet", banks)
    for taker in ("reference_unet", "main_unet"):
        check_handed_on(specs, "pose_guider", taker, ["pose_feature"])


def _expected(
    settings: PartRefinerSettings, banks: tuple[str, ...]
) -> dict[str, tuple[dict[str, Axes], dict[str, Axes]]]:
    size, cells, channels = settings.part.size, settings.cells, settings.latent.channels
    encoder, text = settings.image_encoder, settings.text
    sample: Axes = (None, channels, cells, cells)
    feature: dict[str, Axes] = {"pose_feature": (None, None, None, None)}
    context: Axes = (None, encoder.tokens, encoder.width)
    words: Axes = (None, None, None) if text is None else (None, text.length, text.width)
    told: dict[str, Axes] = {"sample": sample, "timestep": (None,), "context": context, **feature}
    bank: dict[str, Axes] = dict.fromkeys(banks, (None, None, None))
    painted: dict[str, Axes] = {"sample": (None, 2 * channels + 1, cells, cells), "timestep": (None,), "context": words}
    prediction: dict[str, Axes] = {"prediction": sample}
    expected: dict[str, tuple[dict[str, Axes], dict[str, Axes]]] = {
        "image_encoder": ({"picture": (None, 3, encoder.size, encoder.size)}, {"context": context}),
        "pose_guider": ({"pose": (None, 3, size, size)}, feature),
        "reference_unet": (told, bank),
        "main_unet": ({**told, "referenced": (None,), **bank}, prediction),
        "inpaint_unet": (painted, prediction),
        "vae_encoder": ({"image": (None, 3, size, size)}, {"latent": sample}),
        "vae_decoder": ({"latent": sample}, {"image": (None, 3, size, size)}),
    }
    if text is not None:
        expected["text_encoder"] = ({"ids": (None, text.length)}, {"context": words})
    return expected


def _controlled(settings: PartRefinerSettings) -> dict[str, tuple[dict[str, Axes], dict[str, Axes]]]:
    """What is expected of a model that is drawn by control."""
    expected = _expected(settings, ())
    inputs, outputs = expected["inpaint_unet"]
    feature = expected["pose_guider"][1]
    kept = {role: tensors for role, tensors in expected.items() if role in roles(settings)}
    return {**kept, "inpaint_unet": ({**inputs, **feature}, outputs)}


def runs(settings: PartRefinerSettings, specs: Mapping[str, EngineSpec], pictures: int) -> dict[str, Runs]:
    """How each engine runs for that many pictures at once, so that it can be built before anybody waits.

    Of one or two parts each, with the settings' own guidance. Follows what the stages do: every part of every picture
    is a row, guidance doubles the rows of the denoisers, and long batches are cut.
    """
    vae = ("vae_encoder", "vae_decoder")
    most = {role: most_rows(spec, MOST_PICTURES if role in vae else MOST_ROWS) for role, spec in specs.items()}
    defaults, cells, parts = settings.defaults, settings.cells, (pictures, 2 * pictures)
    size, latent = (settings.part.size,) * 2, (cells, cells)
    inpaint_guidance = defaults.guidance if settings.drawn_by == "control" else defaults.inpaint_guidance
    rows = {
        "image_encoder": [count if defaults.guidance == 1 else count + 1 for count in parts],
        "pose_guider": list(parts),
        "vae_encoder": list(parts),
        "reference_unet": [1],
        "main_unet": [count if defaults.guidance == 1 else 2 * count for count in parts],
        "inpaint_unet": [count if inpaint_guidance == 1 else 2 * count for count in parts],
        "vae_decoder": list(parts),
    }
    sizes = {"image_encoder": (settings.image_encoder.size,) * 2, "pose_guider": size, "vae_encoder": size}
    found = {
        role: shapes_of((pieces(n, most[role]) for n in rows.get(role, [1])), sizes.get(role, latent))
        for role in roles(settings)
    }
    return {role: Runs(shapes) for role, shapes in found.items()}
