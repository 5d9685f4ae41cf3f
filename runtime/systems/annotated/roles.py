"""Which engines a model of annotated hands needs, how their specs follow from its settings, and how they run.

    role          inputs                                   outputs
    text_encoder  ids                                      context      only with settings.text
    denoiser      sample, timestep[, label | context]      prediction
    vae_decoder   latent                                   image        only in mode "latent"

sample holds the picture's channels, then the annotation's. label [B, K] is 1 at the row's class, and 0 everywhere in a
row without one. Checked before any engine is opened. Knows nothing about engines or caches.
"""

from __future__ import annotations

from collections.abc import Mapping

from handfirst.engines.spec import EngineSpec
from handfirst.runtime.diffusion.codec import MOST_PICTURES
from handfirst.runtime.roles import Axes, check_engine, check_present, pieces, shapes_of
from handfirst.runtime.running import MOST_ROWS, most_rows
from handfirst.runtime.system import Runs
from handfirst.runtime.systems.annotated.settings import AnnotatedSettings


def roles(settings: AnnotatedSettings) -> tuple[str, ...]:
    """In the order of use."""
    text = () if settings.text is None else ("text_encoder",)
    decoder = () if settings.latent is None else ("vae_decoder",)
    return (*text, "denoiser", *decoder)


def check_roles(settings: AnnotatedSettings, specs: Mapping[str, EngineSpec]) -> None:
    """Every role is there, and its names, dtypes and sizes agree with the settings.

    Raises:
        BundleError: naming the first tensor that does not fit, what was expected and what came.
    """
    check_present(roles(settings), specs)
    for role, (inputs, outputs) in _expected(settings).items():
        check_engine(role, specs[role], inputs, outputs)


def _expected(settings: AnnotatedSettings) -> dict[str, tuple[dict[str, Axes], dict[str, Axes]]]:
    cells, size, latent, text = settings.cells, settings.size, settings.latent, settings.text
    sample: Axes = (None, settings.channels, cells, cells)
    given: dict[str, Axes] = {"sample": sample, "timestep": (None,)}
    expected: dict[str, tuple[dict[str, Axes], dict[str, Axes]]] = {}
    if settings.classes:
        given["label"] = (None, len(settings.classes))
    if text is not None:
        given["context"] = (None, text.length, text.width)
        expected["text_encoder"] = ({"ids": (None, text.length)}, {"context": (None, text.length, text.width)})
    expected["denoiser"] = (given, {"prediction": sample})
    if latent is not None:
        expected["vae_decoder"] = ({"latent": (None, latent.channels, cells, cells)}, {"image": (None, 3, size, size)})
    return expected


def runs(settings: AnnotatedSettings, specs: Mapping[str, EngineSpec], pictures: int) -> dict[str, Runs]:
    """How each engine runs for that many pictures at once with the settings' own defaults, so that it can be built
    before anybody waits."""
    guided = 1 if settings.defaults.guidance == 1 else 2
    halves = 1 if settings.annotation == "none" else 2
    rows = {"text_encoder": 1, "denoiser": pictures * guided, "vae_decoder": pictures * halves}
    most = {"text_encoder": 1, "denoiser": MOST_ROWS, "vae_decoder": MOST_PICTURES}
    cells = (settings.cells, settings.cells)
    return {
        role: Runs(shapes_of([pieces(rows[role], most_rows(specs[role], most[role]))], cells))
        for role in roles(settings)
    }
