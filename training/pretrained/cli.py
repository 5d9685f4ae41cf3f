"""`handfirst init`: a Stable Diffusion checkpoint becomes an untrained pair of stage models."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(help="Start the stage models from a Stable Diffusion 1.x checkpoint.")


class MaskSource(StrEnum):
    """Which feature of the hand UNet feeds the mask head."""

    last = "last"
    up_block = "up_block"


class Predicts(StrEnum):
    """What the checkpoint's UNet predicts."""

    epsilon = "epsilon"
    v_prediction = "v_prediction"
    sample = "sample"


class NewChannels(StrEnum):
    """How the hand UNet's new input channels begin."""

    random = "random"
    zero = "zero"


@app.callback(invoke_without_command=True, context_settings={"allow_interspersed_args": True})
def init(
    checkpoint: Annotated[Path, typer.Argument(help="A diffusers folder, or one .safetensors or .ckpt file.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the model; must not exist.")],
    controlnet: Annotated[
        Path | None, typer.Option(help="A ControlNet, folder or file (OpenPose); default: a fresh one that is silent.")
    ] = None,
    tokenizer: Annotated[
        Path | None, typer.Option(help="Folder with vocab.json and merges.txt; needed for a single file.")
    ] = None,
    vae: Annotated[
        Path | None,
        typer.Option(help="An autoencoder, folder or file, instead of the checkpoint's or for want of one."),
    ] = None,
    prediction: Annotated[
        Predicts | None, typer.Option(help="What the UNet predicts; default: as the files say, else epsilon.")
    ] = None,
    clip_skip: Annotated[
        int | None,
        typer.Option(
            min=1, help="The text encoder's layer from the end, 1 the last; default: as the files say, else 1."
        ),
    ] = None,
    new_channels: Annotated[NewChannels, typer.Option(help="How new input channels begin.")] = NewChannels.random,
    size: Annotated[int, typer.Option(min=64, help="Side of hand crops and canvas, in multiples of 64.")] = 512,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    mask_source: Annotated[
        MaskSource, typer.Option(help="The mask head's feature: before conv_out, or before the last upsampler.")
    ] = MaskSource.last,
    mask_layers: Annotated[int, typer.Option(min=3, max=4, help="The mask head's transposed convolutions.")] = 4,
) -> None:
    """Make the two stage models from a checkpoint, ready for training or for a first export."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from handfirst.engines.errors import UserError
    from handfirst.runtime.cli.output import one_line
    from handfirst.runtime.systems.two_stage.settings import MaskHeadSettings
    from handfirst.training.libraries import quiet
    from handfirst.training.pretrained.stable_diffusion import Given, read_stable_diffusion
    from handfirst.training.pretrained.start import read_controlnet, untrained_pair
    from handfirst.training.systems.two_stage.model_folder import save_model

    quiet()
    if out.exists():
        raise UserError(f"{out} exists already; choose another place")
    guide = None if controlnet is None else read_controlnet(controlnet)
    given = Given(
        tokenizer=tokenizer,
        vae=vae,
        prediction=None if prediction is None else prediction.value,
        skipped=None if clip_skip is None else clip_skip - 1,
    )
    base = read_stable_diffusion(checkpoint, given=given)
    for note in base.notes:
        typer.echo(f"note: {one_line(note)}", err=True)
    head = MaskHeadSettings.model_validate({"source": mask_source.value, "layers": mask_layers})
    channels: Literal["random", "zero"] = "zero" if new_channels is NewChannels.zero else "random"
    model = untrained_pair(base, guide, channels, size, seed, head)
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        save_model(model, temporary)
        temporary.rename(out)
    finally:
        _remove(temporary)
    inputs = model.hand.unet.config.in_channels
    predicts = model.settings.schedule.prediction
    typer.echo(f"model: {out} (hand UNet with {inputs} input channels, {size} x {size} pixels, predicts {predicts})")


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
