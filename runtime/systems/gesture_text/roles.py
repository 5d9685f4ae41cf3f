"""Which engines a model of gestures in words needs, how their specs follow from its settings, and how they run.

    role          inputs                              outputs
    text_encoder  ids                                 context
    unet          sample, timestep, context, adapter  prediction
    vae_decoder   latent                              image

adapter [B, P] holds the low-rank factors of each row's own gesture, zeros for none: rows of several gestures are one
batch. Checked before any engine is opened. Knows nothing about engines or caches.
"""

from __future__ import annotations

from collections.abc import Mapping

from handfirst.engines.spec import EngineSpec
from handfirst.runtime.diffusion.codec import MOST_PICTURES
from handfirst.runtime.roles import Axes, check_engine, check_present, pieces, shapes_of
from handfirst.runtime.running import MOST_ROWS, most_rows
from handfirst.runtime.system import Runs
from handfirst.runtime.systems.gesture_text.settings import GestureTextSettings

ROLES = ("text_encoder", "unet", "vae_decoder")
"""In the order of use."""


def check_roles(settings: GestureTextSettings, specs: Mapping[str, EngineSpec]) -> None:
    """Every role is there, and its names, dtypes and sizes agree with the settings.

    Raises:
        BundleError: naming the first tensor that does not fit, what was expected and what came.
    """
    check_present(ROLES, specs)
    for role, (inputs, outputs) in _expected(settings).items():
        check_engine(role, specs[role], inputs, outputs)


def _expected(settings: GestureTextSettings) -> dict[str, tuple[dict[str, Axes], dict[str, Axes]]]:
    cells, size, latent, text = settings.cells, settings.size, settings.latent, settings.text
    sample: Axes = (None, latent.channels, cells, cells)
    context: Axes = (None, text.length, text.width)
    given: dict[str, Axes] = {
        "sample": sample, "timestep": (None,), "context": context, "adapter": (None, settings.adapter.values),
    }  # fmt: skip
    return {
        "text_encoder": ({"ids": (None, text.length)}, {"context": context}),
        "unet": (given, {"prediction": sample}),
        "vae_decoder": ({"latent": sample}, {"image": (None, 3, size, size)}),
    }


def runs(settings: GestureTextSettings, specs: Mapping[str, EngineSpec], pictures: int) -> dict[str, Runs]:
    """How each engine runs for that many pictures at once with the settings' own defaults, so that it can be built
    before anybody waits."""
    guided = 1 if settings.defaults.guidance == 1 else 2
    rows = {"text_encoder": 1, "unet": pictures * guided, "vae_decoder": pictures}
    most = {"text_encoder": 1, "unet": MOST_ROWS, "vae_decoder": MOST_PICTURES}
    cells = (settings.cells, settings.cells)
    return {role: Runs(shapes_of([pieces(rows[role], most_rows(specs[role], most[role]))], cells)) for role in ROLES}
