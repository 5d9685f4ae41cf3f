"""What the paper leaves open and this model settles, in words for people who read the manifest.

The words follow from the settings; a number that the runtime obeys is in the settings, not here.
"""

from __future__ import annotations

from handfirst.engines.graph import Precision
from handfirst.export.to_onnx import Weights
from handfirst.runtime.systems.two_stage.settings import TwoStageSettings

FINGERS = "thumb, index, middle, ring, pinky"


def decisions(settings: TwoStageSettings, weights: Weights, precision: Precision) -> dict[str, str]:
    """Channel orders, the mask rule, the blend and the like, by name."""
    hand, body, condition = settings.hand, settings.body, settings.hand.condition
    cells = hand.size // settings.latent.factor
    told = {
        "condition_channels": (
            f"{FINGERS} of the left hand; {FINGERS} of the right hand; the user's mask, zeros where there is none"
        ),
        "condition_maps": (
            f"exp(-d^2 / sigma^2) with sigma {condition.sigma:g} of the crop's side, "
            f"the maximum over a finger's points, drawn at {hand.size} px, reduced bilinearly to {condition.grid}, "
            f"folded {condition.fold} x {condition.fold} to {cells} cells; "
            + ("the wrist in all five channels of its hand" if condition.wrist else "no wrist")
        ),
        "crops": f"square, {hand.margin:g} x the longer side of a hand's points; hands whose boxes intersect share one",
        "mask_rule": (
            "mask head on the feature of the conditional branch at the last step, clipped to [0, 1], "
            f"hand above {hand.mask_threshold:g}"
        ),
        "mask_head": (
            f"{hand.mask_head.layers} transposed convolutions on what "
            + ("conv_out" if hand.mask_head.source == "last" else "the last upsampler")
            + f" gets, average pool of {hand.mask_head.pool(settings.latent.factor)}"
        ),
        "background": (
            f"uniform grey {body.background:g} around the hands"
            + (f"; their outermost pixels, {body.rim:g} of their crop, in the colours further in" if body.rim else "")
        ),
        "hint_channels": "skeleton red, green, blue in [0, 1]; 1 where the body is to be painted, 0 on the hands",
        "blend_source": (
            "kept latents are the canvas noised to the step's level with one fixed noise"
            if body.blend_source == "noised"
            else "kept latents are the clean canvas at every step"
        ),
        "blend_schedule": (
            (
                f"the kept region shrinks from a dilation of {body.mask_radius:g} of the shorter side to the hands; "
                if body.mask_schedule == "pixels"
                else f"the kept region shrinks to the hands in {body.mask_count} masks, one latent cell at a time; "
            )
            + f"the last {body.unblended} steps are not blended; masks reach latent cells by {body.mask_reduction}"
        ),
        "paste": "inside the hand mask the picture is the canvas, exactly",
        "latents": "graphs take and give raw latents (the encoder's mode); the settings' mean and std standardise them",
        "guidance": "key points and hint in both branches, only the text is dropped",
        "arithmetic": f"graphs compute in {precision} and take and give float32",
        "weights": (
            "large weights rounded to float16 and stored so, all arithmetic in float32"
            if (weights, precision) == ("float16", "float32")
            else f"stored in {precision}"
        ),
    }
    if settings.gestures:
        told["gestures"] = (
            "hands are told E'' = mu E + (1 - mu) F of their prompt, which ends in the gesture's words; the body "
            "is told the prompt as it was said, and guidance leads away from the negative prompt, unfused"
        )
    return told
