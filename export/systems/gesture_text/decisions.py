"""What paper and published programs leave open and this model settles, in words for people who read the manifest.

The words follow from the settings; a number that the runtime obeys is in the settings, not here.
"""

from __future__ import annotations

from handfirst.engines.graph import Precision
from handfirst.export.to_onnx import Weights
from handfirst.runtime.systems.gesture_text.settings import GestureTextSettings


def decisions(settings: GestureTextSettings, weights: Weights, precision: Precision) -> dict[str, str]:
    """Fusion, adapters and the like, by name."""
    kinds = sorted({gesture.fusion for gesture in settings.gestures})
    fusion = {
        "low-rank": "F = E + U V [vec(E); g], trained; the published program's is random and never trained",
        "frozen-random": "F = W [vec(E); g] + b, torch's fresh linear layer, made again from its seed at run time",
    }
    return {
        "fusion": "; ".join(fusion[kind] for kind in kinds) or "none: no gesture is in it",
        "adapters": "an input of the UNet: every row brings its own, so that several gestures are one batch",
        "without": "guidance leads away from the empty prompt, unfused, with the gesture's adapter",
        "words": "a prompt ends in its gesture's words, in training and here",
        "arithmetic": f"graphs compute in {precision} and take and give float32",
        "weights": (
            "large weights rounded to float16 and stored so, all arithmetic in float32"
            if (weights, precision) == ("float16", "float32")
            else f"stored in {precision}"
        ),
    }
