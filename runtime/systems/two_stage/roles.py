"""Which engines a two-stage model needs, how their specs follow from its settings, and with which shapes they run.

Checked before any engine is opened, so that a bundle that cannot work says so in a line and in no time. Knows nothing
about engines or caches.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from handfirst.engines.errors import BundleError
from handfirst.engines.spec import AxisLimits, EngineSpec
from handfirst.runtime.diffusion.codec import MOST_PICTURES
from handfirst.runtime.roles import Axes, check_engine, check_handed_on, check_present, pieces, shapes_of
from handfirst.runtime.running import MOST_ROWS, most_rows
from handfirst.runtime.system import Runs
from handfirst.runtime.systems.two_stage.settings import BodySettings, TwoStageSettings

ROLES = (
    "text_encoder",
    "hand_unet",
    "mask_head",
    "hint_encoder",
    "controlnet",
    "body_unet",
    "vae_encoder",
    "vae_decoder",
)

PREVIEW = "preview_decoder"
"""May be there, too: a small decoder, which shows latents on their way."""

STAGES = (("hand_unet", "mask_head"), ("hint_encoder", "controlnet", "body_unet"))
"""The roles of stage 1 alone and of stage 2 alone; the others serve both."""


def roles_of(specs: Collection[str]) -> tuple[str, ...]:
    """Those that a bundle with these has to be opened for."""
    return (*ROLES, PREVIEW) if PREVIEW in specs else ROLES


def check_roles(settings: TwoStageSettings, specs: Mapping[str, EngineSpec]) -> None:
    """Every role is there, and its names, dtypes and sizes agree with the settings and with its neighbours.

    A free axis (a name) of a spec fits any size.

    Raises:
        BundleError: naming the first tensor that does not fit, what was expected and what came.
    """
    check_present(ROLES, specs)
    expected = _expected(settings, residual_names(specs["controlnet"]))
    decoders = [role for role in ("vae_decoder", PREVIEW) if role in specs]
    expected |= dict.fromkeys(decoders, expected["vae_decoder"])
    for role, (inputs, outputs) in expected.items():
        check_engine(role, specs[role], inputs, outputs)
    for role, name, cell in (
        ("hint_encoder", "hint", 1),
        ("controlnet", "sample", settings.latent.factor),
        ("body_unet", "sample", settings.latent.factor),
        ("vae_encoder", "image", 1),
        *((role, "latent", settings.latent.factor) for role in decoders),
    ):
        _check_sizes(role, name, cell, settings.body, specs[role])
    for giver, taker, names in (
        ("hand_unet", "mask_head", ("feature",)),
        ("hint_encoder", "controlnet", ("hint_feature",)),
        ("controlnet", "body_unet", residual_names(specs["controlnet"])),
    ):
        check_handed_on(specs, giver, taker, names)


def residual_names(controlnet: EngineSpec) -> tuple[str, ...]:
    """The ControlNet's outputs, which are the body UNet's extra inputs: residual_00, ..., residual_mid."""
    return tuple(tensor.name for tensor in controlnet.outputs)


def _expected(
    settings: TwoStageSettings, residuals: tuple[str, ...]
) -> dict[str, tuple[dict[str, Axes], dict[str, Axes]]]:
    factor, channels = settings.latent.factor, settings.latent.channels
    size, body = settings.hand.size, settings.body
    cells = (size // factor, size // factor)
    coarse = (cells[0] // settings.hand.mask_head.stride,) * 2
    rows, columns = body.height // factor, body.width // factor
    context: Axes = (None, settings.text.length, settings.text.width)
    any_map: Axes = (None, None, None, None)
    extra = dict.fromkeys(residuals, any_map)
    hand_in: dict[str, Axes] = {
        "sample": (None, channels + settings.condition_channels, *cells),
        "timestep": (None,),
        "context": context,
    }
    body_in: dict[str, Axes] = {
        "sample": (None, channels, rows, columns), "timestep": (None,), "context": context,
    }  # fmt: skip
    hint_feature: Axes = (None, None, rows, columns)
    return {
        "text_encoder": ({"ids": (None, settings.text.length)}, {"context": context}),
        "hand_unet": (hand_in, {"prediction": (None, channels, *cells), "feature": (None, None, *coarse)}),
        "mask_head": ({"feature": (None, None, *coarse)}, {"mask": (None, 1, size, size)}),
        "hint_encoder": (
            {"hint": (None, body.hint_channels, body.height, body.width)},
            {"hint_feature": hint_feature},
        ),
        "controlnet": ({**body_in, "hint_feature": hint_feature}, extra),
        "body_unet": ({**body_in, **extra}, {"prediction": (None, channels, rows, columns)}),
        "vae_encoder": ({"image": (None, 3, body.height, body.width)}, {"latent": (None, channels, rows, columns)}),
        "vae_decoder": ({"latent": (None, channels, None, None)}, {"image": (None, 3, None, None)}),
    }


def _check_sizes(role: str, name: str, cell: int, body: BodySettings, spec: EngineSpec) -> None:
    """An input takes every size that the settings promise; `cell` is how many pixels one of its cells stands for."""
    *_, rows, columns = next(tensor.shape for tensor in spec.inputs if tensor.name == name)
    for promised, axis in ((body.heights, rows), (body.widths, columns)):
        if promised is None:
            continue
        limits = AxisLimits(least=axis, usual=axis, most=axis) if isinstance(axis, int) else spec.limits.get(axis)
        ends = [size // cell for size in (promised.least, promised.most)]
        if limits and not (all(end in limits for end in ends) and promised.multiple // cell % limits.multiple == 0):
            raise BundleError(
                f"{role}: input '{name}' takes {limits} where the bundle's settings promise {ends[0]} to {ends[1]} "
                f"in steps of {promised.multiple // cell}; export the bundle again"
            )


def runs(settings: TwoStageSettings, specs: Mapping[str, EngineSpec], pictures: int) -> dict[str, Runs]:
    """How each engine runs for that many pictures at once, so that it can be built before anybody waits.

    Of one person each, with the settings' own guidance; one hand in sight of each, or two. Follows what the stages do
    (hands.py, body.py): every hand of every picture is one row, guidance doubles the rows of the denoisers, and long
    batches are cut.
    """
    vae = ("vae_encoder", "vae_decoder", PREVIEW)
    most = {role: most_rows(spec, MOST_PICTURES if role in vae else MOST_ROWS) for role, spec in specs.items()}
    factor, defaults = settings.latent.factor, settings.defaults
    body, side = (settings.body.height, settings.body.width), settings.hand.size
    latent, cells = (body[0] // factor, body[1] // factor), (side // factor, side // factor)
    coarse = (cells[0] // settings.hand.mask_head.stride,) * 2
    hands = (pictures, 2 * pictures)
    hand_rows = [count if defaults.hand_guidance == 1 else 2 * count for count in hands]
    body_rows = pictures if defaults.guidance == 1 else 2 * pictures
    shapes = {
        "text_encoder": [(1, latent)],
        "hand_unet": shapes_of((pieces(rows, most["hand_unet"]) for rows in hand_rows), cells),
        "mask_head": shapes_of((pieces(count, most["mask_head"]) for count in hands), coarse),
        "hint_encoder": shapes_of([pieces(pictures, most["hint_encoder"])], body),
        "controlnet": shapes_of([pieces(body_rows, most["controlnet"])], latent),
        "body_unet": shapes_of([pieces(body_rows, most["body_unet"])], latent),
        "vae_encoder": shapes_of([pieces(pictures, most["vae_encoder"])], body),
        "vae_decoder": [
            *shapes_of((pieces(count, most["vae_decoder"]) for count in hands), cells),
            *shapes_of([pieces(pictures, most["vae_decoder"])], latent),
        ],
    }
    if PREVIEW in specs:  # of the first picture alone
        shapes[PREVIEW] = [*shapes_of((pieces(count, most[PREVIEW]) for count in (1, 2)), cells), (1, latent)]
    # the decoder also takes latents of other sizes than the encoder makes, all of which are above
    return {role: Runs(found, role != "vae_encoder") for role, found in shapes.items()}
