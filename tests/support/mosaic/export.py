"""The second system as export sees it."""

from __future__ import annotations

import torch
from support.mosaic.networks import load
from support.mosaic.runtime import CHANNELS, Request, enlarged, read_palette

from handfirst.engines.errors import UserError
from handfirst.engines.spec import EngineSpec, TensorSpec
from handfirst.engines.verify import psnr
from handfirst.export.part import Part
from handfirst.runtime import systems


def tensors(**shapes):
    return tuple(
        TensorSpec(name=name, dtype="int64" if name == "timestep" else "float32", shape=shape)
        for name, shape in shapes.items()
    )


class Source:
    tokenizer = None
    warnings = ()

    def __init__(self, folder, options):
        if options.size is not None or options.sizes is not None:
            raise UserError("--size: a mosaic has the size that it was trained for")
        self.networks, self.settings, self.training = load(folder)
        self._palette = (folder / "palette.json").read_bytes()

    @property
    def assets(self):
        return {"palette": ("palette.json", self._palette)}

    def parts(self):
        return {"mixer": self._mixer, "denoiser": self._denoiser}

    def _mixer(self):
        colour, context = tensors(colour=("batch", 3)), tensors(context=("batch", CHANNELS))
        return Part("mixer", load_alike(self.networks).mixer, EngineSpec(inputs=colour, outputs=context))

    def _denoiser(self):
        tiles = ("batch", CHANNELS, self.settings.side, self.settings.side)
        given = tensors(sample=tiles, timestep=("batch",), context=("batch", CHANNELS))
        spec = EngineSpec(inputs=given, outputs=tensors(prediction=tiles))
        return Part("denoiser", load_alike(self.networks).denoiser, spec, {"timestep": 50})

    def decisions(self):
        return {"tiles": "a tile has one colour"}

    def rehearse(self, bundle):
        system = systems.open(bundle.path, "cpu", 1)
        found = system.render(Request("blue", seed=3))
        system.close()
        with torch.no_grad():
            tiles = reference(self.networks, self.settings, read_palette(self._palette)["blue"], 3)
        figure = psnr(tiles, found.tiles)
        if figure < 60 or (enlarged(tiles, self.settings.tile)[1] != found.mask).any():
            raise UserError(f"all graphs together: the mosaic is {figure:.1f} dB from torch")
        return figure


def load_alike(networks):
    """A copy, as export empties what it has written."""
    copy = type(networks)()
    copy.load_state_dict(networks.state_dict())
    return copy.eval()


def reference(networks, settings, colour, seed):
    """The loop once more, with torch's noise and diffusers' scheduler: tiles float32 [4, h, w]."""
    from support.ddim import ddim

    scheduler = ddim(settings.schedule, settings.steps)
    shape = (1, CHANNELS, settings.side, settings.side)
    x_t = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    for t in scheduler.timesteps:
        prediction = networks(x_t, t[None], torch.from_numpy(colour)[None])
        x_t = scheduler.step(prediction, t, x_t).prev_sample
    return x_t[0].numpy()
