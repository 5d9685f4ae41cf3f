"""What paper and published programs leave open and this model settles, in words for people who read the manifest.

The words follow from the settings; a number that the runtime obeys is in the settings, not here.
"""

from __future__ import annotations

from handfirst.engines.graph import Precision
from handfirst.export.to_onnx import Weights
from handfirst.runtime.systems.annotated.settings import AnnotatedSettings


def decisions(settings: AnnotatedSettings, weights: Weights, precision: Precision) -> dict[str, str]:
    """Channels, schedule, consistency and the like, by name."""
    annotation = {
        "channels": "three channels: finger, level of the bone, side; 0 where no hand is",
        "colours": "one skeleton in OpenPose's colours, which do not tell left from right",
        "none": "none: the paper's baseline",
    }[settings.annotation]
    mode = {
        "pixel": "pixels of picture and annotation are denoised together",
        "latent": "latents of picture and annotation, which one autoencoder encodes apart, are denoised together",
    }[settings.mode]
    told = {
        None: "nothing",
        "label": "a class, as what is added to the time's embedding; none is zeros",
        "context": "words; none is the empty prompt",
    }[settings.told]
    return {
        "annotation": annotation,
        "order": "bones from far to near by the sum of their ends' depths; without depths palm first, tips last",
        "mode": mode,
        "told": told,
        "clipping": "clean estimates are not clipped while denoising; the published training's are",
        **(
            {}
            if settings.annotation == "none"
            else {
                "consistency": "21 points are recovered from the annotation; agreement times the share of bones that "
                "show, of several hands the mean by bones; ours, in no source"
            }
        ),
        "arithmetic": f"graphs compute in {precision} and take and give float32",
        "weights": (
            "large weights rounded to float16 and stored so, all arithmetic in float32"
            if (weights, precision) == ("float16", "float32")
            else f"stored in {precision}"
        ),
    }
