"""Banks of references: what the reference UNet's blocks see, by step, made once and kept while memory allows.

A bank depends on the reference and the time alone, never on x_t: all steps' banks are one batch before the loop, and
serve other seeds of the same crop. At full size they are 46 MB a step: where all steps of all parts would not fit into
the budget, each step's are made when it comes. Threads may share a keeper.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.engine import Array, Engine
from handfirst.engines.spec import EngineSpec
from handfirst.runtime.running import run_rows

AT_ONCE = 4
"""Rows of the reference UNet at a time: more fill no machine, and their banks lie in memory twice."""

Banks = dict[str, NDArray[np.float32]]
"""By the tensor's name, [B, tokens, width] each."""


@dataclass(frozen=True, eq=False)
class Reference:
    """What a part is drawn after: inputs of the reference UNet without their batch axis.

    Attributes:
        sample: float32 [C, h, w], the reference's latents, without noise.
        context: float32 [N, D].
        pose_feature: float32 [C0, h, w].
    """

    sample: NDArray[np.float32]
    context: NDArray[np.float32]
    pose_feature: NDArray[np.float32]

    def key(self, times: Sequence[int]) -> str:
        """Equal for equal references and times."""
        digest = hashlib.sha256(repr(list(times)).encode())
        for array in (self.sample, self.context, self.pose_feature):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


class BankKeeper:
    """Makes banks, and keeps those of the last references.

    Args:
        unet: the reference UNet.
        budget: bytes of all banks that are kept.
    """

    def __init__(self, unet: Engine, budget: int) -> None:
        self._unet, self._budget = unet, budget
        self._kept: OrderedDict[str, Banks] = OrderedDict()  # all times of a reference, [T, tokens, width]
        self._lock = threading.Lock()

    def banks(self, references: Sequence[Reference], times: Sequence[int]) -> Callable[[int], Banks]:
        """time -> the banks of all references, [B, tokens, width] each.

        Args:
            references: B of them.
            times: all that will be asked for, none twice.
        """
        if bank_bytes(self._unet.spec, references[0]) * len(references) * len(times) > self._budget:
            return lambda time: self._made(references, [time] * len(references))
        made = [self._of(each, times) for each in references]
        at = {time: i for i, time in enumerate(times)}
        return lambda time: {name: np.stack([each[name][at[time]] for each in made]) for name in made[0]}

    def _of(self, reference: Reference, times: Sequence[int]) -> Banks:
        """Of all times, kept or made."""
        key = reference.key(times)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = self._made([reference] * len(times), times)
        with self._lock:
            self._kept[key] = made
            while sum(_bytes(each) for each in self._kept.values()) > self._budget:
                self._kept.popitem(last=False)
        return made

    def _made(self, references: Sequence[Reference], times: Sequence[int]) -> Banks:
        """A row for each reference and its time."""
        pieces = []
        for start in range(0, len(times), AT_ONCE):
            rows = references[start : start + AT_ONCE]
            inputs: dict[str, Array] = {
                "sample": np.stack([each.sample for each in rows]),
                "timestep": np.array(times[start : start + AT_ONCE], np.int64),
                "context": np.stack([each.context for each in rows]),
                "pose_feature": np.stack([each.pose_feature for each in rows]),
            }
            pieces.append(run_rows(self._unet, inputs))
        return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def bank_bytes(spec: EngineSpec, reference: Reference) -> int:
    """Bytes of one reference's banks at one time. An axis that the spec leaves free counts as the latent's cells."""
    cells = reference.sample.shape[1] * reference.sample.shape[2]
    return sum(
        4 * int(np.prod([axis if isinstance(axis, int) else cells for axis in tensor.shape[1:]]))
        for tensor in spec.outputs
    )


def _bytes(banks: Mapping[str, NDArray[np.float32]]) -> int:
    return sum(each.nbytes for each in banks.values())
