"""How a step's batch is made to fit into a GPU: in how many parts, and whether activations are computed twice.

Measured, not guessed: one and two samples go through the networks and back before the first step, and what a further
sample takes follows. On a GPU its allocator counts; elsewhere every tensor that an operation makes is counted while it
lives, which is what `memory_gb` is compared with. Not known: what fragments an allocator leaves (ROOM allows for some),
and which is faster, few large parts or activations that are kept: kept ones are, from LEAST samples a part on, is our
guess.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from diffusers import ModelMixin
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from handfirst.engines.errors import UserError
from handfirst.training.loop.kernels import attention_of
from handfirst.training.loop.options import LoopOptions
from handfirst.training.loop.task import Task

ROOM = 0.92
"""Share of a GPU's memory that is used."""
LEAST = 2
"""Samples a part, from which on activations are rather kept than computed twice for larger parts."""
GB = 1e9


@dataclass(frozen=True)
class Need:
    """Bytes of a step: `fixed`, whatever the batch, and so many more for each sample of a part."""

    fixed: int
    sample: int

    def samples(self, available: int) -> int:
        """How many fit at once."""
        return max(0, int((available - self.fixed) // max(self.sample, 1)))


TOO_MUCH = Need(2**62, 1)
"""Two samples were more than the GPU has."""


@dataclass(frozen=True)
class Fit:
    """What was chosen: parts of a process's share of the batch, and whether activations are computed twice."""

    parts: int
    twice: bool
    said: str = ""
    """In a line, for people; nothing where nothing was to be chosen."""


def choose(share: int, needs: Callable[[bool], Need], available: int, parts: int | None, twice: bool | None) -> Fit:
    """The parts and activations of a process's share of the batch.

    Activations are kept where that leaves LEAST samples a part (or the whole share), else computed twice. Then the
    fewest parts that fit.

    Args:
        share: samples of a step of one process.
        needs: (whether activations are computed twice) -> what a step needs.
        available: bytes.
        parts, twice: what is given; None: to be chosen.

    Raises:
        UserError: not even a single sample fits.
    """
    sizes = [share // n for n in range(1, share + 1) if share % n == 0]
    if parts is not None:
        sizes = [share // parts]
    ways = [False, True] if twice is None else [twice]
    for way in ways:
        need = needs(way)
        fits = [size for size in sizes if size <= need.samples(available)]
        if fits and (way == ways[-1] or fits[0] >= min(LEAST, sizes[0])):
            return Fit(share // fits[0], way, _said(share, fits[0], way, need, available))
    wanted = f"{(need.fixed + sizes[-1] * need.sample) / GB:.1f} GB" if need != TOO_MUCH else "more"
    raise UserError(
        f"a step of {sizes[-1]} samples needs {wanted}, {available / GB:.1f} GB are there; "
        "--lora 16 needs less, or --set optimizer=adafactor"
    )


def _said(share: int, size: int, twice: bool, need: Need, available: int) -> str:
    return (
        f"memory: {share} samples a step in {share // size} parts of {size}, activations "
        f"{'computed twice' if twice else 'kept'}: {need.fixed / GB:.1f} GB and {need.sample / GB:.2f} GB a sample, "
        f"{(need.fixed + size * need.sample) / GB:.1f} of {available / GB:.1f} GB"
    )


def fit(
    task: Task,
    batch: Callable[[int], Any],
    options: LoopOptions,
    accelerator: Accelerator,
    twice: bool | None,
) -> Fit:
    """Measures and chooses, on the first process for all; leaves the task's activations as chosen.

    Args:
        task: on its device.
        batch: so many samples, encoded.
        twice: the option checkpoint_activations; None: to be chosen.

    Raises:
        UserError: not even a single sample fits.
    """
    available = _available(options, accelerator.device)
    if available is None or (options.accumulate is not None and twice is not None):
        return Fit(options.accumulate or 1, bool(twice))
    share = max(1, options.batch // accelerator.num_processes)
    if options.accumulate is not None and share % options.accumulate:
        return Fit(options.accumulate, bool(twice))  # the loop says what is wrong with it

    def needs(way: bool) -> Need:
        compute_twice(task, way)
        return measured(task, batch, options, accelerator)

    chosen = [choose(share, needs, available, options.accumulate, twice) if accelerator.is_main_process else None]
    if accelerator.num_processes > 1:
        broadcast_object_list(chosen)
    assert chosen[0] is not None
    compute_twice(task, chosen[0].twice)
    return chosen[0]


def compute_twice(task: nn.Module, way: bool) -> None:
    """Whether the task's networks compute their activations a second time on the way back."""
    for module in task.modules():
        if isinstance(module, ModelMixin) and module._supports_gradient_checkpointing:
            module.enable_gradient_checkpointing() if way else module.disable_gradient_checkpointing()


def measured(task: Task, batch: Callable[[int], Any], options: LoopOptions, accelerator: Accelerator) -> Need:
    """What one sample and two take, from their encoding to their gradients; and what the optimizer will.

    Beside gradients that are there already, as a later part of a batch finds those of the earlier ones. Without them
    the peak of few samples would be that of the gradients, and would say too little of a further sample.
    """
    task.train()

    def step(count: int) -> None:
        with attention_of(options):
            with accelerator.autocast():
                losses = task(batch(count))
            torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]

    peaks = []
    try:
        step(1)
        for count in (1, 2):
            held = (tensor for p in task.parameters() for tensor in (p, p.grad) if tensor is not None)
            peaks.append(peak_bytes(partial(step, count), accelerator.device, held))
    except torch.OutOfMemoryError:
        return TOO_MUCH
    finally:
        task.zero_grad(set_to_none=True)
        if accelerator.device.type == "cuda":
            torch.cuda.empty_cache()
    sample = max(peaks[1] - peaks[0], 0)
    return Need(peaks[0] - sample + _still_to_come(task, options, accelerator.num_processes), sample)


def _still_to_come(task: Task, options: LoopOptions, processes: int) -> int:
    """The optimizer's moments, the average, and the gradients that processes exchange: float32 each."""
    trained = sum(p.numel() for p in task.parameters() if p.requires_grad)
    copies = (2 if options.optimizer == "adamw" else 0) + (1 if options.ema else 0) + (1 if processes > 1 else 0)
    return 4 * trained * copies


def _available(options: LoopOptions, device: torch.device) -> int | None:
    if options.memory_gb is not None:
        return int(options.memory_gb * GB)
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    return int(ROOM * (free + torch.cuda.memory_reserved(device)))


def peak_bytes(run: Callable[[], None], device: torch.device, held: Iterable[torch.Tensor] = ()) -> int:
    """The most bytes of tensors that lived at once while it ran.

    Args:
        held: tensors that were there before; a GPU's allocator counts all of those itself.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        run()
        torch.cuda.synchronize(device)
        return int(torch.cuda.max_memory_allocated(device))
    with counted(held) as living:
        run()
    return living.peak


@contextmanager
def counted(held: Iterable[torch.Tensor] = ()) -> Iterator[Living]:
    """Counts while it is open, beginning with `held`."""
    living = Living()
    for tensor in held:
        living.add(tensor)
    with living:
        yield living


class Living(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Bytes of the storages of all tensors that operations make, as long as they live."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor):
                self.add(leaf)
        return out

    def add(self, tensor: torch.Tensor) -> None:
        """Counts its storage, once."""
        storage = tensor.untyped_storage()
        if storage in self._known:
            return
        self._known.add(storage)
        size = storage.nbytes()
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._free, size)

    def _free(self, size: int) -> None:
        self.now -= size
