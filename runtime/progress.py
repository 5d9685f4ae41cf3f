"""What a system says while it works: one finished piece at a time, with a picture of it for whoever wants to look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.request import Result


@dataclass(frozen=True, eq=False)
class Progress:
    """One finished piece of work."""

    stage: Literal["text", "hands", "canvas", "body", "decode"]
    step: int
    """1 .. total of this stage."""
    total: int
    preview: Callable[[], NDArray[np.uint8]]
    """Makes the picture as it stands, uint8 [H, W, 3] on the canvas; any thread may call it, while the model is open.

    Costs nothing unless it is called. Then it is a linear map of the latents, one colour per cell, where the model's
    settings say how (latent.preview); else a run of the decoder.
    """
    result: Result | None = None
    """With the last piece, stage "decode"."""
