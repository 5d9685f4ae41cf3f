"""Opens a source by its kind. Which kinds there are is known here and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from handfirst.engines.errors import UserError
from handfirst.training.data.record import Source, Split
from handfirst.training.data.sources.entry import SPLITS
from handfirst.training.data.sources.folder import Folder
from handfirst.training.data.sources.hagrid import Hagrid
from handfirst.training.data.sources.humansd import HumanSD
from handfirst.training.data.sources.interhand import InterHand
from handfirst.training.data.sources.reinterhand import MaskFolder, ReInterHand
from handfirst.training.data.sources.shards import Shards
from handfirst.training.data.sources.wholebody import WholeBody

KINDS = ("hagrid", "interhand", "reinterhand", "humansd", "wholebody", "folder", "shards")


def open_source(
    kind: str, path: Path, splits: Sequence[Split] = SPLITS, masks: MaskFolder | None = None, landmarks: bool = True
) -> Source:  # fmt: skip
    """A data set on disk. Rendered pictures need no disk: see `procedural.Procedural`.

    Args:
        kind: one of KINDS.
        path: the folder into which the data set was unpacked; for "shards" also a single .tar.
        splits: which of the data set's own splits are wanted; "reinterhand", "folder" and "shards" yield all they have.
        masks: for "reinterhand", where its masks lie.
        landmarks: for "hagrid", whether its own key points are read.

    Raises:
        UserError: another kind; no such path; a folder that does not hold that data set: which file was expected where.
    """
    if kind not in KINDS:
        raise UserError(f"unknown kind of source {kind!r}: expected one of {', '.join(KINDS)}")
    if masks and kind != "reinterhand":
        raise UserError(f"a folder of masks can be given for reinterhand only, not for {kind}")
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; give the folder that holds {kind}")
    match kind:
        case "hagrid":
            return Hagrid(path, splits, landmarks)
        case "interhand":
            return InterHand(path, splits)
        case "reinterhand":
            return ReInterHand(path, masks)
        case "humansd":
            return HumanSD(path, splits)
        case "wholebody":
            return WholeBody(path, splits)
        case "folder":
            return Folder(path)
        case _:
            return Shards(path)
