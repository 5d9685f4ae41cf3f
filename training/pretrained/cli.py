"""`handfirst init`: checkpoints become model folders, to be trained or exported; and models from nothing.

A path in the place of a command is a Stable Diffusion checkpoint.
"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from handfirst.training.pretrained.cli_without_pose import init_annotated, init_gesture_text, refuse_existing

CHECKPOINT = "stable-diffusion"
HELP = ("--help", "-h")


class Starts(TyperGroup):
    """Anything but the name of a command is what the command for checkpoints is given."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in HELP:
            args = [CHECKPOINT, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=Starts,
    no_args_is_help=True,
    help="Start models: handfirst init CHECKPOINT OUT makes the two stages' from a Stable Diffusion 1.x checkpoint.",
)


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


@app.callback()
def _group() -> None:
    """Start models."""


class Part(StrEnum):
    """What a RealisHuman checkpoint refines."""

    hand = "hand"
    face = "face"


@app.command(CHECKPOINT)
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
    from handfirst.runtime.cli.output import one_line
    from handfirst.runtime.systems.two_stage.settings import MaskHeadSettings
    from handfirst.training.libraries import quiet
    from handfirst.training.pretrained.stable_diffusion import Given, read_stable_diffusion
    from handfirst.training.pretrained.start import read_controlnet, untrained_pair
    from handfirst.training.systems.two_stage.model_folder import save_model

    quiet()
    refuse_existing(out)
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


@app.command("realishuman")
def init_realishuman(
    folder: Annotated[Path, typer.Argument(help="RealisHuman's checkpoints and base models.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the model; must not exist.")],
    part: Annotated[Part, typer.Option(help="Which of its checkpoints.")] = Part.hand,
    base: Annotated[
        Path | None,
        typer.Option(help="A Stable Diffusion 1.x checkpoint for stage 1, where it was not trained; folder or file."),
    ] = None,
    inpainting: Annotated[
        Path | None, typer.Option(help="A Stable Diffusion 1.x inpainting checkpoint, folder or file.")
    ] = None,
    dino: Annotated[Path | None, typer.Option(help="DINOv2, a folder of transformers.")] = None,
    vae: Annotated[Path | None, typer.Option(help="The autoencoder, folder or file (sd-vae-ft-mse).")] = None,
    tokenizer: Annotated[
        Path | None, typer.Option(help="Folder with vocab.json and merges.txt; needed for a single inpainting file.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of weights that no checkpoint has.")] = 0,
) -> None:
    """Make a part refiner of RealisHuman's public checkpoints, or of its base models."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from handfirst.runtime.cli.output import one_line
    from handfirst.training.libraries import quiet
    from handfirst.training.pretrained.realishuman import write_refiner
    from handfirst.training.pretrained.realishuman_places import Places, find_places

    quiet()
    refuse_existing(out)
    given = Places(base=base, inpainting=inpainting, dino=dino, vae=vae, tokenizer=tokenizer)
    for note in write_refiner(find_places(folder, part.value, given), part.value, seed, out):
        typer.echo(f"note: {one_line(note)}", err=True)
    typer.echo(f"model: {out}")


@app.command("handrefiner")
def init_handrefiner(
    controlnet: Annotated[
        Path, typer.Argument(help="HandRefiner's ControlNet of hands, or another's; folder or file.")
    ],
    inpainting: Annotated[
        Path, typer.Argument(help="A Stable Diffusion 1.x inpainting checkpoint, a diffusers folder or one file.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the model; must not exist.")],
    vae: Annotated[Path | None, typer.Option(help="An autoencoder, instead of the checkpoint's.")] = None,
    tokenizer: Annotated[
        Path | None, typer.Option(help="Folder with vocab.json and merges.txt; needed for a single file.")
    ] = None,
) -> None:
    """Make a part refiner that a ControlNet tells how the hands shall be, without a first stage."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from handfirst.training.libraries import quiet
    from handfirst.training.pretrained.handrefiner import write_controlled

    quiet()
    refuse_existing(out)
    write_controlled(controlnet, inpainting, vae, tokenizer, out)
    typer.echo(f"model: {out}")


@app.command("refiner")
def init_refiner(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the model; must not exist.")],
    vae: Annotated[Path, typer.Option(help="A trained model folder, whose autoencoder it shares.")],
    config: Annotated[str, typer.Option(help="demo, or the path of a TOML file.")] = "demo",
    seed: Annotated[int, typer.Option(min=0, help="Of the fresh weights.")] = 0,
) -> None:
    """Make a part refiner from nothing, to be trained."""
    from handfirst.training.libraries import quiet
    from handfirst.training.systems.part_refiner.config import fresh_model

    quiet()
    refuse_existing(out)
    fresh_model(config, vae, seed, out)
    typer.echo(f"model: {out}")


app.command("annotated")(init_annotated)
app.command("gesture-text")(init_gesture_text)


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
