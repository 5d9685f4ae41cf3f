"""With which shapes a two-stage model runs each of its engines, so that they can be built before anybody waits.

Follows what the stages do (hands.py, body.py, codec.py, guided.py): every hand of every picture is one row, guidance
doubles the rows of the denoisers, and long batches are cut. Knows nothing about engines or caches.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from handfirst.engines.engine import Array
from handfirst.engines.spec import EngineSpec
from handfirst.runtime.diffusion.codec import MOST_PICTURES
from handfirst.runtime.rows import MOST_ROWS, most_rows
from handfirst.runtime.settings import TwoStageSettings

Sizes = tuple[int, int]


def batches(
    settings: TwoStageSettings, specs: Mapping[str, EngineSpec], pictures: int
) -> dict[str, list[tuple[int, Sizes]]]:
    """role -> (rows, (height, width) of its maps) of every run for that many pictures at once.

    Of one person each, with the settings' own guidance; one hand in sight of each, or two.
    """
    vae = ("vae_encoder", "vae_decoder")
    most = {role: most_rows(spec, MOST_PICTURES if role in vae else MOST_ROWS) for role, spec in specs.items()}
    factor, defaults = settings.latent.factor, settings.defaults
    body, side = (settings.body.height, settings.body.width), settings.hand.size
    latent, cells = (body[0] // factor, body[1] // factor), (side // factor, side // factor)
    coarse = (cells[0] // settings.hand.mask_head.stride,) * 2
    hands = (pictures, 2 * pictures)
    hand_rows = [count if defaults.hand_guidance == 1 else 2 * count for count in hands]
    body_rows = pictures if defaults.guidance == 1 else 2 * pictures
    return {
        "text_encoder": [(1, latent)],
        "hand_unet": _all((_cut(rows, most["hand_unet"]) for rows in hand_rows), cells),
        "mask_head": _all((_cut(count, most["mask_head"]) for count in hands), coarse),
        "hint_encoder": _all([_cut(pictures, most["hint_encoder"])], body),
        "controlnet": _all([_cut(body_rows, most["controlnet"])], latent),
        "body_unet": _all([_cut(body_rows, most["body_unet"])], latent),
        "vae_encoder": _all([_cut(pictures, most["vae_encoder"])], body),
        "vae_decoder": [
            *_all((_cut(count, most["vae_decoder"]) for count in hands), cells),
            *_all([_cut(pictures, most["vae_decoder"])], latent),
        ],
    }


def blank_inputs(
    spec: EngineSpec, rows: int, sizes: Sizes, given: Mapping[str, tuple[int, ...]] | None = None
) -> dict[str, Array]:
    """Zeros of the right shapes and dtypes.

    Args:
        spec: of the engine; a first axis with a name is the batch.
        rows: the batch.
        sizes: height and width of its maps, for other axes with names.
        given: shapes of tensors that other engines made: they are taken as they are, but for the batch.
    """
    made = {}
    for tensor in spec.inputs:
        known = (given or {}).get(tensor.name, (rows, 0, *sizes))
        shape = [axis if isinstance(axis, int) else rows if i == 0 else known[i] for i, axis in enumerate(tensor.shape)]
        made[tensor.name] = np.zeros(shape, np.dtype(tensor.dtype))
    return made


def _cut(rows: int, most: int) -> set[int]:
    """The lengths of the pieces that rows.py cuts a batch into."""
    return {min(most, rows - start) for start in range(0, rows, most)}


def _all(pieces: Iterable[set[int]], sizes: Sizes) -> list[tuple[int, Sizes]]:
    return [(rows, sizes) for rows in sorted(set().union(*pieces))]
