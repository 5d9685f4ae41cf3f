"""What paper and released code leave open and this model settles, in words for people who read the manifest.

The words follow from the settings; a number that the runtime obeys is in the settings, not here.
"""

from __future__ import annotations

from handfirst.engines.graph import Precision
from handfirst.export.to_onnx import Weights
from handfirst.runtime.systems.part_refiner.settings import PartRefinerSettings


def decisions(settings: PartRefinerSettings, weights: Weights, precision: Precision) -> dict[str, str]:
    """Crops, banks, guidance, the ring and the like, by name."""
    kinds = settings.part.kinds.items()
    return {
        "crops": f"square, {settings.part.size} px; "
        + "; ".join(
            f"{kind}: {each.gap:g} of the side between the key points' box and each edge" for kind, each in kinds
        ),
        "pose_picture": "grey capsules shaded by depth, drawn from key points where no render of a mesh is given",
        "part": "; ".join(
            f"{kind}: any channel of the pose picture from {each.mask_threshold:g}" for kind, each in kinds
        ),
        **(_by_control(settings) if settings.drawn_by == "control" else _by_reference(settings)),
        "words": (
            "zeros without, one learnt context with"
            if settings.text is None
            else "the kind's prompt, and the empty one"
        ),
        "arithmetic": f"graphs compute in {precision} and take and give float32",
        "weights": (
            "large weights rounded to float16 and stored so, all arithmetic in float32"
            if (weights, precision) == ("float16", "float32")
            else f"stored in {precision}"
        ),
    }


def _by_reference(settings: PartRefinerSettings) -> dict[str, str]:
    kinds = settings.part.kinds.items()
    return {
        "first_stage": "sees and paints the part on black",
        "reference": "latents are the autoencoder's mode, not a sample, and carry no noise; the reference UNet is "
        + ("told the step's own time" if settings.reference_timestep == "current" else "told time 0"),
        "banks": "what every transformer block's first norm gives, in the order in which blocks run; a row that is not "
        "referenced attends to its own tokens twice, which weigh as once",
        "guidance": "without: the image encoder's answer to a picture of mean colour, and no bank; the pose stays",
        "ring": "; ".join(
            f"{kind}: from the part eroded by a square of {each.erosion:g} of its longer side to it dilated by one of "
            f"{each.dilation:g} of the crop's"
            for kind, each in kinds
        )
        + "; grey in what the second stage is shown",
        "blend": "before every step of stage 2 all beyond the ring is the photo with fresh noise, clean at the end",
        "autoencoder": "one for both stages",
        "positions": f"the image encoder's table, brought to {settings.image_encoder.size} px once and for all",
    }


def _by_control(settings: PartRefinerSettings) -> dict[str, str]:
    kinds = settings.part.kinds.items()
    return {
        "first_stage": "none: the inpainting UNet draws all of the part, and a ControlNet tells it the pose picture",
        "painted": "; ".join(
            f"{kind}: the part dilated by a square of {each.dilation:g} of the crop's side" for kind, each in kinds
        )
        + "; grey in what the UNet is shown",
        "control": "sees x_t alone, at full strength, with words and without",
        "blend": "before every step all beyond the part is the photo with fresh noise, clean at the end",
    }
